"""Workspaces that the settings name have a container kept ready, where the control plane can do that."""

from tests.unit.modal_app.recorder import recorder


def test_each_workspace_gets_one_container() -> None:
    with recorder() as plane:
        done = plane.run("modal_app.warm", warm_workspaces="acme,beta")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "workspace acme: one container kept ready",
            "workspace beta: one container kept ready",
        ]
        assert plane.bound == [{"workspace_id": "acme"}, {"workspace_id": "beta"}]
        assert [(item.function_id, item.settings.min_containers) for item in plane.scaled] == [("fu-1", 1)] * 2
        assert done.stderr == ""


def test_workspaces_can_be_given_and_it_can_be_ended() -> None:
    with recorder() as plane:
        done = plane.run("modal_app.warm", "--off", "gamma", warm_workspaces="acme")
        assert done.returncode == 0, done.stderr
        assert plane.bound == [{"workspace_id": "gamma"}]
        (scaled,) = plane.scaled
        assert scaled.settings.HasField("min_containers")
        assert scaled.settings.min_containers == 0


def test_without_workspaces_nothing_is_asked() -> None:
    with recorder() as plane:
        assert plane.run("modal_app.warm").returncode == 0
        assert plane.calls == []


def test_a_control_plane_without_it_is_no_failure_but_is_said() -> None:
    with recorder() as plane:
        plane.refused = frozenset({"FunctionUpdateSchedulingParams"})
        done = plane.run("modal_app.warm", warm_workspaces="acme")
        assert done.returncode == 0
        assert done.stdout == ""
        assert done.stderr.startswith("warm: this control plane keeps no containers ready")


def test_an_app_that_is_not_deployed_is_a_failure() -> None:
    with recorder() as plane:
        plane.deployed = False
        done = plane.run("modal_app.warm", warm_workspaces="acme")
        assert done.returncode == 1
        assert done.stderr.startswith("warm: NotFoundError: ")


def test_a_malformed_workspace_is_refused() -> None:
    with recorder() as plane:
        done = plane.run("modal_app.warm", "a/b")
        assert done.returncode == 1
        assert "WORKSPACE='a/b' must be up to 128 letters" in done.stderr
        assert plane.calls == []
