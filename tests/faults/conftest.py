"""What the tests of faults share."""

import sys
from collections.abc import AsyncIterator

import pytest

from .stage import Stage


@pytest.fixture
async def stage(anyio_backend: object, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    """The module `stage`, for the test and for the features that it writes."""
    made = Stage()
    monkeypatch.setitem(sys.modules, "stage", made)
    yield made
    made.release()
