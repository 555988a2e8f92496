"""The shop against its own OpenAPI document: whatever that allows is served, whatever it does not
is refused, and every answer is one that it tells of."""

import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from ringfence.testing import TestApplication, boot
from ringfence.tools.http.drivers.uvicorn import Driver
from tests.apps.shop.shops import NO_NETWORK, open_shop

pytestmark = pytest.mark.anyio
HOOKS = Path(__file__).parent / "schemathesis_hooks.py"


LISTENING = {"tools": {"http": {"driver": "uvicorn", "port": 0}}}
LIE = """
from typing import Annotated

from msgspec import Meta, Struct

from ringfence import Plugin
from ringfence.tools.http import get


class Stock(Struct):
    pieces: Annotated[int, Meta(ge=0)]


class CountStock(Plugin):
    @get("/stock")
    async def count(self) -> Stock:
        return Stock(-1)
"""


async def schemathesis(app: TestApplication, folder: Path, *options: str) -> tuple[int | None, str]:
    """Run it in a process of its own, with all checks; return its exit code and what it said."""
    driver = app.driver("http")
    assert isinstance(driver, Driver)
    process = await create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{driver.addresses[0]}/openapi.json"),
        *("--checks=all", "--generation-deterministic", "--workers=1", *options),
        *("--no-color", "--warnings=off"),
        stdout=PIPE,
        stderr=STDOUT,
        cwd=folder,  # where it leaves what it remembers
        env={**os.environ, "SCHEMATHESIS_HOOKS": HOOKS.stem, "PYTHONPATH": str(HOOKS.parent)},
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.timeout(240)
async def test_the_shop_does_what_its_document_says(tmp_path: Path) -> None:
    """Of hundreds of requests, right and wrong, alone and in turn, none is answered otherwise."""
    async with open_shop(overrides={"tools": {**NO_NETWORK, **LISTENING["tools"]}}) as (app, _):
        code, said = await schemathesis(
            app,
            tmp_path,
            "--phases=examples,coverage,fuzzing,stateful",
            "--max-examples=3",
            # It takes a file of a form for wrong that is right as soon as it is sent.
            "--exclude-path-regex=^/(imports|products/.*/picture)",
        )
        served = {span.operation for span in app.spans}
    assert code == 0, said
    assert {"orders.place", "inventory.receive_stock.receive"} <= served


@pytest.mark.timeout(60)
async def test_an_answer_that_the_document_does_not_tell_of_is_found(tmp_path: Path) -> None:
    """The test above can fail."""
    feature = tmp_path / "app" / "domains" / "inventory" / "count_stock.py"
    feature.parent.mkdir(parents=True)
    feature.write_text(LIE)
    async with boot(tmp_path / "app", overrides=LISTENING) as app:
        code, said = await schemathesis(app, tmp_path, "--phases=fuzzing", "--max-examples=1")
    assert code == 1, said
    assert "Response violates schema" in said
