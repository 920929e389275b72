"""What building the image ahead sends, with and without a name for it."""

from tests.unit.modal_app.recorder import recorder


def test_a_build_publishes_nothing_unless_asked() -> None:
    with recorder() as plane:
        done = plane.run("modal_app.build")
        assert done.returncode == 0, done.stderr
        assert plane.tags == {}
        assert "inference-cpu==" in plane.image_lines
        assert plane.functions == []


def test_what_is_published_is_what_was_built_with_these_settings() -> None:
    with recorder() as plane:
        done = plane.run("modal_app.build", "--publish", "custom-blocks:v1", packages="shapely==2.1.2")
        assert done.returncode == 0, done.stderr
        assert plane.tags == {"custom-blocks:v1": f"im-{len(plane.images)}"}
        assert "shapely==2.1.2" in plane.image_lines
        assert f"image im-{len(plane.images)}: published as custom-blocks:v1" in done.stdout


def test_an_image_is_built_even_where_deploys_use_a_published_one() -> None:
    with recorder() as plane:
        done = plane.run("modal_app.build", "--publish", "custom-blocks:v2", image_tag="custom-blocks:v1")
        assert done.returncode == 0, done.stderr
        assert plane.tags == {"custom-blocks:v2": f"im-{len(plane.images)}"}


def test_a_name_that_no_image_can_have_is_refused_before_anything_is_built() -> None:
    with recorder() as plane:
        done = plane.run("modal_app.build", "--publish", "im-123")
        assert done.returncode == 1
        assert "--publish='im-123' must be an image's name" in done.stderr
        assert plane.calls == []


def test_a_control_plane_that_publishes_nothing_makes_it_fail() -> None:
    with recorder() as plane:
        plane.refused = frozenset({"ImagePublish"})
        done = plane.run("modal_app.build", "--publish", "custom-blocks:v1")
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("build: UnimplementedError: ")
