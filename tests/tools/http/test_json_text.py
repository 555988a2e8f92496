"""JSON that a feature reads by itself."""

import pytest
from msgspec import Struct

from ringfence import Invalid
from ringfence.tools.http import read_json


class Sent(Struct):
    id: int
    name: str


def test_what_fits_is_read_and_more_is_ignored() -> None:
    """Whoever sends may know more fields than the feature that reads."""
    assert read_json(b'{"id": 1, "name": "a", "more": []}', Sent) == Sent(1, "a")


def test_every_fault_is_listed_with_its_path() -> None:
    """A body that does not fit is refused as one that the framework reads."""
    with pytest.raises(Invalid) as caught:
        read_json('{"id": "x"}', Sent)
    assert [fault.path for fault in caught.value.faults] == ["$.id", "$.name"]


@pytest.mark.parametrize("content", [b"", b"{", b'"\xff"', b"[" * 100_000])
def test_what_is_no_json_is_invalid_and_nothing_worse(content: bytes) -> None:
    """Whatever is sent, the feature gets the one error that it declares nothing for."""
    with pytest.raises(Invalid) as caught:
        read_json(content, Sent)
    assert len(caught.value.faults) == 1
