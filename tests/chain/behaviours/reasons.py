"""Why a block's sandbox differs from local execution; each a sentence of the generated page."""

from modal_app.contract.response import MAX_CHAIN
from modal_app.settings import Limits

LIMITS = Limits()

STATE = (
    "Each call runs in a container of its own, which starts empty and is gone afterwards: nothing that a block keeps, "
    "on itself, in its module, in `globals`, in a library or in a file, is there in the next call."
)
TOP_LEVEL = (
    "The code's top level runs in each container, once to validate the code and once in every call, rather than once "
    "when the workflow is compiled."
)
INIT = (
    "The init function runs in the block's container, in every call: what it raises is a failure of the block with "
    "line and snippet, where local execution lets it through as an error of the compiler."
)
LOADING = (
    "Where code can't be loaded the sandbox names the line within the block's own code and shows a traceback; local "
    "execution counts the engine's import lines in its message, or names no line."
)
IMPORTS = (
    "A declared import is no line of the block's code, so none is named; local execution counts back from the code."
)
VALIDATION = "The engine validates code without saying whose it is, so that the message can't name the block."
CALLING = (
    "Where the run function can't be called there is no line of the block to name; local execution names a line of the "
    "engine's."
)
LIBRARY = (
    "What a library or `exec` raises is reported at the block's own line; local execution takes the line within the "
    "library for one of the block's."
)
SNIPPET = "The sandbox shows lines of the init function's code as well; local execution has the run function's alone."
CHAIN = (
    f"The traceback shows the exceptions that led to the one that counts, {MAX_CHAIN} at most with it; local execution "
    "shows that one."
)
FRAMES = f"A traceback keeps its last {LIMITS.traceback_frames} frames (`CUSTOM_BLOCKS_TRACEBACK_FRAMES`)."
MESSAGE = f"A message is cut at {LIMITS.message_chars:,} characters (`CUSTOM_BLOCKS_MESSAGE_CHARS`)."
PRINTED = f"Of each stream {LIMITS.output_chars:,} characters are kept and shown (`CUSTOM_BLOCKS_OUTPUT_CHARS`)."
DEPTH = f"A result is nested {LIMITS.result_depth} levels deep at most (`CUSTOM_BLOCKS_RESULT_DEPTH`)."
TEXT_FAILS = (
    "An exception whose text can't be read is reported as one, by its class; local execution fails at reading it, and "
    "reports that."
)
CONTROL = "Control characters but newline and tab are written out: a block can't write over the terminal or the log."
SURROGATE = "Text in an answer is UTF-8, in which a lone surrogate is a question mark."
PRINTED_SURROGATE = f"{SURROGATE[:-1]}; and the line named is the block's, not one of the stream's."
TRUE_CLASS = "An exception is named by its class, not by what it says its class is."
NO_EXCEPTION = (
    "What is meant to end more than the block, as `SystemExit` is, ends its container and reads as a failure of the "
    "block; in local execution it goes through the engine to the server."
)
PROCESS = "What ends the block's process ends its container at most; in local execution it ends the server."
NOT_DATA = (
    "A result is data: anything else is an error that names its place and type, where local execution hands the object "
    "on within the server."
)
TREE = "A result is a tree, and the sandbox says so; local execution runs out of stack."
COPY = "A block works on copies of its inputs: no later step sees what it changes in place."
IDENTITY = "Two inputs that are one object in the server are two equal ones in the sandbox."
LOGGING = "The server's log handlers aren't in the sandbox: Python's own writes warnings and errors to stderr."
JAIL = "A sandbox starts no process and has no network."
PLACE = "A sandbox has a process of its own, with its own folder, environment, arguments and main thread."
