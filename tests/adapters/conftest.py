"""The libraries that are adapted: without one its tests are skipped, unless all is required."""

import os
from importlib.util import find_spec

import pytest

if os.environ.get("RINGFENCE_REQUIRE_SERVICES") == "1" and find_spec("pydantic") is None:
    raise pytest.UsageError("pydantic is not installed: pip install 'ringfence[pydantic]'")
