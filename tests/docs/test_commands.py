"""Every block of commands says how it is tested, and names what there is; tests/pipeline/test_docs.py runs them."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from modal_app.settings import MODAL_VERSION
from tests.docs.commands import PAGES, ROOT, Block, blocks
from tests.docs.test_makefile import targets

ALL = [block for page in PAGES for block in blocks(page)]
OWN = ("infra", "modal_app", "local_modal", "examples", "benchmarks")
WHOLE = {Path("infra"), Path("examples"), Path("benchmarks")}
"""Folders that the map has as a whole."""


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_block_of_commands_says_how_it_is_tested(block: Block) -> None:
    assert block.is_marked, (
        f"{block}: put <!-- run: local -->, <!-- run: account --> or <!-- not run: why --> before it"
    )


@pytest.mark.parametrize("block", ALL, ids=str)
def test_its_targets_modules_and_scripts_exist(block: Block) -> None:
    named = set(re.findall(r"(?:^|[(;&] ?)make ([a-z-]+)", block.text, re.MULTILINE))
    assert named <= targets()
    modules = [name for name in re.findall(r"python -m ([\w.]+)", block.text) if name.startswith(OWN)]
    assert [name for name in modules if find_spec(name) is None] == []
    scripts = re.findall(r"(?:^|\()((?:\.ci|docker|requirements)/[\w.-]+)", block.text, re.MULTILINE)
    scripts += re.findall(r"(?:tests|docs)/[\w./-]*\w", block.marker)
    assert [name for name in scripts if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("block", ALL, ids=str)
def test_a_version_that_it_names_is_the_pinned_one(block: Block) -> None:
    assert set(re.findall(r"\bmodal==([\w.]+)", block.text)) <= {MODAL_VERSION}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_targets_that_a_page_names_in_passing_exist(page: Path) -> None:
    named = set(re.findall(r"`(?:[A-Z_]+=\S+ )?make ([a-z-]+)", page.read_text("utf-8")))
    assert named <= targets()


def test_a_block_without_a_marker_or_with_a_wrong_one_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    unmarked, wrong = "```sh\nmake deploy\n```\n", "<!-- run: moon -->\n```sh\nx\n```\n"
    page.write_text(f"{unmarked}{wrong}<!-- run: local; first: deploy -->\n```sh\ny\n```\n")
    found = blocks(page)
    assert [block.is_marked for block in found] == [False, False, True]
    assert (found[2].where, found[2].first, found[2].text) == ("local", "deploy", "y\n")


def test_what_a_page_shows_and_a_command_does_not_print_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\nmake deploy\n```\n```\n + app created (0.08s) im-6z2E published\n…\ncheck  it   1 ms …\n```\n"
    )
    (block,) = blocks(page)
    assert block.unprinted(" + app created (2s) im-77aQ published\nother\ncheck it 12.5 ms, well\n") == []
    assert block.unprinted(" + app made\ncheck it 3 ms\n") == [" + app created (0.08s) im-6z2E published"]


def test_the_verbs_of_the_contributors_page_are_those_of_make() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    verbs = page[page.index("## The verbs") : page.index("## How code is written")]
    assert set(re.findall(r"`make ([a-z-]+)`", verbs)) == targets()


def test_the_map_of_the_house_has_every_package_and_nothing_that_is_gone() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = page[page.index("## The map") : page.index("## The verbs")].splitlines()
    named = {path for row in rows for path in _paths(row)}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
    packages = [init.parent.relative_to(ROOT) for name in OWN for init in (ROOT / name).glob("*/__init__.py")]
    placed = {Path(path) for path in named}
    assert [str(package) for package in packages if package not in placed and package.parent not in WHOLE] == []


def _paths(row: str) -> list[str]:
    """Of a row's first cell; a folder without its parent is beside the one before it."""
    paths: list[str] = []
    for name in re.findall(r"`([\w./-]+)`", row.split("|")[1] if row.startswith("| `") else ""):
        beside = str(Path(paths[-1]).parent / name) if paths else ""
        paths.append(beside if paths and (ROOT / beside).exists() else name)
    return [path.rstrip("/") for path in paths]


def test_the_index_of_the_documentation_has_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"]
    assert [name for name in sorted(pages) if f"]({name})" not in index] == []
