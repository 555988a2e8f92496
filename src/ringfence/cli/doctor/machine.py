"""The machine: what it has, what it lets a process have, and what is missing on it.

`checks` lists them. Called by the verb `doctor`.
"""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ringfence.cli.doctor.examination import Check, Line, bad, ok, warn
from ringfence.cli.progress import size_text
from ringfence.control_socket import is_supported

_AREA = "machine"
# An idle application has 45 MB; one under load, and its disk cache, several times that.
_MEMORY_BYTES = 256_000_000
_DESCRIPTORS = 1024  # what Linux gives by default; each connection and each open file takes one
_DISK_BYTES, _DISK_LOW_BYTES = 1_000_000_000, 100_000_000
_GROUP = Path("/sys/fs/cgroup/memory.max")


def checks(folders: Callable[[], list[Path]]) -> list[Check]:
    """List the checks of the machine.

    Args:
        folders: Returns those that an application writes to; the disks below them are looked at.
    """
    return [
        Check(_AREA, "platform", _platform),
        Check(_AREA, "processors", _processors),
        Check(_AREA, "memory", _memory),
        Check(_AREA, "disk", lambda: _disk(folders())),
        Check(_AREA, "descriptors", _descriptors),
        Check(_AREA, "loop", _loop),
        Check(_AREA, "time zones", _zones),
    ]


def _platform() -> Iterator[Line]:
    told = platform.platform()
    if is_supported():
        yield ok("platform", told)
    else:
        fix = "use /health/ready and the log, or run it on Linux or macOS"
        yield warn("platform", f"{told}: no control socket, so no status, call or trace", fix)


def _processors() -> Iterator[Line]:
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    yield ok("processors", f"{usable} of {count}" if usable != count else str(count))


def _memory() -> Iterator[Line]:
    available, total = _meminfo()
    if not total:
        return
    told = f"{size_text(available)} of {size_text(total)} free"
    if available < _MEMORY_BYTES:
        yield warn("memory", told, "end something else, or give the machine or container more")
    else:
        yield ok("memory", told)


def _meminfo() -> tuple[int, int]:
    """Return what is free and what there is, within the limit of a container; Linux alone tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0, 0
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    total, available = kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024
    try:
        limit = int(_GROUP.read_text())
        used = int(_GROUP.with_name("memory.current").read_text())
    except (OSError, ValueError):  # no group, or `max`
        return available, total
    return min(available, max(0, limit - used)), min(total, limit)


def _disk(folders: list[Path]) -> Iterator[Line]:
    seen: set[int] = set()
    for folder in folders:
        there = _existing(folder)
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(there)
        told = f"{size_text(usage.free)} of {size_text(usage.total)} free below {there}"
        if usage.free < _DISK_LOW_BYTES:
            yield bad("disk", told, "make room: a full disk refuses every write")
        elif usage.free < _DISK_BYTES:
            yield warn("disk", told, "make room before it is full: a full disk refuses every write")
        else:
            yield ok("disk", told)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _descriptors() -> Iterator[Line]:
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _DESCRIPTORS:
        yield ok("descriptors", "unlimited" if soft == resource.RLIM_INFINITY else f"{soft} files")
        return
    most = "any number" if hard == resource.RLIM_INFINITY else str(hard)
    fix = f"raise it to {_DESCRIPTORS} or more: `ulimit -n`, or LimitNOFILE= ({most} allowed)"
    yield warn("descriptors", f"{soft} files and connections at once", fix)


def _loop() -> Iterator[Line]:
    if find_spec("uvloop") is not None:
        yield ok("loop", "uvloop")
    elif sys.platform == "win32":
        yield ok("loop", "asyncio")
    else:
        yield warn("loop", "asyncio, which is slower", "pip install uvloop")


def _zones() -> Iterator[Line]:
    try:
        ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError:
        yield bad("time zones", "no data: @cron knows no zone but UTC", "pip install tzdata")
    else:
        yield ok("time zones", "their data is there")
