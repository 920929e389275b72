"""Ways of leaving that are no ordinary exceptions: for local execution they concern the whole server."""

from tests.chain.behaviours import reasons
from tests.chain.behaviours.row import differing, raising

ROWS = (
    *differing(
        reasons.NO_EXCEPTION,
        ("error class", "context", "message", "line", "snippet", "traceback", "stdout", "debug output"),
        raising("sys.exit with a status", "import sys\nsys.exit(3)"),
        raising("sys.exit with a text", "import sys\nsys.exit('enough')"),
        raising("SystemExit", "raise SystemExit"),
        raising("exit()", "exit()"),
        raising("KeyboardInterrupt", "raise KeyboardInterrupt"),
        raising("GeneratorExit", "raise GeneratorExit"),
        raising("a BaseException", "raise BaseException('base')"),
        raising(
            "a BaseException of the block", "raise Mine('mine')", before=("class Mine(BaseException):\n    pass\n\n")
        ),
        raising("a BaseExceptionGroup", "raise BaseExceptionGroup('several', [KeyboardInterrupt()])"),
        raising("asyncio.CancelledError", "import asyncio\nraise asyncio.CancelledError"),
    ),
    *differing(
        reasons.PROCESS,
        ("outcome",),
        raising("os._exit", "os._exit(3)"),
        raising("os.abort", "os.abort()"),
    ),
)
