"""What all tests share."""

import os
from importlib.util import find_spec

import pytest

# Signals, users, file modes and the control socket are what these are about.
collect_ignore = (
    [
        "faults",
        "test_control.py",
        "cli/test_run.py",
        "tools/db/test_sqlite.py",
        "tools/files/test_local.py",
        "tools/db/test_maintenance.py",
    ]
    if os.name == "nt"
    else []
)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run async tests on asyncio with uvloop, as the application runs."""
    return "asyncio", {"use_uvloop": find_spec("uvloop") is not None}
