"""`docs/configuration.md` lists every key that a configuration has, as its class declares it.

A row is made from the class: name, type, default, and what its docstring says. One that is missing
is shown as it is to be written; one that no class has any more is shown as well.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec
import pytest
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from ringfence import tools
from ringfence.config import EventLimits, KernelLimits, Seconds, Secret, Spend, load

DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"
ELSEWHERE = {"http"}  # docs/http.md says what its many keys are for


def drivers() -> Iterator[tuple[str, type[Struct]]]:
    """Yield the heading and the class of each built-in driver's options."""
    for tool in iter_modules(tools.__path__):
        if tool.name in ELSEWHERE:
            continue
        package = importlib.import_module(f"ringfence.tools.{tool.name}.drivers")
        default = importlib.import_module(f"ringfence.tools.{tool.name}").SPEC.default_driver
        for found in iter_modules(package.__path__):
            if not found.name.startswith("_"):
                module = importlib.import_module(f"{package.__name__}.{found.name}")
                driver = f", driver `{found.name}`" + " (the default)" * (found.name == default)
                yield f"### `[tools.{tool.name}]`{driver}", module.Driver.Config


SECTIONS: dict[str, type[Struct]] = {
    "## `[kernel]`": KernelLimits,
    "## `[budgets.<kind>]`": Spend,
    "## `[events]`": EventLimits,
    **dict(drivers()),
}


def row(field: FieldInfo, meanings: dict[str, str]) -> str:
    """Return the row of one key."""
    meaning = meanings.get(field.name, "(its class does not say)")
    return f"| `{field.encode_name}` | {named(field.type)} | {default_of(field)} | {meaning} |"


def named(annotation: object) -> str:
    """Return a type as a person reads it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        said = [named(arguments[0])]
        for meta in arguments[1:]:
            said += [f"at least {meta.ge}"] if getattr(meta, "ge", None) is not None else []
            said += [f"at most {meta.le}"] if getattr(meta, "le", None) is not None else []
        return ", ".join(said)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, UnionType):
        return " or ".join(named(one) for one in arguments if one is not type(None))
    if origin is dict:
        return f"table of {named(arguments[1])}"
    if origin in (tuple, list):
        return f"list of {named(arguments[0])}"
    words = {str: "text", int: "integer", float: "number", bool: "`true` or `false`"}
    words |= {Seconds: "seconds", Secret: "secret", Path: "path"}
    assert isinstance(annotation, type), annotation
    return words.get(annotation, annotation.__name__)


def default_of(field: FieldInfo) -> str:
    """Return what holds where the key is not written."""
    if field.required:
        return "required"
    if field.default is NODEFAULT:
        made = field.default_factory()
        return "depends" if made else f"`{written(made)}`"
    return "none" if field.default is None else f"`{written(field.default)}`"


def written(value: object) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Path):
        value = str(value)
    return msgspec.json.encode(value).decode()


def meanings_of(cls: type[Struct]) -> dict[str, str]:
    """Return what a class says of its fields, from `Args` of its docstring."""
    _, _, args = inspect.getdoc(cls).partition("Args:\n")  # type: ignore[union-attr]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", args, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in found}


def section(heading: str) -> str:
    """Return what the document says below a heading."""
    _, found, below = f"\n{DOCUMENT.read_text()}".partition(f"\n{heading}\n")
    return re.split(r"^##", below, flags=re.MULTILINE)[0] if found else ""


@pytest.mark.parametrize("heading", SECTIONS)
def test_each_key_has_its_row(heading: str) -> None:
    """Name, type, default and meaning are those of the class."""
    cls = SECTIONS[heading]
    meanings = meanings_of(cls)
    rows = [row(field, meanings) for field in msgspec.structs.fields(cls)]
    there = [line for line in section(heading).splitlines() if line.startswith("| `")]
    missing = [line for line in rows if line not in there]
    stale = [line for line in there if line not in rows]
    wanted = "\n".join(
        ["", heading, "", "| key | type | default | meaning |", "| --- |" * 4, *rows]
    )
    assert not missing, f"{DOCUMENT.name}: these rows are missing below:{wanted}"
    assert not stale, f"{DOCUMENT.name}: no class has these keys any more:\n" + "\n".join(stale)


def test_no_other_driver_is_described() -> None:
    """A heading of a driver that is gone is found as well."""
    headings = re.findall(r"^### `\[tools\..*$", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(name for name in SECTIONS if name.startswith("### "))


def test_the_sections_are_those_that_are_read(tmp_path: Path) -> None:
    """The list that an unknown section is answered with is the list of the document."""
    (tmp_path / "ringfence.toml").write_text("[nothing]\n")
    with pytest.raises(Exception, match="expected one of") as caught:
        load(tmp_path)
    listed = re.search(r"expected one of ([a-z, ]+)", str(caught.value))
    assert listed
    named_there = {
        name.split(".")[0]
        for name in re.findall(r"^## `\[([a-z.<>]+)\]`", DOCUMENT.read_text(), re.MULTILINE)
    }
    assert named_there == set(listed[1].split(", "))
