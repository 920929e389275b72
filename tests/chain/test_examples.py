"""Each example gives what its page says, in a sandbox as in the server's own process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import supervision as sv
from roboflow_workflows.execution_engine.entities.base import WorkflowImageData

from examples.workflow import IN_A_SESSION, load, names
from tests.chain.doors import Doors, doors_of
from tests.chain.server import ROOT, Server
from tests.chain.test_values import same
from tests.contract.conftest import LocalModal

LOCAL_MODE = {
    "WORKFLOWS_CUSTOM_PYTHON_EXECUTION_MODE": "local",
    "ALLOW_CUSTOM_PYTHON_EXECUTION_IN_WORKFLOWS": "True",
}
JPEG_NOISE = 6.0
"""How far pixels may be off on average, after an image was JPEG twice (levels)."""
Results = list[dict[str, Any]]


@pytest.fixture(scope="module")
def local_server() -> Iterator[Server]:
    """A server that runs custom blocks itself."""
    with Server(LOCAL_MODE) as server:
        yield server


def results(server: Server, name: str) -> Results:
    example = load(name)
    run = server.run(example.definition, **example.parameters())
    assert run.failure is None, run.failure
    assert run.results is not None
    return run.results


@pytest.mark.parametrize("name", sorted(set(names()) - IN_A_SESSION))
def test_a_sandbox_gives_what_local_execution_gives(server: Server, local_server: Server, name: str) -> None:
    remote, local = results(server, name), results(local_server, name)
    assert len(remote) == len(local)
    for ours, theirs in zip(remote, local, strict=True):
        assert ours.keys() == theirs.keys()
        for output, value in ours.items():
            expected = theirs[output]
            if isinstance(value, WorkflowImageData):
                assert same(value.numpy_image, expected.numpy_image), output
                assert value.parent_metadata == expected.parent_metadata
            else:
                assert same(value, expected), output


def test_cars_are_counted_per_zone_and_drawn_in_its_colour(server: Server) -> None:
    (result,) = results(server, "count_per_zone")
    assert result["report"] == {
        "staff": {"count": 3, "free": 1},
        "visitors": {"count": 3, "free": 1},
        "residents": {"count": 4, "free": 4},
        "deliveries": {"count": 1, "free": 1},
    }
    assert len(changed("count_per_zone", result["picture"], 0, (53, 46, 115, 182))) == 1


def test_what_an_ocr_model_read_is_put_in_order_and_corrected(server: Server) -> None:
    (result,) = results(server, "ocr_clean_up")
    assert result["text"].splitlines() == [
        "NORDWERK PUMPS",
        "Type NP-450",
        "Serial no. 2407-0138",
        "Year 2024",
        "Supply 400 V 50 Hz",
        "Made in Bergen",
    ]
    wanted = {"type": "NP-450", "serial": "2407-0138", "year": "2024", "voltage": "400 V", "frequency": "50 Hz"}
    assert (result["fields"], result["unread"]) == (wanted, [])


def test_coins_are_measured_and_their_sizes_drawn(server: Server) -> None:
    (result,) = results(server, "image_annotation")
    diameters = [coin["diameter"] for coin in result["coins"]]
    assert result["counts"] == {"small": 9, "medium": 9, "large": 6}
    assert diameters == sorted(diameters, reverse=True)
    assert (len(diameters), diameters[0], diameters[-1]) == (24, 154, 92)
    assert result["picture"].numpy_image.shape == (758 + 56, 960, 3)


def test_of_a_trackers_detections_those_stay_that_can_be_acted_on(server: Server) -> None:
    (result,) = results(server, "tracked_filter")
    kept = result["predictions"]
    assert isinstance(kept, sv.Detections)
    assert kept.tracker_id is not None
    assert kept.tracker_id.tolist() == result["tracks"] == [32, 33, 35]
    assert kept.data["detection_id"].tolist() == ["parcel-2", "parcel-3", "parcel-5"]
    assert {(each["track"], each["reason"]) for each in result["dropped"]} == {
        (31, "handled"),
        (34, "handled"),
        (-1, "not tracked"),
        (33, "second box"),
        (36, "uncertain"),
    }


def test_a_batch_of_crops_becomes_one_report_for_each_picture(server: Server) -> None:
    first, second = results(server, "batch_report")
    assert first["report"] == {"fruits": 12, "ripe": 9, "share_ripe": 0.75, "mean_redness": 0.83, "ready": True}
    assert second["report"] == {"fruits": 12, "ripe": 4, "share_ripe": 0.33, "mean_redness": 0.64, "ready": False}
    assert first["picture"].numpy_image.shape == second["picture"].numpy_image.shape == (316, 768, 3)


@pytest.fixture(scope="module")
def doors(plane: LocalModal) -> Doors:
    return doors_of(plane)


def test_a_session_follows_parcels_from_picture_to_picture(doors: Doors, local_server: Server) -> None:
    released = {
        "WORKFLOWS_PLUGINS": "",
        "WEBEXEC_TRANSPORT": "websocket",
        "MODAL_WS_ENDPOINT_URL": doors.addresses["session"].partition("?")[0],
        "MODAL_WEB_ENDPOINT_URL": doors.addresses["http"],
        "MODAL_TOKEN_ID": doors.token_id,
        "MODAL_TOKEN_SECRET": doors.token_secret,
    }
    with Server(released) as session_server:
        kept, local = results(session_server, "tracked_video"), results(local_server, "tracked_video")
    assert [frame["report"]["frame"] for frame in kept] == [1, 2, 3, 4, 5]
    assert [frame["report"]["tracks"] for frame in kept] == [
        [1, 2, 3],
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [1, 3, 4],
        [1, 3, 4],
    ]
    names_by_track: dict[int, str] = {}
    for ours, theirs in zip(kept, local, strict=True):
        found = ours["predictions"]
        assert ours["report"] == theirs["report"]
        assert found.tracker_id.tolist() == theirs["predictions"].tracker_id.tolist()
        for track, name in zip(found.tracker_id.tolist(), found.data["detection_id"].tolist(), strict=True):
            assert names_by_track.setdefault(track, name[-1]) == name[-1]  # one number for one parcel
        drawn, expected = (each["picture"].numpy_image.astype(int) for each in (ours, theirs))
        assert np.abs(drawn - expected).mean() < JPEG_NOISE


def test_without_a_session_every_picture_is_the_first(server: Server) -> None:
    assert [frame["report"]["frame"] for frame in results(server, "tracked_video")] == [1] * 5


def test_the_command_runs_a_video_in_a_session(plane: LocalModal, doors: Doors, tmp_path: Path) -> None:
    done = show(plane, tmp_path, "tracked_video", **doors.smoke_variables)
    assert done.returncode == 0, done.stderr
    assert '{"frame": 5, "tracks": [1, 3, 4], "parcels": 4}' in done.stdout
    assert cv2.imread(str(tmp_path / "tracked_video-5.png")) is not None


def changed(name: str, picture: WorkflowImageData, number: int, box: tuple[int, int, int, int]) -> set[tuple[int, ...]]:
    """The colours of a box's left edge, if something was drawn there."""
    (files,) = load(name).images.values()
    before, after = cv2.imread(str(files[number])), picture.numpy_image
    assert before is not None
    left, top, _, bottom = box
    rows = slice(top + 20, bottom - 20)
    assert (before[rows, left] != after[rows, left]).any(axis=-1).all()
    return {tuple(colour) for colour in np.unique(after[rows, left], axis=0).tolist()}


def show(plane: LocalModal, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command behind `make example`."""
    return subprocess.run(
        [sys.executable, "-m", "examples", *arguments, "--folder", str(folder)],
        env={**os.environ, **plane.client_env(), **variables},
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        timeout=100,
    )


def test_the_command_shows_input_block_and_output_and_writes_the_pictures(plane: LocalModal, tmp_path: Path) -> None:
    done = show(plane, tmp_path, "batch_report")
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "examples/batch_report/crate_1.jpg, examples/batch_report/crate_2.jpg" in shown
    assert "12 detections: tomato; 12 detections: tomato" in shown
    assert "\nBlock ReportRipeness, examples/batch_report/report_ripeness.py\n" in shown
    assert "def run(self, crops" in shown
    assert '"ready": true' in shown
    for number in (1, 2):
        picture = cv2.imread(str(tmp_path / f"batch_report-{number}.png"))
        assert picture is not None
        assert str(tmp_path / f"batch_report-{number}.png") in shown
        assert picture.shape == (316, 768, 3)
    assert "file:" not in (tmp_path / "batch_report.json").read_text("utf-8")


def test_the_command_says_in_a_line_why_a_workflow_failed(plane: LocalModal, tmp_path: Path) -> None:
    done = show(plane, tmp_path, "tracked_filter", MODAL_ENVIRONMENT="nowhere")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("the workflow failed: The app 'inference-custom-blocks' isn't deployed")
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_without_a_name_or_with_a_wrong_one_the_examples_are_listed(plane: LocalModal, tmp_path: Path) -> None:
    listing, refused = show(plane, tmp_path), show(plane, tmp_path, "count")
    assert (listing.returncode, refused.returncode) == (0, 2)
    assert listing.stdout == refused.stdout
    assert [line.split()[2] for line in listing.stdout.splitlines()] == [f"NAME={name}" for name in names()]
    assert refused.stderr.startswith("there is no example 'count'; there are ")
