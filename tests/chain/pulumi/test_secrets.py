"""A canary in every secret key of a stack shows nowhere but where it belongs; and the search for it finds it."""

import gzip
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chain.pulumi.conftest import Deployment, NewDeployment, StartModal
from tests.contract.conftest import LocalModal

pytestmark = pytest.mark.timeout(1800)
CANARIES = {
    "executorSecrets.API_KEY": "canary-executor-5c1d9f",
    "serverSecrets.DATABASE_PASSWORD": "canary-server-e07b42",
}
PASSPHRASE = "canary-passphrase-93aa61"


class Watched:
    """Arguments of every process of this machine, looked at again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        own = str(os.getpid())
        while not self._stop.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                if path.parent.name != own:
                    try:
                        self.seen.add(path.read_bytes())
                    except OSError:
                        continue


def staging(new_deployment: NewDeployment, modal: LocalModal) -> Deployment:
    """A stack of its own backend and passphrase, as for an account, with a canary in every secret key."""
    deployment = new_deployment("staging", modal)
    deployment.use_own_backend(PASSPHRASE)
    for key, value in CANARIES.items():
        deployment.configure_secret(key, value)
    return deployment


def places(deployment: Deployment, modal: LocalModal, said: str) -> dict[str, bytes]:
    """Everything that a deployment leaves or says, apart from what may hold a secret."""
    found = {"output": said.encode(), "log of local Modal": modal.log.encode()}
    found["exported stack"] = deployment.run("pulumi", "stack", "export").encode()
    found["outputs"] = deployment.run("pulumi", "stack", "output", "--json").encode()
    for folder in (deployment.tree, deployment.home):
        for path in folder.rglob("*"):
            if path.is_file() and ".venv" not in path.parts:
                found[str(path)] = unpacked(path.read_bytes())
    return found


def unpacked(content: bytes) -> bytes:
    """Pulumi packs its logs."""
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def hits(found: dict[str, bytes], *values: str) -> list[str]:
    return sorted(place for place, content in found.items() if any(value.encode() in content for value in values))


def test_no_secret_shows_anywhere(new_deployment: NewDeployment, start_modal: StartModal) -> None:
    modal = start_modal()
    deployment = staging(new_deployment, modal)
    watched = Watched()
    with watched.watching():
        said = deployment.run("preview") + deployment.run("up")
        deployment.configure(timeout=33)
        said += deployment.run("preview") + deployment.run("up") + deployment.run("drift") + deployment.run("rotate")
    found = places(deployment, modal, said)
    found["arguments"] = b"\n".join(watched.seen)
    assert b"infra/modal_provider" in found["arguments"], "the processes of a deployment were seen"
    token = deployment.modal["MODAL_TOKEN_SECRET"]
    assert hits(found, *CANARIES.values(), PASSPHRASE, token) == []
    logs = {place: content for place, content in found.items() if place.endswith(".log")}
    assert hits(logs, "staging") != [], "Pulumi's logs were read"
    assert hits(found, "custom-blocks-secrets") != []


def test_they_reach_where_they_belong(new_deployment: NewDeployment, start_modal: StartModal) -> None:
    deployment = staging(new_deployment, start_modal())
    deployment.run("up")
    shown = deployment.run("pulumi", "stack", "output", "--json", "--show-secrets")
    assert CANARIES["serverSecrets.DATABASE_PASSWORD"] in shown
    assert CANARIES["executorSecrets.API_KEY"] not in shown, "what blocks may read is no output"
    assert deployment.inventory()["secrets"]["staging"] == ["custom-blocks-secrets"]


def test_the_search_finds_an_output_that_is_not_marked_secret(
    new_deployment: NewDeployment, start_modal: StartModal
) -> None:
    modal = start_modal()
    deployment = staging(new_deployment, modal)
    program = deployment.tree / "infra" / "program.py"
    marked = "pulumi.Output.secret(dict(settings.server_secrets))"
    assert marked in program.read_text()
    program.write_text(program.read_text().replace(marked, "dict(settings.server_secrets)"))
    said = deployment.run("up")
    found = hits(places(deployment, modal, said), CANARIES["serverSecrets.DATABASE_PASSWORD"])
    assert {"outputs", "exported stack"} <= set(found)


@pytest.mark.parametrize("key", CANARIES)
def test_a_secret_in_plain_text_is_refused(new_deployment: NewDeployment, start_modal: StartModal, key: str) -> None:
    deployment = new_deployment("staging", start_modal())
    deployment.backend.mkdir(parents=True)
    deployment.variables = {
        "PULUMI_BACKEND_URL": deployment.backend.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
    }
    name, _, variable = key.partition(".")
    deployment.configure(**{name: {variable: CANARIES[key]}})
    said = deployment.run("up", status=1)
    assert "plain text" in said
    assert CANARIES[key] not in said
    assert deployment.inventory()["environments"] == ["main"]
