"""The installation: Python, Ringfence, and what it depends on, against what it asks for.

`checks` lists them. Called by the verb `doctor`.
"""

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from ringfence.cli.doctor.examination import Check, Line, bad, ok, warn

_AREA = "installation"
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?([^;]*)(?:;(.*))?")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>|~=)\s*([\w.*+!-]+)")
_PLATFORM = re.compile(r"""platform_system\s*(==|!=)\s*['"](\w+)['"]""")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")
_OPTIONAL = frozenset({"pydantic", "sqlalchemy"})  # extras that an application may have


def checks() -> list[Check]:
    """List the checks of the installation."""
    return [
        Check(_AREA, "python", _python),
        Check(_AREA, "ringfence", _ringfence),
        Check(_AREA, "dependencies", _dependencies),
    ]


def _python() -> Iterator[Line]:
    told = f"{platform.python_version()} ({platform.python_implementation()}), {sys.executable}"
    try:
        about = metadata("ringfence")
    except PackageNotFoundError:
        yield ok("python", told)
        return
    wanted = about["Requires-Python"] or ""
    known = [c.rpartition(" ")[2] for c in about.get_all("Classifier") or () if "Python :: 3." in c]
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not _fits(platform.python_version(), wanted):
        yield bad("python", f"{told}: expected {wanted}", "install another Python, and a new .venv")
    elif known and here not in known:
        tested = ", ".join(known)
        yield warn("python", f"{told}: not one it is tested with", f"use one of {tested}")
    else:
        yield ok("python", told)


def _ringfence() -> Iterator[Line]:
    try:
        yield ok("ringfence", version("ringfence"))
    except PackageNotFoundError:
        yield warn("ringfence", "runs from its sources, not installed", "pip install -e .")


def _dependencies() -> Iterator[Line]:
    try:
        wanted = requires("ringfence") or []
    except PackageNotFoundError:
        return
    sound = 0
    for name, bounds, needed in _wanted(wanted):
        try:
            here = version(name)
        except PackageNotFoundError:
            if needed:
                told = f"{name}: not installed; expected {bounds or 'any version'}"
                yield bad("dependencies", told, f"pip install '{name}{bounds}'")
            continue
        if _fits(here, bounds):
            sound += 1
        else:
            fix = f"pip install '{name}{bounds}'"
            yield bad("dependencies", f"{name}: {here}; expected {bounds}", fix)
    yield ok("dependencies", f"{sound} installed in versions that fit")


def _wanted(lines: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield name, bounds, and whether it is needed here, of what is asked for."""
    for line in lines:
        parsed = _REQUIREMENT.match(line)
        if parsed is None:
            continue
        marker = parsed[3] or ""
        extra, system = _EXTRA.search(marker), _PLATFORM.search(marker)
        if system and (platform.system() == system[2]) != (system[1] == "=="):
            continue
        if extra is None or extra[1] in _OPTIONAL:
            yield parsed[1], parsed[2].strip(), extra is None


def _fits(here: str, bounds: str) -> bool:
    """Whether a version is within bounds, as far as numbers say: `>=3.11,<4`."""
    return all(_holds(_numbers(here), sign, bound) for sign, bound in _BOUND.findall(bounds))


def _holds(here: tuple[int, ...], sign: str, bound: str) -> bool:
    there = _numbers(bound)
    width = max(len(here), len(there))
    a, b = _padded(here, width), _padded(there, width)
    match sign:
        case ">=":
            return a >= b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case "<":
            return a < b
        case "!=":
            return a != b
        case "==":
            return here[: len(there)] == there if bound.endswith(".*") else a == b
        case _:  # ~=: the same but for the last number, which may be greater
            return a >= b and here[: len(there) - 1] == there[:-1]


def _padded(numbers: tuple[int, ...], width: int) -> tuple[int, ...]:
    return numbers + (0,) * (width - len(numbers))


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()
