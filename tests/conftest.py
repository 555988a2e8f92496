"""What all tests share: where they run, in which order, and on which loop."""

import os
from importlib.util import find_spec
from itertools import islice

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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run more tests at once than there are processors: half of their time they wait, for another
    process, a deadline, or the disk."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker begin with some of the long tests, so that none of them is left for the end.

    A test is long if it allows itself more time than others have.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = sorted((item for item in items if _allowed_s(item)), key=_allowed_s, reverse=True)
    others = iter([item for item in items if not _allowed_s(item)])
    left = len(items)
    items.clear()
    for worker in range(workers):  # xdist gives each of them neighbours, as evenly as it can
        own = long[worker::workers]
        size = left // (workers - worker)
        items += [*own, *islice(others, size - len(own))]
        left -= size


def _allowed_s(item: pytest.Item) -> float:
    mark = item.get_closest_marker("timeout")
    return float(mark.args[0]) if mark is not None and mark.args else 0.0
