"""Memory that a container and the control plane share: what goes in comes out, and what is promised must be there."""

import os
from collections.abc import Iterator

import pytest

from local_modal.runtime.payload import Payload, PayloadError


@pytest.fixture
def payload() -> Iterator[Payload]:
    made = Payload.create()
    yield made
    made.close()


def test_each_side_takes_what_the_other_has_put(payload: Payload) -> None:
    other = Payload(os.dup(payload.descriptor))
    argument, answer = os.urandom(3 << 20), os.urandom(1000)
    assert other.take(payload.put(argument), 4 << 20) == argument
    assert payload.take(other.put(answer), 4 << 20) == answer
    other.close()


def test_what_was_taken_stays_as_it_was(payload: Payload) -> None:
    taken = payload.take(payload.put(b"before"), 100)
    payload.put(b"after.")
    assert taken == b"before"


@pytest.mark.parametrize(
    "reference", ["", "payload:", "payload:-1", "payload:1e3", "payload:\u0661", "payload:1\n", "bl-1"]
)
def test_what_refers_to_nothing_is_refused(payload: Payload, reference: str) -> None:
    payload.put(b"x" * 2000)
    with pytest.raises(PayloadError, match="refers to no payload"):
        payload.take(reference, 4000)


def test_more_than_allowed_is_refused_before_it_is_read(payload: Payload) -> None:
    os.ftruncate(payload.descriptor, 1 << 40)
    with pytest.raises(PayloadError, match="over the limit of 10 bytes"):
        payload.take(f"payload:{1 << 39}", 10)


def test_more_than_there_is_is_refused(payload: Payload) -> None:
    payload.put(b"123")
    for size in (4, 10**12 - 1):
        with pytest.raises(PayloadError, match=f"of a payload of {size} bytes there are 3"):
            payload.take(f"payload:{size}", 10**12)
