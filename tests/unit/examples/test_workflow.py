"""An example's folder is read into what the engine takes."""

import base64
import json
from pathlib import Path

import pytest

from examples import workflow
from examples.__main__ import main
from examples.workflow import NoSuchExampleError, brief, load, names


def test_there_are_six() -> None:
    stills = ["batch_report", "count_per_zone", "image_annotation", "ocr_clean_up", "tracked_filter"]
    assert names() == [*stills, "tracked_video"]


@pytest.mark.parametrize("name", names())
def test_a_folder_holds_a_workflow_its_code_its_inputs_and_small_pictures(name: str) -> None:
    example = load(name)
    code = [block["code"]["run_function_code"] for block in example.definition["dynamic_blocks_definitions"]]
    assert code == [file.read_text("utf-8") for file in example.blocks.values()]
    assert {each["name"] for each in example.definition["inputs"]} == example.inputs.keys()
    files = [file for group in example.images.values() for file in group]
    assert files
    assert all(file.stat().st_size < 200_000 for file in files)
    used = {"workflow.json", "inputs.json", *(file.name for file in (*files, *example.blocks.values()))}
    assert {path.name for path in example.folder.iterdir() if path.name != "__pycache__"} == used


@pytest.mark.parametrize("name", names())
def test_the_request_for_a_server_has_the_same_pictures_and_inputs(name: str, tmp_path: Path) -> None:
    example, file = load(name), tmp_path / "below" / "request.json"
    assert main([name, "--request", str(file)]) == 0
    request = json.loads(file.read_text("utf-8"))
    assert (request["api_key"], request["specification"]) == (None, example.definition)
    for key, value in example.inputs.items():
        if key not in example.images:
            assert request["inputs"][key] == value
            continue
        sent = request["inputs"][key]
        assert isinstance(sent, list) == isinstance(value, list)
        pictures = [base64.b64decode(each["value"]) for each in (sent if isinstance(sent, list) else [sent])]
        assert pictures == [path.read_bytes() for path in example.images[key]]


@pytest.mark.parametrize("name", names())
def test_the_readme_of_the_examples_shows_its_command_and_says_where_its_pictures_are_from(name: str) -> None:
    readme = (workflow.FOLDER / "README.md").read_text("utf-8")
    assert f"make example NAME={name}" in readme
    assert all(file.name in readme for group in load(name).images.values() for file in group)


@pytest.mark.parametrize("name", ["", "gone", "../examples/batch_report", "pictures.py"])
def test_another_name_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(NoSuchExampleError, match=r"there is no example .*; there are batch_report, count_per_zone"):
        load(name)


def test_the_code_of_an_init_function_can_be_a_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"run_function_code": "def run(self): ...", "init_function_code": "file:init.py"}
    definition = {"inputs": [], "dynamic_blocks_definitions": [{"manifest": {"block_type": "Block"}, "code": code}]}
    folder = tmp_path / "mine"
    folder.mkdir()
    for file, text in {
        "workflow.json": json.dumps(definition),
        "inputs.json": "{}",
        "init.py": "def init(): ...",
    }.items():
        (folder / file).write_text(text)
    monkeypatch.setattr(workflow, "FOLDER", tmp_path)
    (block,) = load("mine").definition["dynamic_blocks_definitions"]
    assert block["code"] == {"run_function_code": "def run(self): ...", "init_function_code": "def init(): ..."}


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    example = load("count_per_zone")
    broken = workflow.Example(tmp_path, example.definition, example.inputs, example.blocks)
    with pytest.raises(FileNotFoundError, match=r"car_park\.jpg is no picture that can be read"):
        broken.parameters()


def test_a_value_is_shown_in_a_line() -> None:
    boxes = {"predictions": [{"class": "car"}, {"class": "van"}, {"class": "car"}]}
    assert brief(boxes) == "3 detections: car, van"
    assert brief([boxes, boxes]) == "3 detections: car, van; 3 detections: car, van"
    assert brief([{"a": 1}] * 9).endswith(", … 9 in all]")
    assert brief({"a": [1, 2]}) == '{"a": [1, 2]}'
