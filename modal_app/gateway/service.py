"""Runs work for either door: one sandbox for each, within the limits of this container, and its answer checked."""

import asyncio
from typing import Protocol

from modal_app.contract.errors import ContractError
from modal_app.gateway.answers import Answer, problem_answer, read_answer
from modal_app.gateway.codes import CodeStore
from modal_app.gateway.problems import Problem, busy
from modal_app.gateway.requests import Work
from modal_app.settings import Limits, WebSettings

MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest message that the released client takes or sends (`_WS_MAX_RESPONSE_BYTES`, `_WS_MAX_REQUEST_BYTES`)."""
ENVELOPE_BYTES = 1024 * 1024
"""Room for what is around a result."""
LIMITS = Limits(result_bytes=MESSAGE_BYTES - ENVELOPE_BYTES)


class Runner(Protocol):
    """Where blocks run."""

    async def run(self, work: Work, limits: Limits, seconds: float) -> bytes:
        """The answer to `work` as the sandbox sealed it (CBOR), within `seconds`.

        Raises:
            Problem: there is none.
        """


class Budget:
    """Bytes of requests that are held at once."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> None:
        """Counts `size` bytes more.

        Raises:
            Problem: there is no room for them.
        """
        if size > self.left:
            raise busy("this door holds as many requests as it can: try again")
        self.left -= size

    def give(self, size: int) -> None:
        """Counts them no more."""
        self.left += size


class Service:
    """What all requests and connections of one container share."""

    def __init__(self, runner: Runner, settings: WebSettings) -> None:
        self.runner = runner
        self.settings = settings
        self.codes = CodeStore(settings)
        self.budget = Budget(settings.waiting_bytes)
        self.running = 0

    async def answer(self, work: Work, seconds: float) -> Answer:
        """The answer to `work`, a problem's if there is no other.

        Raises:
            Problem: none of this is the block's doing, and HTTP has a status of its own for it.
        """
        if self.running >= self.settings.running_blocks:
            raise busy("this door has as many blocks running as it can: try again")
        self.running += 1
        try:
            async with asyncio.timeout(seconds):
                sealed = await self.runner.run(work, LIMITS, seconds)
            return read_answer(sealed, LIMITS, packed=isinstance(work.inputs, bytes))
        except TimeoutError:
            return problem_answer(Problem("TimeoutError", "the block gave no answer in time"))
        except ContractError as error:
            message = f"the answer from the block's sandbox was refused: {error}"
            raise Problem("RefusedAnswer", message, 502) from error
        except Problem as problem:
            if problem.status != 200:  # noqa: PLR2004 - what HTTP says when all is well
                raise
            return problem_answer(problem)
        finally:
            self.running -= 1
