"""The two doors that speak the released server's own wire: HTTP `execute-block`, and WebSocket `wsapp`, protocol 2.

The client is `modal_executor.py` of the wheel roboflow-workflows. Nothing here imports inference or runs a block: what
a message's values are is known in the sandbox only (`modal_app.sandbox.wire`).
"""
