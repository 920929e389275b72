"""What holds for every test: nothing of the user's own Modal reaches it, unless MODAL_TEST_REAL=1 asks for that.

Tests that need a control plane start one, with a state folder and a port of their own.
"""

import os

KEPT = {"LOCAL_MODAL_CACHE", "MODAL_TEST_REAL"}
"""Built images may be shared with the user's local Modal: they are looked up by a hash of what makes them."""

if os.environ.get("MODAL_TEST_REAL") != "1":
    for name in [name for name in os.environ if name.startswith(("MODAL_", "LOCAL_MODAL_", "CUSTOM_BLOCKS_"))]:
        if name not in KEPT:
            del os.environ[name]
    os.environ["MODAL_CONFIG_PATH"] = os.devnull
