"""Names of what is rotated."""

import pytest

from infra.modal_provider.generation import generation_name, split_generation


@pytest.mark.parametrize("inputs", [{"name": "server", "generation": 1}, {"name": "server-eu", "generation": 12}])
def test_a_name_tells_its_generation(inputs: dict[str, object]) -> None:
    assert split_generation(generation_name(inputs)) == inputs


@pytest.mark.parametrize("name", ["server", "server-", "server-0", "server-eu"])
def test_a_name_without_a_generation_is_of_the_first(name: str) -> None:
    assert split_generation(name) == {"name": name, "generation": 1}
