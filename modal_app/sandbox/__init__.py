"""Runs inside the container, next to untrusted code: what it answers is checked by the caller, never believed."""
