"""The JSON Schemas of all types of one document, and the components that they share.

They come from msgspec, and from the adapters of what it does not know, so that what is described is
what is enforced. Components are named as the application names their classes: `Order`,
`Page_Order`, and `orders.place.Line` where two domains call classes alike; `Order-Output` is what
is written, where that is not what is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import json

from ringfence.contracts.payload import adapter_of, is_carried

Schema = dict[str, object]
_Side = tuple[Sequence[object], Mapping[str, object]]  # schemas of hints, and their components
_REF = "#/components/schemas/{name}"
# msgspec tells classes of one name apart by their module, which names an application's generation.
_GENERATION = re.compile(r"^.*\bdomains[._]")
_UNNAMED = re.compile(r"[^A-Za-z0-9.\-_]")  # what adapters leave out of a model's name
_UNFIT = re.compile(r"[^A-Za-z0-9.\-]+")  # OpenAPI: no other characters in a component's name


class Schemas:
    """The schemas of the types of one document.

    Args:
        taken: Every type that is read and whose schema will be asked for; the same objects.
        given: As `taken`, of what is written.
    """

    def __init__(self, taken: Sequence[object], given: Sequence[object]) -> None:
        self._hints = [*taken, *given]  # kept: they are known by their identity
        read = _described(self._hints, sent=False)
        written = _described(self._hints, sent=True) if any(map(is_carried, given)) else read
        reads = _reached(read[0][: len(taken)], read[1])
        writes = _reached(written[0][len(taken) :], written[1])
        names = _names({**read[1], **written[1]})
        own = {_REF.format(name=name) for name in reads & writes if _differ(name, read[1], written)}
        others = {ref: f"{name}-Output" if ref in own else name for ref, name in names.items()}
        found: Schema = {}
        self._found: dict[tuple[int, bool], object] = {}
        for (schemas, components), used, called, sent in (
            (read, reads, names, False),
            (written, writes, others, True),
        ):
            for name in used:
                found[called[_REF.format(name=name)]] = _renamed(components[name], called)
            for hint, schema in zip(self._hints, schemas, strict=True):
                self._found[id(hint), sent] = _renamed(schema, called)
        self.components = dict(sorted(found.items()))

    def of(self, hint: object, *, sent: bool = False) -> Schema:
        """Return the schema of a type: as it is read or, if `sent`, as it is written."""
        return as_schema(self._found[id(hint), sent])

    def resolved(self, hint: object) -> Schema:
        """Return the schema of a type that has fields, itself and no reference to it."""
        reference = str(self.of(hint).get("$ref", ""))
        return as_schema(self.components.get(reference.removeprefix(_REF.format(name=""))))


def as_schema(schema: object) -> Schema:
    """Return a copy of a schema, which may be changed; of anything else, an empty one."""
    return dict(schema) if isinstance(schema, dict) else {}


def _described(hints: Sequence[object], *, sent: bool) -> _Side:
    carried: Schema = {}

    def describe(cls: type) -> Schema:
        adapter = adapter_of(cls)
        if adapter is None:
            raise NotImplementedError
        own = _UNNAMED.sub("_", cls.__name__)
        for place in ("~", f"~{cls.__module__}."):  # `~`: no name of msgspec's
            whole = adapter.schema(cls, sent, _REF.format(name=place + "{model}"))
            below = as_schema(whole.pop("$defs", None))
            found = {place + name: schema for name, schema in ({own: whole} | below).items()}
            if all(carried.get(name, schema) == schema for name, schema in found.items()):
                break
        carried.update(found)
        return {"$ref": _REF.format(name=place + own)}

    schemas, components = json.schema_components(hints, schema_hook=describe, ref_template=_REF)
    return schemas, {**components, **carried}


def _references(schema: object) -> Iterator[str]:
    """Yield the names of the components that a schema refers to."""
    beginning = _REF.format(name="")
    if isinstance(schema, dict):
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)
    elif isinstance(schema, str) and schema.startswith(beginning):
        yield schema.removeprefix(beginning)


def _reached(schemas: Iterable[object], components: Mapping[str, object]) -> set[str]:
    """The components that schemas need, directly or not."""
    found: set[str] = set()
    waiting = list(schemas)
    while waiting:
        new = set(_references(waiting.pop())) - found
        found |= new
        waiting += [components[name] for name in new]
    return found


def _differ(name: str, read: Mapping[str, object], written: _Side) -> bool:
    """Whether a component, or anything that it needs, is read otherwise than it is written."""
    needed = {name} | _reached([written[1][name]], written[1])
    return any(read.get(each) != written[1][each] for each in needed)


def _names(components: Mapping[str, object]) -> dict[str, str]:
    """How each component is called here, by the reference to it."""
    names: dict[str, str] = {}
    for name in components:
        plain = _UNFIT.sub("_", _GENERATION.sub("", name)).strip("_") or "Type"
        taken = set(names.values())
        chosen, count = plain, 1
        while chosen in taken:
            count += 1
            chosen = f"{plain}_{count}"
        names[_REF.format(name=name)] = chosen
    return names


def _renamed(schema: object, names: Mapping[str, str]) -> object:
    """Name components as an application names their classes, wherever they are referred to."""
    if isinstance(schema, dict):
        return {key: _renamed(value, names) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_renamed(part, names) for part in schema]
    if isinstance(schema, str) and schema in names:
        return _REF.format(name=names[schema])
    return schema
