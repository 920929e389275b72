"""The app, and the image that it runs in: built here, or promoted."""

import pytest

from infra.app_facts import app_facts
from infra.source import app_hash
from tests.unit.infra.deployment import deploy

PROMOTED = "staging/inference-custom-blocks:1.8.3-0123456789ab"


def test_the_app_has_the_name_versions_and_source_of_this_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    app = deploy(monkeypatch).the("App")
    facts = app_facts()
    assert app.inputs["name"] == facts.app
    assert app.inputs["sourceHash"] == app_hash()
    assert app.inputs["versions"] == {"contract": str(facts.versions["contract"]), "modal": facts.versions["modal"]}


def test_an_image_is_named_by_what_it_holds_and_stays_published(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch)
    image = made.the("Image")
    name, _, tag = image.inputs["tag"].partition(":")
    assert name == app_facts().app
    assert tag.startswith(f"{app_facts().versions['inference']}-")
    assert image.inputs["sourceHash"].startswith(tag.rpartition("-")[2])
    assert image.name == image.inputs["tag"], "another image is another resource: nothing is replaced"
    assert image.retain
    assert made.the("App").needs >= {image.name, made.the("Environment").name}


def test_staging_tells_what_production_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch)
    assert made.outputs["imageTag"] == f"staging/{made.the('Image').inputs['tag']}"


def test_production_runs_in_the_image_that_it_is_given_and_builds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deploy(monkeypatch, "production", imageTag=PROMOTED)
    assert made.of("Image") == []
    assert made.the("App").inputs["imageTag"] == PROMOTED
    assert made.outputs["imageTag"] == PROMOTED
