"""The pytest plugin: `boot`, a fixture that starts applications and stops them with the test.

    async def test_an_order_is_stored(boot):
        app = await boot("apps/shop")

Async tests run with whichever plugin the project uses for them, anyio's or pytest-asyncio.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ringfence.testing import TestApplication

Boot = Callable[..., "Awaitable[TestApplication]"]


@pytest.fixture
async def boot(anyio_backend: object) -> AsyncIterator[Boot]:
    """Start an application: `app = await boot(path)`; it is stopped when the test ends."""
    from ringfence.testing import boot as start  # only a test that asks pays for the import

    async with AsyncExitStack() as stack:

        async def run(path: str, **options: object) -> "TestApplication":
            return await stack.enter_async_context(start(path, **options))  # type: ignore[arg-type]

        yield run
