"""The smoke test: the whole chain of what is deployed, seen from an inference server. `python -m modal_app.smoke`.

It runs against any stack, local Modal or Modal itself, by the client's own configuration: MODAL_SERVER_URL,
MODAL_TOKEN_ID, MODAL_TOKEN_SECRET, MODAL_ENVIRONMENT, or a profile of `~/.modal.toml`.
"""
