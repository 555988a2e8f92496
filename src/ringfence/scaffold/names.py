"""Names: which may be given, and how one becomes another (`place_order`, `PlaceOrder`).

The rules are those by which the kernel reads an application; here they are told before a file is
written. `Taken` hands out names of one module, none of them twice.
"""

import builtins
import keyword
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from ringfence.scaffold.draft import Unfit

LONGEST = 40  # so that a line with two of them stays within 100 characters
_WORDS = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_APP = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
# What a folder beside the features, or a file of pytest's, is called.
_RESERVED = ("conftest", "contracts", "migrations", "static", "tests")
_OWN = ("ringfence",)  # names of its own are the kernel's
# What a plugin's method may not be called: the kernel calls these itself.
HOOKS = ("start", "stop", "healthy", "snapshot", "restore")


def word(name: str, what: str) -> str:
    """Check the name of a domain, a feature, a tool or a table; return it.

    Raises:
        Unfit: It cannot be one.
    """
    expected = f"expected lower_case_words as in place_order, at most {LONGEST} characters"
    if not _WORDS.fullmatch(name) or len(name) > LONGEST:
        suggestion = re.sub(r"\W+|(?<=[a-z0-9])(?=[A-Z])", "_", name, flags=re.ASCII)
        suggestion = re.sub(r"__+", "_", suggestion).strip("_").lower()[:LONGEST].rstrip("_")
        fits = _WORDS.fullmatch(suggestion) and not keyword.iskeyword(suggestion)
        hint = f"Try {suggestion}." if fits else "Begin with a letter."
        raise Unfit(f"it cannot be a {what}; {expected}.", subject=repr(name), hint=hint)
    if keyword.iskeyword(name):
        said = f"it cannot be a {what}; {expected}, got a keyword of Python."
        raise Unfit(
            said, subject=repr(name), hint=f"Try {name}_it, or a second word that says more."
        )
    if name in (*_RESERVED, *_OWN):
        said = f"it cannot be a {what}; expected a name of your own, got a reserved one."
        raise Unfit(said, subject=repr(name), hint="Choose another.")
    return name


def application(name: str) -> str:
    """Check the name of an application, which is its folder's; return it. Raises Unfit."""
    if name in _OWN:
        said = "it cannot be an application's name; expected one of your own, got a reserved one."
        raise Unfit(said, subject=repr(name), hint="Name another folder.")
    if not _APP.fullmatch(name) or len(name) > LONGEST:
        said = (
            "it cannot be an application's name; expected lower-case letters, digits and dashes, "
            f"a letter first, as in my-shop, at most {LONGEST} characters."
        )
        suggestion = re.sub(r"[\W_]+", "-", name, flags=re.ASCII).strip("-").lower()
        fits = _APP.fullmatch(suggestion) and len(suggestion) <= LONGEST and suggestion not in _OWN
        hint = f"Try {suggestion}." if fits else "Name another folder."
        raise Unfit(said, subject=repr(name), hint=hint)
    return name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `Did you mean x? ` where one of `known` is close, else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]}? " if close else ""


def camel(name: str) -> str:
    """Return `place_order` as `PlaceOrder`."""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"\W|_", name))


def title(name: str) -> str:
    """Return `place_order` as `Place order`."""
    return name.replace("_", " ").capitalize()


class Taken:
    """The names of one scope.

    Args:
        names: Those that are taken beside Python's own.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = {*names, *keyword.kwlist, *dir(builtins)}

    def take(self, *wanted: str) -> str:
        """Return the first of `wanted` that is free, or the last one with a number."""
        for name in wanted:
            if name not in self._names:
                break
        else:
            last = wanted[-1]
            name = next(n for i in range(2, 10_000) if (n := f"{last}{i}") not in self._names)
        self._names.add(name)
        return name


def is_parameter(name: str) -> bool:
    """Whether a path's parameter can be one of a method."""
    return name.isidentifier() and not keyword.iskeyword(name) and name not in ("self", "given")
