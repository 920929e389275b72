"""Runs in the inference server: sends custom blocks to their executor and takes nothing on trust that comes back."""
