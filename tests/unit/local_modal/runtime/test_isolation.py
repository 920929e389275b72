"""The trial tells which layers work here; a missing one is refused unless it was given up by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local_modal.runtime.isolation import ESSENTIAL, Isolation, IsolationError, namespace_advice, probe
from local_modal.runtime.policy import LAYERS


def isolation(**missing: str) -> Isolation:
    return Isolation(("namespaces",), {name.replace("_", "-"): text for name, text in missing.items()}, "uid 1", 0)


def test_every_layer_is_found_where_the_other_tests_of_the_jail_pass() -> None:
    found = probe()
    assert found.missing == {}
    assert set(found.active) == {ESSENTIAL, *LAYERS}
    assert found.snapshot_proc == "its own"
    assert found.policy().layers == set(LAYERS)


def test_a_missing_layer_is_refused_with_what_to_do() -> None:
    with pytest.raises(IsolationError, match=r"landlock: boot with it\n.*name what you do without"):
        isolation(landlock="boot with it").policy()


def test_a_missing_layer_can_be_given_up_by_name_and_only_that() -> None:
    found = isolation(landlock="boot with it", seccomp="needs a kernel")
    with pytest.raises(IsolationError, match="seccomp") as refused:
        found.policy(["landlock"])
    assert "landlock" not in str(refused.value)
    assert found.policy(["landlock", "seccomp"]).layers == set(LAYERS) - {"landlock", "seccomp"}


def test_a_layer_that_works_stays_on_though_it_was_given_up() -> None:
    assert isolation().policy(["landlock"]).layers == set(LAYERS)


def test_nothing_runs_without_namespaces() -> None:
    found = isolation(namespaces="forbidden")
    with pytest.raises(IsolationError, match="no such isolation layer: namespaces"):
        found.policy(["namespaces"])
    with pytest.raises(IsolationError, match="namespaces: forbidden"):
        found.policy()


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(IsolationError, match="no such isolation layer: apparmor"):
        isolation().policy(["apparmor"])


@pytest.mark.parametrize(
    ("file", "content", "advice"),
    [
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "apparmor_restrict_unprivileged_userns=0"),
        ("proc/sys/kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"),
        ("proc/sys/user/max_user_namespaces", "0\n", "max_user_namespaces=15000"),
        (".dockerenv", "", "--security-opt seccomp=docker/local-modal.seccomp.json"),
        ("nothing", "", "Linux 5.14"),
    ],
)
def test_the_advice_fits_what_forbids_namespaces(tmp_path: Path, file: str, content: str, advice: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(content)
    assert advice in namespace_advice(tmp_path)


def test_forbidden_user_namespaces_are_found_and_explained() -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT RUN: only root can forbid user namespaces for a test")
    program = (
        "import ctypes, os\n"
        "ctypes.CDLL(None).unshare(0x10000000)\n"
        "for name, value in (('setgroups', 'deny'), ('uid_map', '0 0 1'), ('gid_map', '0 0 1')):\n"
        "    open(f'/proc/self/{name}', 'w').write(value)\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "from local_modal.runtime.isolation import probe\n"
        "print(probe().missing)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4]
    )
    assert "namespaces" in done.stdout
    assert "unshare" in done.stdout
    assert "max_user_namespaces=15000" in done.stdout
