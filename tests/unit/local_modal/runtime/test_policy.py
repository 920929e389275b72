"""Policies and limits refuse what makes no sense."""

import pytest

from local_modal.runtime.policy import LAYERS, Limits, Policy


def test_every_layer_is_on_unless_named() -> None:
    assert Policy().layers == set(LAYERS)
    assert Policy().without("landlock").layers == set(LAYERS) - {"landlock"}


def test_an_unknown_layer_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no such isolation layer: apparmor; there are .*seccomp"):
        Policy().without("apparmor")
    with pytest.raises(ValueError, match="no such isolation layer: selinux"):
        Policy(layers=frozenset({"selinux"}))


def test_containers_never_run_as_root() -> None:
    with pytest.raises(ValueError, match="root"):
        Policy(uid=0)


@pytest.mark.parametrize(
    "name", ["memory_bytes", "scratch_bytes", "processes", "open_files", "file_bytes", "cpu_seconds"]
)
def test_a_limit_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_a_policy_survives_the_way_into_the_jail() -> None:
    policy = Policy(uid=1234).without("seccomp", "limits")
    assert Policy.from_json(policy.to_json()) == policy
