"""What holds for every test: nothing of the user's own Modal reaches it, unless MODAL_TEST_REAL=1 asks for that.

Tests that need a control plane start one, with a state folder and a port of their own.
"""

import os

import grpclib.client
import grpclib.server

# Pulumi and googleapis-common-protos both define google.rpc.Status, and one process can hold one of them. No process of
# the product loads both; the tests' does, and nothing here uses gRPC's status details, for which grpclib would.
for module in (grpclib.client, grpclib.server):
    module._googleapis_available = lambda: False

KEPT = {"LOCAL_MODAL_CACHE", "MODAL_TEST_REAL"}
"""Built images may be shared with the user's local Modal: they are looked up by a hash of what makes them."""

if os.environ.get("MODAL_TEST_REAL") != "1":
    for name in [name for name in os.environ if name.startswith(("MODAL_", "LOCAL_MODAL_", "CUSTOM_BLOCKS_"))]:
        if name not in KEPT:
            del os.environ[name]
    os.environ["MODAL_CONFIG_PATH"] = os.devnull
