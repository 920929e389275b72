"""Every behaviour of the table, by local execution and in a sandbox, through the released engine."""

from collections.abc import Iterator

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
        self.server = Server(LOCAL)

    def outcome(self, behaviour: Behaviour) -> Outcome:
        try:
            return outcome(self.server.run(behaviour.workflow, **behaviour.inputs))
        except ServerDiedError:
            self.server.close()
            self.server = Server(LOCAL)
            return ENDED


@pytest.fixture(scope="module")
def local() -> Iterator[LocalExecution]:
    execution = LocalExecution()
    yield execution
    execution.server.close()


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.name)
def test_it_is_as_in_local_execution_or_differs_as_listed(
    behaviour: Behaviour, local: LocalExecution, server: Server
) -> None:
    remote = outcome(server.run(behaviour.workflow, **behaviour.inputs))
    here = local.outcome(behaviour)
    found = differences(here, remote)
    import json, os  # DUMP
    if os.environ.get("DUMP"):  # DUMP
        with open(os.environ["DUMP"], "a") as f:  # DUMP
            f.write(json.dumps([behaviour.name, {k: [repr(v[0])[:400], repr(v[1])[:400]] for k, v in found.items()}, {k: repr(v)[:300] for k, v in here.items()}, {k: repr(v)[:300] for k, v in remote.items()}]) + "\n")  # DUMP
    shown = "\n".join(f"{aspect}:\n  local   {here!r}\n  sandbox {there!r}" for aspect, (here, there) in found.items())
    assert set(found) == behaviour.differs, shown


def test_the_page_of_differences_is_current() -> None:
    assert PAGE.read_text() == page(FAMILIES), f"{PAGE.name} is stale: `make docs-differences` writes it"
