"""The Pulumi program: settings of a stack → components → outputs; with a provider for Modal, policies, and the CLI.

It knows Pulumi and Modal's public API. What it must know of the app it asks for (`python -m modal_app.settings`).
"""
