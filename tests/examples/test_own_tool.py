"""An outsider's package: it is installed as any other, and its own tests run the suites."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "examples" / "own_tool"
SOURCES = sorted((PACKAGE / "src").rglob("*.py"))
# What somebody who writes tools and drivers builds on; of a tool, whatever has a public name.
PUBLIC = ("ringfence", "ringfence.errors", "ringfence.kernel.ports", "ringfence.settings")
PUBLIC_BELOW = ("ringfence.testing", "ringfence.tools")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for `sys.path` that has the package as `pip install` leaves it, without a network
    and without the tool that builds it: a path to its sources, and what it announces."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert (PACKAGE / project["readme"]).is_file()  # without it, nothing builds it
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head)
    groups = project["entry-points"].items()
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in groups
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
    return tmp_path


@pytest.mark.timeout(420)
def test_every_suite_runs_from_outside_against_drivers_from_outside(installed: Path) -> None:
    """With the package's own tests and settings, in a process of its own."""
    paths = os.pathsep.join([str(installed), str(PACKAGE / "src")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-pno:schemathesis"]
    ran = subprocess.run(
        [*command, "--timeout=60", "-c", "pyproject.toml", "tests"],
        cwd=PACKAGE,
        env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-2000:]


def test_there_is_a_test_for_every_suite_of_ringfence() -> None:
    """A tool that gets a suite gets a driver here; a suite that it does not pass, a reason."""
    tools = Path(__file__).parents[2] / "src" / "ringfence" / "tools"
    suites = {path.parent.name for path in tools.glob("*/conformance.py")}
    tested = "".join(path.read_text() for path in (PACKAGE / "tests").glob("test_*.py"))
    missing = {name for name in suites if f"ringfence.tools.{name}.conformance" not in tested}
    assert not missing
    readme = (PACKAGE / "README.md").read_text()
    for path in tools.glob("*/*_conformance.py"):  # of what a driver may leave out
        suite = path.read_text().partition("\nclass ")[2]
        names = re.findall(r"^class (\w+Conformance)", f"class {suite}", re.MULTILINE)
        assert names
        assert all(name in tested or name in readme for name in names), path


@pytest.mark.parametrize("path", SOURCES, ids=[path.stem for path in SOURCES])
def test_it_uses_nothing_private(path: Path) -> None:
    """Whoever writes a driver needs no module whose name begins with `_`, and nothing of the
    kernel but its ports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ringfence"):
            module = node.module or ""
            names = [*module.split("."), *(alias.name for alias in node.names)]
            assert not any(name.startswith("_") for name in names), module
            assert module in PUBLIC or module.startswith(PUBLIC_BELOW), module
