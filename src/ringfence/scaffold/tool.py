"""What `ringfence new tool` writes: a contract, two drivers, doubles, the suite, and its test.

The tool keeps texts by keys, which is little enough to be replaced and enough to run: its suite
passes for each driver. What a tool is, docs/own-tool.md says.
"""

from collections.abc import Mapping
from pathlib import Path

from ringfence.app import BUILT_IN, check
from ringfence.scaffold import names
from ringfence.scaffold.draft import Draft, Unfit
from ringfence.scaffold.layout import order, quoted
from ringfence.scaffold.texts import filled

_FILES: Mapping[str, str] = {
    "tools/@name@/__init__.py": "init.py.txt",
    "tools/@name@/contract.py": "contract.py.txt",
    "tools/@name@/conformance.py": "conformance.py.txt",
    "tools/@name@/doubles.py": "doubles.py.txt",
    "tools/@name@/drivers/memory.py": "memory.py.txt",
    "tools/@name@/drivers/folder.py": "folder.py.txt",
    "tests/tools/test_@name@.py": "test.py.txt",
}
# What the files import or define beside the contract.
_NAMES = (
    "AsyncIterator ClassVar Config Driver Grant InMemory NoSuchKey Path Protocol StartRefused "
    "Struct Test TestDouble TestFolder TestMemory ToolEnv ToolError ToolSpec ToolUnavailable GRANT"
)


def plan_tool(root: Path, name: str) -> Draft:
    """Plan a tool of the application in the folder `root`.

    Raises:
        Unfit: The name cannot be a tool's, or is one already.
        StartRefused: The application's configuration is wrong.
    """
    names.word(name, "tool")
    if name in BUILT_IN:
        said = (
            "it cannot be a tool; expected a new name, got that of one that comes with Ringfence."
        )
        raise Unfit(said, subject=repr(name), hint="Choose another.")
    if name in ("ringfence", "tools", "kernel"):
        raise Unfit("it cannot be a tool; expected a name of your own.", subject=repr(name))
    cls = names.camel(name)
    contract = names.Taken(_NAMES.split()).take(cls, f"{cls}Tool")
    both = sorted((contract, "NoSuchKey"), key=order)
    words = {
        "name": name,
        "Name": contract,
        "both": ", ".join(both),
        "all": ", ".join(map(quoted, sorted((*both, "SPEC"), key=order))),
    }
    files = {
        file.replace("@name@", name): filled(f"tool/{text}", words) for file, text in _FILES.items()
    }
    following = (f"python -m pytest tests/tools/test_{name}.py", "ringfence check")
    note = f'It keeps what it is given once [tools.{name}] in ringfence.toml has driver = "folder".'
    return Draft(root, files, following, note, frozenset(check(root)))
