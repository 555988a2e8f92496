"""What an installed Ringfence brings along, and the rules that the project holds itself to."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

import ringfence

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ringfence.__path__[0])
# Nobody imports these: uvicorn loads the first two by name, starlette reads forms with the third.
LOADED_BY_NAME = {"httptools", "uvloop", "python_multipart", "tzdata"}
# What each extra brings, pydantic's own core with it; and the one file that imports it.
BROUGHT_BY = {"pydantic": {"pydantic", "pydantic_core"}, "sqlalchemy": {"sqlalchemy"}}
USED_BY = {"pydantic": "adapters/pydantic.py", "sqlalchemy": "tools/db/core.py"}


def imported(package: Path) -> Iterator[str]:
    """Yield the first part of each module that a package's files import, absolutely."""
    for path in package.rglob("*.py"):
        yield from imported_by(path)


def imported_by(path: Path) -> Iterator[str]:
    """As `imported`, of one file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def declared(extra: str = "") -> set[str]:
    """Return the names of what the installed distribution requires, or one of its extras adds."""
    marker = f'extra == "{extra}"'.replace('"', "'")
    requirements = [line.replace('"', "'") for line in metadata.requires("ringfence") or ()]
    chosen = [
        line for line in requirements if (marker in line if extra else "extra ==" not in line)
    ]
    return {re.split(r"[^A-Za-z0-9_-]", line)[0] for line in chosen}


def test_a_type_checker_sees_the_annotations() -> None:
    """`py.typed` is part of the package."""
    assert (PACKAGE / "py.typed").is_file()


def test_the_command_and_the_pytest_plugin_are_entry_points() -> None:
    """Installing Ringfence gives the command `ringfence` and the pytest plugin, both loadable."""
    points = metadata.distribution("ringfence").entry_points
    found = {(point.group, point.name): point for point in points}
    assert callable(found["console_scripts", "ringfence"].load())
    assert found["pytest11", "ringfence"].load()


def test_the_adapter_of_pydantic_is_an_entry_point() -> None:
    """Named after the package whose models it carries; what is announced can be loaded."""
    (point,) = metadata.entry_points(group="ringfence.payloads")
    assert point.name == "pydantic"
    pytest.importorskip("pydantic", reason="pip install 'ringfence[pydantic]'")
    assert callable(point.load().carries)


def test_every_third_party_import_is_a_declared_dependency() -> None:
    """`pip install ringfence` brings all that it imports; who uses its pytest plugin has pytest."""
    standard = {*sys.stdlib_module_names, "annotationlib"}  # the last one from Python 3.14 on
    foreign = set(imported(PACKAGE)) - standard - {"ringfence", "pytest"}
    assert foreign - {name for names in BROUGHT_BY.values() for name in names} <= declared()


@pytest.mark.parametrize("extra", BROUGHT_BY)
def test_what_an_extra_brings_is_imported_by_one_file_alone(extra: str) -> None:
    """Nothing else needs it."""
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if BROUGHT_BY[extra] & set(imported_by(path))
    }
    assert users == {USED_BY[extra]}
    assert declared(extra) == {extra}


def test_every_declared_dependency_is_used() -> None:
    """Nothing is installed on somebody's machine for nothing."""
    names = {name.replace("-", "_") for name in declared()}
    assert names <= set(imported(PACKAGE)) | LOADED_BY_NAME


def test_nothing_is_capped_without_need() -> None:
    """A dependency's next version is not refused in advance; but we build on uvicorn's inside."""
    requirements = [r for r in metadata.requires("ringfence") or () if "uvicorn" not in r]
    assert [line for line in requirements if re.search(r"[\d\"' ]<=?\s*\d|==\s*\d|~=", line)] == []


@pytest.mark.parametrize("target", ["run", "test", "check", "bench", "clean"])
def test_make_has_its_targets(target: str) -> None:
    """Each target that the documents name exists, with steps to run."""
    output = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, timeout=10
    )
    assert output.returncode == 0, output.stderr
    assert output.stdout.strip()
