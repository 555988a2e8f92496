"""The examples, booted with what a test may know of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ringfence.testing import TestApplication, boot

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = "the secret of a test"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[TestApplication]:
    """Boot the examples with their own secrets, and files in `folder`."""
    settings = {
        "archives": {"folder": str(folder / "archives")},
        "payments": {"webhook_secret": SECRET},
        "news": {"access_token": SECRET},
    }
    async with boot(EXAMPLES, strict=True, overrides={"settings": settings}) as app:
        yield app
