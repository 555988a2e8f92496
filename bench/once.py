"""One start in a process of its own: `python -m bench.once boot|import APP`; prints JSON.

CPU counts from the moment when Ringfence itself has been imported.
"""

import asyncio
import importlib
import json
import os
import sys
import time
from pathlib import Path

import uvloop

# Ringfence is there before anything is counted, the tool that features import included.
import ringfence.tools.http  # noqa: F401
from bench.applications import REAL_CLOCK
from bench.measure import resident_kb
from ringfence.testing import boot


async def start(application: Path) -> dict[str, float]:
    """Start the application; count until it is ready."""
    started = time.process_time()
    async with boot(application, overrides=REAL_CLOCK) as app:
        used = time.process_time() - started
        await asyncio.sleep(0)
        assert not app.findings, app.findings[:3]
        return {"cpu_s": used, "resident_kb": resident_kb(os.getpid())}


def import_all(application: Path) -> dict[str, float]:
    """Import the application's features as Python does, and do nothing with them."""
    sys.path.insert(0, str(application))
    names = [
        ".".join(path.relative_to(application).with_suffix("").parts)
        for path in sorted(application.glob("domains/*/*.py"))
    ]
    started = time.process_time()
    for name in names:
        importlib.import_module(name)
    used = time.process_time() - started
    return {"cpu_s": used, "resident_kb": resident_kb(os.getpid())}


if __name__ == "__main__":
    verb, place = sys.argv[1:]
    if verb == "boot":
        print(json.dumps(uvloop.run(start(Path(place)))))
    else:
        print(json.dumps(import_all(Path(place))))
