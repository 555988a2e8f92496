"""What a rule is, and what it says.

A rule looks at one file (`look`), or gathers facts of each (`gather`) and weighs those of all
together (`weigh`). Invariant: what a file says alone depends on that file alone, so that it can be
kept until the file changes. Made by the files of `rules/`, run by `examination.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct

from ringfence.check.code import Code
from ringfence.errors import Finding

Severity = Literal["error", "warning"]
# File name → text; a text alone is a feature of the domain orders.
Example = str | Mapping[str, str]
EXAMPLE_FILE = "domains/orders/place_order.py"


class Edit(Struct, frozen=True):
    """A change that is certainly right: what stands in these lines, and what is to stand there."""

    first: int
    last: int
    text: str = ""


class Hit(Struct, frozen=True):
    """One place of a file where a rule is broken."""

    line: int
    message: str
    fix: str
    edit: Edit | None = None


class Fact(Struct, frozen=True):
    """Something that a file says, which only all files together judge."""

    text: str
    line: int


class Whole(Struct, frozen=True):
    """All files of an application.

    Args:
        facts: File → what a rule has gathered from it.
        offers: Domain → the services that its files declare.
        owners: Table → the domains whose migrations create it.
    """

    facts: Mapping[str, Iterable[Fact]]
    offers: Mapping[str, Iterable[str]]
    owners: Mapping[str, frozenset[str]]


class Rule(Struct, frozen=True):
    """One rule.

    Args:
        id: `RF512`.
        title: What is wrong where it is broken, in one sentence.
        why: The explanation.
        bad: An example that breaks it, and `good` one that does not.
        severity: A warning fails no build unless it is asked to.
        areas: The folders of an application that it is about.
    """

    id: str
    title: str
    why: str
    bad: Example
    good: Example
    severity: Severity = "error"
    areas: tuple[str, ...] = ("domains", "lib")
    look: Callable[[Code], Iterable[Hit]] | None = None
    gather: Callable[[Code], Iterable[Fact]] | None = None
    weigh: Callable[[Whole], Iterable[Finding]] | None = None


def files_of(example: Example) -> Mapping[str, str]:
    """Return an example as files."""
    return {EXAMPLE_FILE: example} if isinstance(example, str) else example
