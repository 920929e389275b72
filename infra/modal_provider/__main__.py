"""What Pulumi starts: `python infra/modal_provider [ENGINE]`, ENGINE being the host:port of the engine's service."""

import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports is no traceback
    # Python put this folder first, where secret.py or image.py would hide other people's modules of such a name.
    sys.path[:] = [str(ROOT), *(path for path in sys.path if path != str(Path(__file__).parent))]

    from infra.modal_provider.process import main

    sys.exit(main(sys.argv[1:]))
