"""The limits that keep Ringfence small enough to be read."""

import ast
from pathlib import Path

import ringfence

SOURCE = Path(__file__).parent.parent / "src" / "ringfence"
KERNEL = sorted((SOURCE / "kernel").glob("*.py"))
# What runs between a caller and a handler; the rest of the kernel runs when an application starts.
CALL_PATH = {"call.py", "context.py", "fused.py", "limits.py", "registry.py", "scope.py"}


def lines_of_code(file: Path) -> int:
    """Count statements, which are one to a line; documentation is not code."""
    return sum(
        isinstance(node, ast.stmt)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in ast.walk(ast.parse(file.read_text()))
    )


def test_the_kernel_is_within_3000_lines_of_code() -> None:
    """The whole mechanism can be read in an afternoon."""
    assert 1000 < sum(map(lines_of_code, KERNEL)) <= 3000


def test_the_call_path_is_within_600_lines_of_code() -> None:
    """What every call passes can be read in one sitting."""
    files = [file for file in KERNEL if file.name in CALL_PATH]
    assert {file.name for file in files} == CALL_PATH
    assert sum(map(lines_of_code, files)) <= 600


def test_lines_are_at_most_100_characters() -> None:
    """No line hides code beyond the edge of a screen."""
    long = [
        f"{file.relative_to(SOURCE)}:{number}"
        for file in SOURCE.rglob("*.py")
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if len(line) > 100
    ]
    assert not long


def test_no_module_is_past_500_lines() -> None:
    """A module that grows past this is two."""
    long = {
        str(file.relative_to(SOURCE)): count
        for file in SOURCE.rglob("*.py")
        if (count := len(file.read_text().splitlines())) > 500
    }
    assert not long


def test_the_authors_vocabulary_is_frozen() -> None:
    """A name is added here on purpose, and there are never more than 25."""
    assert ringfence.__all__ == [
        "AppError",
        "Budget",
        "Conflict",
        "Context",
        "DeadlineExceeded",
        "Delivery",
        "Forbidden",
        "Invalid",
        "NotFound",
        "Plugin",
        "PluginQuarantined",
        "Principal",
        "RingfenceError",
        "Secret",
        "Settings",
        "TooMany",
        "ToolUnavailable",
        "Unauthenticated",
        "asgi",
        "event",
        "on",
        "requires",
        "service",
        "upcast",
        "wait",
    ]
    assert len(ringfence.__all__) <= 25
