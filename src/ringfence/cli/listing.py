"""What the verbs share that list what an application declares: choosing by a text, and a remark.

`matching` chooses, `remark` says what the list leaves open. Called by `routes` and `services`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ringfence.cli.terminal import complain, say
from ringfence.errors import NotFound, did_you_mean
from ringfence.kernel.manifest import Manifest

T = TypeVar("T")


def matching(wanted: str, known: Mapping[T, Sequence[str]], kind: str) -> list[T]:
    """Return those of `known` with a word that contains `wanted`, whatever its case.

    Raises:
        NotFound: There is none; the nearest word is named.
    """
    asked = wanted.casefold()
    found = [one for one, words in known.items() if any(asked in w.casefold() for w in words)]
    if wanted and not found:
        words = sorted({word for each in known.values() for word in each if word})
        hint = did_you_mean(wanted, words)
        raise NotFound(f"no {kind} contains it{hint}", subject=wanted)
    return found


def remark(manifest: Manifest, count: int, kind: str) -> None:
    """Say that there is nothing, or that what is listed may not start as it is."""
    if not count:
        say(f"no {kind} is declared")
    findings = len({*manifest.findings, *manifest.ambiguous})
    if findings or manifest.quarantined:
        complain("something is wrong with the application: see `ringfence check`.", plain=True)
