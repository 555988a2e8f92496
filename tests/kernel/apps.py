"""Temporary applications for tests: written from a dict of file name → source, then booted.

    place = feature("class Place(Plugin): ...")
    async with running(tmp_path, {"domains/orders/place.py": place}) as app:
        await app.call("orders.place", sku="tea")

File names are relative to the application's folder. Sources are dedented. `feature` puts the
imports that nearly every feature needs before its text; `place` says where a text stands.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from ringfence.app import check
from ringfence.errors import Finding
from ringfence.testing import TestApplication, boot

PRELUDE = """\
import asyncio
from typing import Annotated, Any, Protocol, TypedDict

from msgspec import Meta, Struct

from ringfence import *
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database, Transaction


"""

# Whatever is about calls holds on the generated call path and on the plain one.
on_both_paths = pytest.mark.parametrize("call_path", ["fused", "plain"])


def feature(text: str) -> str:
    """Return the source of a feature: the usual imports, then `text`."""
    return PRELUDE + dedent(text).lstrip("\n")


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write an application into the folder `root`, and return it."""
    (root / "domains").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), encoding="utf-8")
    return root


@asynccontextmanager
async def running(
    root: Path,
    files: Mapping[str, str],
    call_path: str = "fused",
    *,
    strict: bool = False,
    overrides: Mapping[str, object] | None = None,
    **kernel: object,
) -> AsyncIterator[TestApplication]:
    """Write an application and boot it.

    Args:
        root: Where to write it.
        files: File name → source.
        call_path: `fused` or `plain`.
        strict: As for `ringfence.testing.boot`.
        overrides: Further tables of the configuration.
        kernel: Further keys of its `[kernel]` table.
    """
    chosen = {**(overrides or {}), "kernel": {"call_path": call_path, **kernel}}
    async with boot(write(root, files), strict=strict, overrides=chosen) as app:
        yield app


def found(root: Path, files: Mapping[str, str]) -> list[Finding]:
    """Write an application and return what `ringfence check` finds in it."""
    return check(write(root, files))


def place(root: Path, file: str, text: str) -> tuple[str, int]:
    """Return file and number of the first line that contains `text`."""
    lines = (root / file).read_text("utf-8").splitlines()
    return file, next(number for number, line in enumerate(lines, start=1) if text in line)
