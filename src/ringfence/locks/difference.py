"""What a changed contract breaks: two schemas compared, as its consumers see it.

`breaks` lists why a consumer that was content with the old one may not be with the new one. What is
sent must still be taken, in full; what is answered must still be there, and mean no more than it
did. `alterations` says what else is different. Invariant, held by a test with random types: where
nothing is broken, a view of what was declared that fitted still fits. Called by `review.py`.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from ringfence.locks.shape import Bound, Shape

Pair = tuple[int, int]
_LOWER = {"ge": False, "gt": True, "min_length": False}  # name → whether the bound is excluded
_UPPER = {"le": False, "lt": True, "max_length": False}
_SAME = ("multiple_of", "pattern", "tz")


class Side(Struct, frozen=True):
    """One of the two schemas, with every type in it by its path."""

    root: Shape
    at: Mapping[str, Shape]

    def resolve(self, shape: Shape) -> Shape:
        return self.at.get(shape.name, shape) if shape.type == "same" else shape


def side(root: Shape, path: str) -> Side:
    """Return a schema and every type in it by its path, which begins with `path`."""
    return Side(root, dict(_walk(root, path)))


def breaks(old: Shape, new: Shape, path: str, *, answered: bool) -> list[str]:
    """List why what held for `old` may not hold for `new`.

    Args:
        old: What was agreed on.
        new: What there is now.
        path: What the paths of both begin with.
        answered: Whether it is what the provider answers, rather than what it takes.
    """
    compared = _Comparison(side(old, path), side(new, path), answered)
    return list(dict.fromkeys(compared.breaks(old, new, path, frozenset())))


def alterations(old: Shape, new: Shape, path: str) -> list[str]:
    """List what is different between two schemas, be it good or bad."""
    before, after = dict(_walk(old, path)), dict(_walk(new, path))
    found = [f"{at}: new, {word(shape)}" for at, shape in after.items() if at not in before]
    for at, shape in before.items():
        if at not in after:
            found.append(f"{at}: gone")
        elif word(after[at]) != word(shape):
            found.append(f"{at}: {word(after[at])}, was {word(shape)}")
        elif after[at].optional != shape.optional:
            names = sorted({*after[at].optional} ^ {*shape.optional})
            found.append(f"{at}: whether it may lack {', '.join(names)} is different")
    return sorted(found)


def word(shape: Shape) -> str:
    """Name a type as people say it."""
    if shape.values:
        return f"{shape.type} of {', '.join(map(repr, shape.values))}"
    if shape.type == "union":
        return " or ".join(map(word, shape.parts))
    limits = ", ".join(f"{name} {bound}" for name, bound in sorted(shape.bounds.items()))
    return f"{shape.name or shape.type}{f' ({limits})' if limits else ''}"


def _walk(shape: Shape, path: str) -> Iterator[tuple[str, Shape]]:
    yield path, shape
    for below, inner in shape.below(path):
        yield from _walk(inner, below)


class _Comparison(Struct, frozen=True):
    old: Side
    new: Side
    answered: bool

    def breaks(self, old: Shape, new: Shape, path: str, seen: frozenset[Pair]) -> Iterator[str]:
        old, new = self.old.resolve(old), self.new.resolve(new)
        given, taken = (new, old) if self.answered else (old, new)
        if taken.type == "any":
            return
        if given.type == "union":
            for one in given.parts:
                yield from self._pair(one, taken, path, seen)
        elif taken.type == "union":
            attempts = [list(self._pair(given, one, path, seen)) for one in taken.parts]
            if all(attempts):
                alike = [
                    a
                    for a, one in zip(attempts, taken.parts, strict=True)
                    if one.type == given.type
                ]
                yield from alike[0] if len(alike) == 1 else [self._differ(old, new, path)]
        elif given.type == taken.type == "object":
            pair = (id(old), id(new))
            if pair not in seen:
                yield from self._object(old, new, path, seen | {pair})
        elif given.type == taken.type and len(given.parts) == len(taken.parts):
            yield from self._bounds(old, new, path)
            for (below, a), (_, b) in zip(old.below(path), new.below(path), strict=True):
                yield from self.breaks(a, b, below, seen)
            if not _chosen(given, taken) or given.name != taken.name:
                yield self._differ(old, new, path)
        elif given.type == "int" and taken.type == "float":
            yield from self._bounds(old, new, path)
        elif not _chosen(given, taken, across=True):
            yield self._differ(old, new, path)

    def _pair(self, given: Shape, taken: Shape, path: str, seen: frozenset[Pair]) -> Iterator[str]:
        old, new = (taken, given) if self.answered else (given, taken)
        return self.breaks(old, new, path, seen)

    def _object(self, old: Shape, new: Shape, path: str, seen: frozenset[Pair]) -> Iterator[str]:
        for name, was in old.fields.items():
            below = f"{path}.{name}" if path else name
            is_now = new.fields.get(name)
            if is_now is None:
                yield f"{below}: {'it is gone' if self.answered else 'it is not taken any more'}"
                continue
            if self.answered and name in new.optional and name not in old.optional:
                yield f"{below}: it may be lacking now"
            if not self.answered and name in old.optional and name not in new.optional:
                yield f"{below}: it is required now"
            yield from self.breaks(was, is_now, below, seen)
        if not self.answered:
            for name in new.fields:
                if name not in old.fields and name not in new.optional:
                    yield (
                        f"{path}.{name}: it is new, and required"
                        if path
                        else (f"{name}: it is new, and required")
                    )
        if old.bounds != new.bounds:
            yield self._differ(old, new, path)

    def _bounds(self, old: Shape, new: Shape, path: str) -> Iterator[str]:
        given, taken = (new, old) if self.answered else (old, new)
        if not _within(given, taken):
            yield self._differ(old, new, path)

    def _differ(self, old: Shape, new: Shape, path: str) -> str:
        verb = "answers" if self.answered else "takes"
        was = "answered" if self.answered else "took"
        return f"{path}: it {verb} {word(new)} where it {was} {word(old)}"


def _chosen(given: Shape, taken: Shape, *, across: bool = False) -> bool:
    """Whether the values of a literal or an enum are among those that are taken."""
    several = ("literal", "enum")
    if given.type in several and taken.type in several:
        return {*map(repr, given.values)} <= {*map(repr, taken.values)}
    if given.type == "literal" and not taken.bounds:
        kinds: Mapping[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int,)}
        return all(isinstance(value, kinds.get(taken.type, ())) for value in given.values)
    return not across


def _within(given: Shape, taken: Shape) -> bool:
    """Whether the constraints of what is given are as tight as those of what is taken."""
    step = 1 if given.type == "int" else 0  # between whole numbers, `gt 0` is `ge 1`
    low, high = _tightest(given.bounds, _LOWER, step), _tightest(taken.bounds, _LOWER, step)
    if high and (not low or max(low) < max(high)):
        return False
    low, high = _tightest(given.bounds, _UPPER, -step), _tightest(taken.bounds, _UPPER, -step)
    if high and (not low or _least(low) > _least(high)):
        return False
    return all(taken.bounds.get(n) in (None, given.bounds.get(n)) for n in _SAME)


def _tightest(
    bounds: Mapping[str, Bound], names: Mapping[str, bool], step: int
) -> Sequence[tuple[float, bool]]:
    found: list[tuple[float, bool]] = []
    for name, excluded in names.items():
        bound = bounds.get(name)
        if isinstance(bound, int | float):
            found.append((bound + step, False) if excluded and step else (bound, excluded))
    return found


def _least(bounds: Sequence[tuple[float, bool]]) -> tuple[float, bool]:
    """Return the tightest upper bound: of two equal ones, the one that is excluded."""
    value = min(bound for bound, _ in bounds)
    return value, not any(excluded for bound, excluded in bounds if bound == value)
