"""Calls of many workspaces at once, from one inference server: `python -m tests.load.client`, a process of its own.

Each call is a line of JSON on stdout as soon as it has ended; see `Call`.
"""

import argparse
import itertools
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass

RESULT, REFUSED, WRONG, STRANGE = "result", "refused", "wrong", "strange"
"""How a call ends: as it should; with the engine's own exception; with another result; with any other exception."""

SOURCE = """
def run(self, number, seconds):
    first = not hasattr(np, "load_was_here")
    np.load_was_here = True
    time.sleep(seconds)
    return {"number": number + 1, "first": first}
"""


@dataclass(frozen=True)
class Call:
    """What became of a call."""

    workspace: str
    end: str
    seconds: float
    text: str = ""


def main() -> None:
    """Until its time is over; calls that run then are waited for."""
    parser = argparse.ArgumentParser("python -m tests.load.client")
    parser.add_argument("--seconds", type=float, required=True, help="from the first call on")
    parser.add_argument("--workspaces", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--work", type=float, default=0.0, help="seconds that a block takes")
    options = parser.parse_args()
    # A server imports its engine before it serves: that is no part of a call.
    from roboflow_workflows.errors import WorkflowError  # noqa: PLC0415

    from modal_app.smoke import server  # noqa: PLC0415

    numbers, writing = itertools.count(), threading.Lock()
    end = time.monotonic() + options.seconds

    def call(number: int) -> Call:
        workspace, begin = f"load-{number % options.workspaces}", time.monotonic()

        def ended(how: str, text: str = "") -> Call:
            return Call(workspace, how, time.monotonic() - begin, text)

        try:
            found = server.run_block(SOURCE, workspace, number=number, seconds=options.work)
        except WorkflowError as error:
            return ended(REFUSED, error.public_message)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            return ended(STRANGE, repr(error))
        right = found == {"number": number + 1, "first": True}
        return ended(RESULT) if right else ended(WRONG, repr(found))

    def call_in_turn() -> None:
        while time.monotonic() < end:
            line = json.dumps(asdict(call(next(numbers))))
            with writing:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()

    threads = [threading.Thread(target=call_in_turn) for _ in range(options.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
