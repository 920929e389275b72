"""Every behaviour of the table, by local execution and in a sandbox, through the released engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chain.behaviours import BEHAVIOURS, FAMILIES
from tests.chain.behaviours.comparison import ENDED, Outcome, differences, outcome
from tests.chain.behaviours.page import PAGE, page
from tests.chain.behaviours.row import Behaviour
from tests.chain.server import Server, ServerDiedError

LOCAL = {
    "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "local",
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "True",
    "WORKFLOWS_PLUGINS": "",
}


class LocalExecution:
    """A server that runs blocks in its own process; another one takes its place when a block ends it."""

    def __init__(self) -> None:
        self.server: Server | None = Server(LOCAL)

    def outcome(self, behaviour: Behaviour) -> Outcome:
        self.server = self.server or Server(LOCAL)
        try:
            return outcome(self.server.run(behaviour.workflow, **behaviour.inputs))
        except ServerDiedError:
            self.close()
            return ENDED

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None


@pytest.fixture(scope="module")
def local() -> Iterator[LocalExecution]:
    execution = LocalExecution()
    yield execution
    execution.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_it_is_as_in_local_execution_or_differs_as_listed(
    behaviour: Behaviour, local: LocalExecution, server: Server
) -> None:
    with ThreadPoolExecutor(1) as pool:
        here = pool.submit(local.outcome, behaviour)
        remote = outcome(server.run(behaviour.workflow, **behaviour.inputs))
    found = differences(here.result(), remote)
    shown = "\n".join(f"{aspect}:\n  local   {left!r}\n  sandbox {right!r}" for aspect, (left, right) in found.items())
    assert set(found) == behaviour.differs, shown


def test_the_page_of_differences_is_current() -> None:
    assert PAGE.read_text() == page(FAMILIES), f"{PAGE.name} is stale: `make docs` writes it"
