"""Code is kept by workspace and hash, as long as there is room."""

from modal_app.gateway.codes import Code, CodeStore
from modal_app.settings import WebSettings


def code(number: int, size: int = 1) -> Code:
    return Code(f"{number}" * size, ())


def test_the_least_recently_used_goes_first() -> None:
    store = CodeStore(WebSettings(code_entries=2))
    store.put("a", code(1))
    store.put("a", code(2))
    assert store.get("a", code(1).hash) == code(1)
    store.put("a", code(3))
    assert store.get("a", code(2).hash) is None
    assert store.get("a", code(1).hash) == code(1)


def test_a_workspace_has_so_much_room_and_takes_none_of_anothers() -> None:
    store = CodeStore(WebSettings(code_bytes=10))
    store.put("b", code(1, 8))
    for number in (1, 2):
        store.put("a", code(number, 8))
    store.put("a", code(3, 11))
    assert [store.get("a", code(number, size).hash) for number, size in ((1, 8), (3, 11))] == [None, None]
    assert store.get("a", code(2, 8).hash)
    assert store.get("b", code(1, 8).hash)


def test_only_so_many_workspaces_are_kept() -> None:
    store = CodeStore(WebSettings(code_workspaces=1))
    store.put("a", code(1))
    store.put("b", code(1))
    assert store.get("a", code(1).hash) is None


def test_the_same_code_again_takes_no_more_room() -> None:
    store = CodeStore(WebSettings(code_bytes=10))
    for _ in range(5):
        store.put("a", code(1, 8))
    assert store.get("a", code(1, 8).hash)
    assert store._shelves["a"].size == 8
