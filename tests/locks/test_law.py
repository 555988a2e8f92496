"""The law of contract locks: compatible means that every view that fitted still fits."""

from typing import Any, Literal, Optional

from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec import NODEFAULT, Struct, defstruct
from msgspec.json import decode

from ringfence.contracts.compatibility import view_misfits
from ringfence.kernel.ports import REQUIRED, Parameter, Signature
from ringfence.locks import Lock, lock_of


class Tree(Struct, frozen=True):
    """A type: a scalar by its class, `optional` or `list` of one, an object of several."""

    kind: Any
    parts: tuple[tuple[str, "Tree", bool], ...] = ()  # name, type, whether it must be there

    @property
    def hint(self) -> Any:
        if self.kind == "optional":
            return Optional[self.parts[0][1].hint]  # noqa: UP045 - built at run time
        if self.kind == "list":
            return list[self.parts[0][1].hint]  # type: ignore[misc]
        if self.kind != "object":
            return self.kind
        fields = [
            (name, tree.hint, NODEFAULT if must else None)
            for name, tree, must in sorted(self.parts, key=lambda part: not part[2])
        ]
        return defstruct("Made", fields)


NAMES = ("sku", "note", "lines")
SCALARS = (int, float, str, bool, Literal["a"], Literal["a", "b"], Literal[1])
scalars = st.sampled_from([Tree(kind) for kind in SCALARS])


def members(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    named = st.dictionaries(st.sampled_from(NAMES), st.tuples(inner, st.booleans()), max_size=3)
    return named.map(lambda each: Tree("object", tuple((n, t, m) for n, (t, m) in each.items())))


trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        inner.map(lambda tree: Tree("optional", (("", tree, True),))),
        inner.map(lambda tree: Tree("list", (("", tree, True),))),
        members(inner),
    ),
    max_leaves=5,
)


def changed(draw: Any, tree: Tree) -> Tree:
    """Return a type that somebody may have made of `tree`."""
    how = draw(st.sampled_from(["same", "inside", "inside", "inside", "wrapped", "fresh"]))
    if how == "wrapped":
        return Tree("optional", (("", tree, True),))
    if how == "fresh":
        return draw(trees)  # type: ignore[no-any-return]
    if how == "same":
        return tree
    if not tree.parts:
        return draw(scalars) if tree.kind != "object" else tree
    parts = [
        (name, changed(draw, inner), not must if draw(st.integers(0, 2)) == 2 else must)
        for name, inner, must in tree.parts
    ]
    if tree.kind == "object":
        if parts and draw(st.integers(0, 4)) == 4:
            parts.pop()
        if draw(st.booleans()):
            parts.append(("added", draw(scalars), draw(st.booleans())))
    return Tree(tree.kind, tuple(parts))


def viewed(draw: Any, tree: Tree, *, sent: bool) -> Tree:
    """Return what a consumer of `tree` declares: it names nothing that was not declared."""
    if tree.kind == "optional" and sent and draw(st.booleans()):
        return viewed(draw, tree.parts[0][1], sent=sent)
    if not sent and tree.kind != "optional" and draw(st.integers(0, 3)) == 3:
        return Tree("optional", (("", viewed(draw, tree, sent=sent), True),))
    if tree.kind is float and sent:
        return Tree(draw(st.sampled_from([int, float, Literal[1]])))
    if tree.kind is str and sent:
        return Tree(draw(st.sampled_from([str, Literal["a"]])))
    if tree.kind is int and not sent:
        return Tree(draw(st.sampled_from([int, float])))
    parts = [
        (
            name,
            viewed(draw, inner, sent=sent),
            draw(st.booleans()) if tree.kind == "object" else must,
        )
        for name, inner, must in tree.parts
        if tree.kind != "object" or (sent and must) or draw(st.booleans())
    ]
    return Tree(tree.kind, tuple(parts))


def signature(takes: Tree, answers: Tree) -> Signature:
    """Return a signature whose parameters are the fields of `takes`, if it is an object."""
    parts = takes.parts if takes.kind == "object" else (("given", takes, True),)
    return Signature(
        tuple(Parameter(n, t.hint, REQUIRED if must else None) for n, t, must in parts),
        answers.hint,
    )


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_what_is_compatible_leaves_every_view_fitting_that_fitted(data: st.DataObject) -> None:
    """Whatever is changed: a consumer that did not misfit does so only after a breaking change."""
    takes, answers = data.draw(members(trees), "takes"), data.draw(trees, "answers")
    old = signature(takes, answers)
    if data.draw(st.booleans(), "change what is taken"):
        new = signature(changed(data.draw, takes), answers)
    else:
        new = signature(takes, changed(data.draw, answers))
    view = signature(viewed(data.draw, takes, sent=True), viewed(data.draw, answers, sent=False))
    broken = lock_of("stock.level", old).breaks(lock_of("stock.level", new))
    fitted = not view_misfits(view, old)
    event(f"fitted: {fitted}, broken: {bool(broken)}")
    if fitted and not broken:
        assert view_misfits(view, new) == []


@settings(max_examples=100, deadline=None)
@given(trees, trees)
def test_a_lock_reads_back_as_it_was_written_and_breaks_nothing(takes: Tree, answers: Tree) -> None:
    """The bytes hold all of it, and made again of new classes they are the same."""
    lock = lock_of("stock.level", signature(takes, answers))
    assert decode(lock.encoded(), type=Lock) == lock
    again = lock_of("stock.level", signature(takes, answers))
    assert again.encoded() == lock.encoded()
    assert lock.breaks(again) == lock.alterations(again) == []
