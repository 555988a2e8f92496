"""The application that the tests of the examples talk to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringfence.testing import TestApplication
from tests.examples.applications import running


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[TestApplication]:
    async with running(tmp_path) as application:
        yield application
