"""Lines become what they say, with real installs of small packages."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from local_modal.images import Environment, ImageError, ImageStore
from local_modal.settings import CLIENT_VERSION
from tests.unit.local_modal.images.client_images import (
    FROM_PYTHON,
    build_client_image,
    build_lines,
    contents,
)
from tests.unit.local_modal.images.conftest import Python, new_store
from tests.unit.local_modal.images.test_apt import absent_package

LOCATE = "import six, importlib.metadata as m; print(six.__file__, m.version('six'))"


def lay(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


async def test_the_clients_debian_slim_is_built_whole(store: ImageStore, tmp_path: Path, python: Python) -> None:
    log: list[str] = []
    environment = await build_client_image(store, lambda image: image.debian_slim("3.11"), tmp_path, log)
    assert environment.python_version.startswith("3.11.")
    assert environment.workdir == "/root"
    assert python(environment, "import pip, sys; print(sys.version.split()[0])") == environment.python_version
    text = "\n".join(log)
    for line in (
        f"=> Step 0: {FROM_PYTHON}",
        "stands for 3.11.12",
        "=> Step 3: RUN pip install --upgrade pip wheel uv",
    ):
        assert line in text
    assert log[-1].startswith(f"Built {environment.image_id} in ")


async def test_a_clients_image_of_many_layers_runs(store: ImageStore, tmp_path: Path, python: Python) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("idna==3.10\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x.txt").write_text("content")

    def define(image: Any) -> Any:
        return (
            image.debian_slim(python_version="3.11")
            .apt_install("libc6")
            .uv_pip_install("six==1.16.0", requirements=[str(requirements)])
            .pip_install("toolz<1")
            .env({"GREETING": 'it\'s "$5"', "EMPTY": ""})
            .workdir("/data dir")
            .add_local_dir(tmp_path / "data", "/data", copy=True)
            .run_commands("pip install 'more-itertools>=10' && pip uninstall -y toolz", "rm /data/none -f")
            .cmd(["sleep", "1"])
        )

    environment = await build_client_image(store, define, tmp_path / "mounts")
    assert python(environment, LOCATE).endswith(" 1.16.0")
    assert python(environment, "import idna, more_itertools; print(idna.__version__)") == "3.10"
    assert python(environment, "import importlib.util as u; print(u.find_spec('toolz'))") == "None"
    assert environment.env["GREETING"] == 'it\'s "$5"'
    assert environment.env["EMPTY"] == ""
    assert environment.workdir == "/data dir"
    assert (environment.binds["/data"] / "x.txt").read_text() == "content"
    assert environment.binds["/.uv"].is_dir()


async def test_local_python_source_is_copied_where_the_client_puts_it(store: ImageStore, tmp_path: Path) -> None:
    environment = await build_client_image(
        store, lambda image: image.debian_slim("3.11").add_local_python_source("toml", copy=True), tmp_path
    )
    assert (environment.binds["/root/toml"] / "__init__.py").is_file()


async def test_installed_packages_have_bytecode(store: ImageStore, base: Environment, python: Python) -> None:
    environment = await build_lines(store, "RUN pip install six==1.17.0", base=base)
    location = Path(python(environment, LOCATE).split()[0])
    assert list((location.parent / "__pycache__").glob("six.cpython-311*.pyc"))


async def test_programs_of_the_environment_run_from_its_final_place(store: ImageStore, base: Environment) -> None:
    environment = await build_lines(store, "RUN pip install markdown-it-py==3.0.0", base=base)
    script = environment.venv / "bin/markdown-it"
    assert "building" not in script.read_text()
    assert environment.env["PATH"].split(":")[0] == str(environment.venv / "bin")


async def test_a_child_changes_nothing_of_its_parent(store: ImageStore, base: Environment, python: Python) -> None:
    parent = await build_lines(store, "RUN pip install six==1.16.0 markdown-it-py==3.0.0", base=base)
    before = contents(parent.venv)
    child = await build_lines(
        store, "RUN pip install six==1.17.0 && pip install --reinstall markdown-it-py==3.0.0", base=parent
    )
    assert contents(parent.venv) == before
    assert (python(parent, LOCATE).split()[1], python(child, LOCATE).split()[1]) == ("1.16.0", "1.17.0")
    assert child.venv != parent.venv


async def test_a_clone_shares_its_parents_files(store: ImageStore, base: Environment, python: Python) -> None:
    parent = await build_lines(store, "RUN pip install six==1.16.0", base=base)
    child = await build_lines(store, "RUN pip install idna==3.10", base=parent)
    mine, theirs = (Path(python(environment, LOCATE).split()[0]) for environment in (parent, child))
    assert mine != theirs
    assert mine.samefile(theirs)


async def test_a_layer_that_installs_nothing_uses_its_parents_environment(store: ImageStore, base: Environment) -> None:
    child = await build_lines(store, "ENV A=1", "WORKDIR sub", "ENV B=$A", base=base)
    assert child.venv == base.venv
    assert (child.env["A"], child.env["B"], child.workdir) == ("1", "1", "/root/sub")
    assert "A" not in base.env


async def test_the_modal_client_is_there_and_the_images_packages_win(
    store: ImageStore, base: Environment, python: Python
) -> None:
    where = "import modal, typing_extensions as t; print(modal.__version__, modal.__file__, t.__file__)"
    version, modal, extensions = python(base, where).split()
    assert version == CLIENT_VERSION
    assert Path(modal).is_relative_to(base.client)
    assert Path(extensions).is_relative_to(base.client)
    own = await build_lines(store, "RUN pip install typing_extensions==4.13.2", base=base)
    _, modal, extensions = python(own, where).split()
    assert Path(modal).is_relative_to(base.client)
    assert Path(extensions).is_relative_to(own.venv)
    assert base.client in base.read_only


async def test_an_images_own_client_wins_where_its_version_fits(
    store: ImageStore, base: Environment, python: Python
) -> None:
    own = await build_lines(store, f"RUN pip install modal=={CLIENT_VERSION}", base=base)
    assert Path(python(own, "import modal; print(modal.__file__)")).is_relative_to(own.venv)
    with pytest.raises(ImageError, match=f"pin modal=={CLIENT_VERSION}"):
        await build_lines(store, "RUN pip install --no-deps modal==1.1.0", base=base)


async def test_a_requirements_file_is_read_from_the_image(store: ImageStore, base: Environment, tmp_path: Path) -> None:
    context = lay(tmp_path / "context", sub__r_txt="six==1.16.0\n")
    lines = ("COPY sub /req/", "WORKDIR /req", "RUN uv pip install -r r.txt")
    environment = await build_lines(store, *lines, base=base, context_mount=context)
    assert list(environment.venv.glob("lib/python3.11/site-packages/six-1.16.0.dist-info"))
    with pytest.raises(ImageError, match=r"/etc/passwd isn't in the image"):
        await build_lines(store, "RUN pip install -r /etc/passwd", base=environment)
    with pytest.raises(ImageError, match="isn't in the image"):
        await build_lines(store, "RUN pip install -r ../../../../../../etc/passwd", base=environment)


async def test_copying_follows_docker(store: ImageStore, base: Environment, tmp_path: Path) -> None:
    context = lay(tmp_path / "context", a_txt="a", b_txt="b", d__c_txt="c")
    first = await build_lines(
        store,
        *("COPY a.txt /data/renamed", "COPY a.txt b.txt /data/", "COPY d /data/d", "COPY --chmod=755 a.txt /data/run"),
        base=base,
        context_mount=context,
    )
    folder = first.binds["/data"]
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        *("a.txt", "b.txt", "d/c.txt", "renamed", "run")
    ]
    assert (folder / "run").stat().st_mode & 0o777 == 0o755
    second = await build_lines(store, "COPY b.txt /data/a.txt", "RUN rm -r /data/d", base=first, context_mount=context)
    assert (second.binds["/data"] / "a.txt").read_text() == "b"
    assert not (second.binds["/data"] / "d").exists()
    assert (folder / "a.txt").read_text() == "a"
    assert (folder / "d/c.txt").exists()


async def test_build_arguments_and_defaults_are_known_to_later_lines(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    lines = (FROM_PYTHON, "ARG A=default", "ARG B", "ENV X=$A-${B:-none}")
    assert (await build_lines(store, *lines)).env["X"] == "default-none"


async def test_secrets_reach_the_command_and_nothing_else(store: ImageStore, base: Environment, tmp_path: Path) -> None:
    context = lay(tmp_path / "context", r_txt="--index-url http://user:${TOKEN}@127.0.0.1:9/simple\nsix\n")
    log: list[str] = []
    lines = ("COPY r.txt /r.txt", "ENV UV_HTTP_RETRIES=0", "RUN pip install -r /r.txt")
    with pytest.raises(ImageError, match="could not be reached") as caught:
        await build_lines(store, *lines, base=base, context_mount=context, secrets={"TOKEN": "hunter22"}, log=log)
    assert "hunter22" not in str(caught.value) + "\n".join(log)


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("RUN curl https://x | sh", "no shell runs here"),
        ("RUN make install", "only pip, uv pip, apt-get install"),
        ("RUN python setup.py install", "only pip, uv pip, apt-get install"),
        ("RUN pip install -e .", "editable"),
        ("RUN uv sync --frozen", "only 'uv pip'"),
        ("RUN apt-get remove git", "only update, install and clean"),
        ("RUN apt-get install -y --reinstall git", "--reinstall"),
        ("RUN --network=none pip install six", "--network=none"),
        ("RUN LD_PRELOAD=/x pip install six", "redirect"),
        ("RUN rm -rf /usr", "belongs to this machine"),
        ("RUN rm -rf /", "belongs to this machine"),
        ("RUN mkdir /etc/x", "belongs to this machine"),
        ("COPY x.txt /usr/local/bin/x", "system folder"),
        ("COPY none /data", "not among the files"),
        ("COPY --from=other /x /y", "--from=other"),
        ("ADD https://x /y", "Use COPY"),
        ("USER nobody", "leave USER out"),
        ('ENTRYPOINT ["tini"]', "only ENTRYPOINT []"),
        ('SHELL ["bash", "-c"]', "not supported"),
        ("FROM other", "several stages"),
    ],
)
async def test_what_cannot_be_replayed_is_refused_by_its_line(
    store: ImageStore, base: Environment, tmp_path: Path, line: str, advice: str
) -> None:
    context = lay(tmp_path / "context", x_txt="x")
    with pytest.raises(ImageError) as caught:
        await build_lines(store, line, base=base, context_mount=context)
    assert repr(line) in str(caught.value)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["FROM ubuntu:22.04", "FROM scratch", "FROM python:3.11-alpine", "FROM python:3.11 AS build", "FROM ghcr.io/x"],
)
async def test_other_base_images_are_refused(store: ImageStore, line: str) -> None:
    with pytest.raises(ImageError) as caught:
        await build_lines(store, line)
    assert repr(line) in str(caught.value)


async def test_lines_before_from_are_refused(store: ImageStore) -> None:
    with pytest.raises(ImageError, match="no FROM"):
        await build_lines(store, "ENV A=1")


async def test_a_missing_python_names_itself_and_the_remedy(store: ImageStore) -> None:
    with pytest.raises(ImageError, match=r"Python 3\.99 isn't on this machine .*uv python install 3\.99"):
        await build_lines(store, "FROM python:3.99-slim")


async def test_an_unreachable_index_is_one_clear_message(store: ImageStore, base: Environment) -> None:
    line = "RUN UV_HTTP_RETRIES=0 pip install --index-url http://127.0.0.1:9/simple six"
    with pytest.raises(ImageError) as caught:
        await build_lines(store, line, base=base)
    message = str(caught.value)
    assert "http://127.0.0.1:9/simple/six/ could not be reached; check the network" in message
    assert "\n" not in message


async def test_a_version_that_does_not_exist_gives_uvs_reason(store: ImageStore, base: Environment) -> None:
    with pytest.raises(ImageError, match=r"six==0\.0\.99") as caught:
        await build_lines(store, "RUN pip install six==0.0.99", base=base)
    assert "no version of six==0.0.99" in str(caught.value)


@pytest.mark.skipif(not shutil.which("apt-get"), reason="NOT RUN: needs a machine with apt")
@pytest.mark.timeout(300)
async def test_an_unpacked_library_loads_in_the_environment(
    store: ImageStore, base: Environment, python: Python
) -> None:
    environment = await build_lines(store, f"RUN apt-get install -y {absent_package()}", base=base)
    (library, *_) = (path.name for path in environment.library_paths[0].glob("lib*.so.*"))
    assert python(environment, f"import ctypes; print(bool(ctypes.CDLL({library!r})))") == "True"
    assert environment.packages in environment.read_only
    child = await build_lines(store, "ENV LD_LIBRARY_PATH=/mine", base=environment)
    assert child.packages == environment.packages
    assert child.env["LD_LIBRARY_PATH"].split(":")[-1] == "/mine"
