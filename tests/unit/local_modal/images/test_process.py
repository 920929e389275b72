import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local_modal.images.process import CommandFailedError, Runner, image_variables, scrubbed

Make = Callable[..., Runner]


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def runner(log: list[str]) -> Make:
    def make(secrets: dict[str, str] | None = None, limit: float = 60) -> Runner:
        return Runner(scrubbed(os.environ), log.append, secrets or {}, held=(), limit_seconds=limit)

    return make


def test_build_commands_get_configuration_and_no_credentials() -> None:
    kept = scrubbed(
        {
            "PATH": "/bin",
            "HTTPS_PROXY": "http://proxy",
            "no_proxy": "local",
            "SSL_CERT_FILE": "/ca.pem",
            "UV_DEFAULT_INDEX": "https://index",
            "UV_INDEX_CORP_PASSWORD": "theirs",
            "MODAL_TOKEN_SECRET": "as-1",
            "AWS_SECRET_ACCESS_KEY": "x",
            "VIRTUAL_ENV": "/venv",
            "UV_SYSTEM_PYTHON": "1",
            "UV_PUBLISH_TOKEN": "x",
            "PYTHONPATH": "/x",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_PRELOAD": "/x.so",
        }
    )
    given = {"PATH", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "UV_DEFAULT_INDEX", "UV_INDEX_CORP_PASSWORD"}
    assert set(kept) - {"NO_COLOR", "UV_NO_PROGRESS", "LC_ALL", "UV_LINK_MODE", "UV_PYTHON_DOWNLOADS"} == given


def test_pips_indexes_and_authority_are_handed_to_uv_unless_uv_has_its_own() -> None:
    pip = {"PIP_INDEX_URL": "https://a", "PIP_EXTRA_INDEX_URL": "https://b", "PIP_CERT": "/ca"}
    kept = scrubbed({**pip, "UV_INDEX": "https://mine"})
    assert (kept["UV_DEFAULT_INDEX"], kept["UV_INDEX"], kept["SSL_CERT_FILE"]) == ("https://a", "https://mine", "/ca")


def test_an_images_variables_cannot_redirect_this_machines_programs() -> None:
    assert image_variables({"A": "b", "PATH": "/x", "LD_PRELOAD": "x", "PYTHONPATH": "x", "UV_INDEX": "u"}) == {
        "A": "b",
        "UV_INDEX": "u",
    }


async def test_output_reaches_the_log_as_it_comes(runner: Make, log: list[str], tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    code = f"print('first', flush=True); open({str(fifo)!r}).read(); print('second')"
    seen = asyncio.Event()

    def follow(line: str) -> None:
        log.append(line)
        seen.set()

    streaming = Runner(runner().environ, follow, {}, (), 60)
    running = asyncio.create_task(streaming.run([sys.executable, "-c", code], cwd=tmp_path))
    await asyncio.wait_for(seen.wait(), 30)
    assert log == ["first"]
    await asyncio.to_thread(fifo.write_text, "")
    assert await running == ["first", "second"]


async def test_a_failure_carries_its_status_and_output(runner: Make, tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="exit status 3") as caught:
        await runner().run([sys.executable, "-c", "print('why'); raise SystemExit(3)"], cwd=tmp_path)
    assert caught.value.output == ["why"]


async def test_values_of_secrets_are_blanked(runner: Make, log: list[str], tmp_path: Path) -> None:
    code = "import os; print('token=' + os.environ['TOKEN'])"
    await runner({"TOKEN": "hunter22"}).run([sys.executable, "-c", code], cwd=tmp_path, extra={"TOKEN": "hunter22"})
    assert log == ["token=***"]


async def test_endless_lines_are_cut(runner: Make, log: list[str], tmp_path: Path) -> None:
    await runner().run([sys.executable, "-c", "print('x' * 1_000_000)"], cwd=tmp_path)
    assert [len(line) for line in log] == [4000]


async def test_a_command_past_its_limit_is_killed_with_its_children(runner: Make, tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        f"pid = os.fork()\nif pid: open({str(tmp_path / 'child')!r}, 'w').write(str(pid))\nsignal.pause()"
    )
    with pytest.raises(CommandFailedError, match=r"longer than 0\.5 s"):
        await runner(limit=0.5).run([sys.executable, "-c", code], cwd=tmp_path)
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"
