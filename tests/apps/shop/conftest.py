"""One shop for the tests that only read, and add what no other one minds."""

from collections.abc import AsyncIterator

import pytest

from ringfence.testing import TestApplication
from tests.apps.shop.shops import open_shop


@pytest.fixture(scope="module")
async def shop(anyio_backend: object) -> AsyncIterator[TestApplication]:
    """Return a running shop; who changes what others look at opens one of its own."""
    async with open_shop(strict=True) as (app, _):
        yield app
