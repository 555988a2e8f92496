"""What the tests of adapters need: the libraries that are adapted."""

import os
from importlib.util import find_spec

import pytest

if find_spec("pydantic") is None:
    if os.environ.get("RINGFENCE_REQUIRE_SERVICES") == "1":
        raise pytest.UsageError("pydantic is not installed: pip install 'ringfence[pydantic]'")
    collect_ignore_glob = ["test_pydantic*.py"]


def pytest_report_header() -> str | None:
    """Say what is not run."""
    return None if find_spec("pydantic") else "the tests of pydantic are not run: it is not there"
