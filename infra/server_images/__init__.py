"""Images of the inference server and of local Modal: what they are made of, their build, their push.

`python -m infra.server_images` is the command line; the Pulumi resource in `infra/modal_provider` uses the same
modules.
"""
