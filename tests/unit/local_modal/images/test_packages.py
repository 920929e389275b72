from pathlib import Path

import pytest

from local_modal.images.packages import Call, ReplayRefusedError, recognise, translate


def located(path: str) -> Path:
    return Path("/image") / path.lstrip("/")


def translated(line: str) -> list[str]:
    call = recognise(tuple(line.split()))
    assert call is not None
    return translate(call, located)


@pytest.mark.parametrize(
    ("line", "by"),
    [
        ("pip install a", "pip"),
        ("pip3 install a", "pip"),
        ("python -m pip install a", "pip"),
        ("/usr/local/bin/python3.11 -m pip install a", "pip"),
        ("python -m uv pip install a", "uv"),
        ("uv pip install a", "uv"),
        ("/.uv/uv pip install a", "uv"),
    ],
)
def test_package_commands_are_recognised(line: str, by: str) -> None:
    call = recognise(tuple(line.split()))
    assert call is not None
    assert call.by == by


@pytest.mark.parametrize("line", ["python setup.py", "python -c pip", "./pip install a", "npm install a", "python"])
def test_other_programs_are_not(line: str) -> None:
    assert recognise(tuple(line.split())) is None


def test_the_target_and_what_uv_does_anyway_are_left_out() -> None:
    line = "/.uv/uv pip install --python python --compile-bytecode --system --no-cache six"
    assert translated(line) == ["pip", "install", "six"]


def test_pips_options_get_uvs_names() -> None:
    line = "pip install --force-reinstall --no-cache-dir --root-user-action=ignore --pre -U --requirement /r.txt"
    assert translated(line) == ["pip", "install", "--reinstall", "--pre", "-U", "--requirements", "/image/r.txt"]


def test_a_second_index_of_pip_keeps_pips_choice_of_the_best_version() -> None:
    assert translated("pip install --extra-index-url https://x a") == [
        *("pip", "install", "--index-strategy", "unsafe-best-match", "--extra-index-url", "https://x", "a")
    ]
    assert "--index-strategy" not in translated("uv pip install --extra-index-url https://x a")


def test_the_torch_backend_and_indexes_pass_through() -> None:
    line = "uv pip install --torch-backend=cpu --index-url https://x/simple --prerelease allow torch"
    assert translated(line)[2:] == [
        "--torch-backend",
        "cpu",
        "--index-url",
        "https://x/simple",
        "--prerelease",
        "allow",
        "torch",
    ]


def test_paths_are_those_of_the_image() -> None:
    assert translated("pip install -c /c.txt --find-links=/wheels ./pkg /data/x.whl y.tar.gz")[2:] == [
        *("-c", "/image/c.txt", "--find-links", "/image/wheels", "/image/pkg", "/image/data/x.whl", "/image/y.tar.gz")
    ]


def test_addresses_are_not_taken_for_paths() -> None:
    words = ["git+https://h/x@v1", "https://h/x.whl", "a@https://h/y.whl"]
    assert translated(f"pip install -r https://h/r.txt {' '.join(words)}")[2:] == ["-r", "https://h/r.txt", *words]


def test_uninstalling_is_replayed() -> None:
    assert translated("pip uninstall -y six") == ["pip", "uninstall", "six"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("pip install -e .", "editable"),
        ("pip install --editable=/x", "editable"),
        ("pip install --target /x six", "--target"),
        ("pip install --prefix=/x six", "--prefix"),
        ("pip install --user six", "--user"),
        ("pip install -rfile", "-rfile"),
        ("pip install --config-file /x six", "--config-file"),
        ("pip install --python /usr/bin/python3.11 -m six", "-m"),
        ("uv pip install --python /opt/python six", "/opt/python"),
        ("pip install --index-url", "--index-url"),
        ("pip install a@file:///etc/passwd", "file:"),
        ("pip install git+file:///x", "file:"),
        ("pip download six", "download"),
        ("pip", "''"),
        ("uv sync --frozen", "uv sync"),
        ("uv tool install x", "uv tool"),
    ],
)
def test_what_is_not_replayed_is_refused_by_name(line: str, named: str) -> None:
    with pytest.raises(ReplayRefusedError) as caught:
        translated(line)
    assert named in str(caught.value)


def test_an_option_that_takes_no_value_is_refused_with_one() -> None:
    with pytest.raises(ReplayRefusedError, match="--upgrade"):
        translate(Call("pip", ("install", "--upgrade=x", "six")), located)
