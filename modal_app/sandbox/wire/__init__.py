"""The released server's own wire, inside the sandbox: inputs decoded, a block run by the wire's rules, results encoded.

The client is `modal_executor.py` of the wheel roboflow-workflows: `serialize_for_modal_remote_execution` and
`deserialize_for_modal_remote_execution` over HTTP, `serialize_inputs_for_msgpack` and `_deserialize_msgpack_result`
over WebSocket.
"""
