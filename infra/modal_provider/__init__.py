"""A Pulumi provider for Modal: package `modal`, one resource a module, straight on Pulumi's provider protocol.

Credentials come from the environment (MODAL_TOKEN_ID, MODAL_TOKEN_SECRET, MODAL_SERVER_URL) and never from provider
config, which Pulumi would keep in its state.
"""
