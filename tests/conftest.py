"""What all tests share."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run async tests on asyncio with uvloop, as the application runs."""
    return "asyncio", {"use_uvloop": True}
