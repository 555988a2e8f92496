"""The JSON Schemas of all types of one document, and the components that they share.

They come from msgspec, so that what is described is what is enforced. Components are named as the
application names their classes: `Order`, `Page_Order`, and `orders.place.Line` where two domains
call classes alike.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import json

Schema = dict[str, object]
_REF = "#/components/schemas/{name}"
# msgspec tells classes of one name apart by their module, which names an application's generation.
_GENERATION = re.compile(r"^.*\bdomains[._]")
_UNFIT = re.compile(r"[^A-Za-z0-9.\-]+")  # OpenAPI: no other characters in a component's name


class Schemas:
    """The schemas of the types of one document.

    Args:
        hints: Every type whose schema will be asked for; the same objects.
    """

    def __init__(self, hints: Sequence[object]) -> None:
        self._hints = hints  # kept: they are known by their identity
        found, components = json.schema_components(hints, ref_template=_REF)
        names = _names(components)
        self.components = {
            names[_REF.format(name=name)]: _renamed(schema, names)
            for name, schema in sorted(components.items())
        }
        self._found = {
            id(hint): _renamed(schema, names) for hint, schema in zip(hints, found, strict=True)
        }

    def of(self, hint: object) -> Schema:
        """Return the schema of a type."""
        return as_schema(self._found[id(hint)])

    def resolved(self, hint: object) -> Schema:
        """Return the schema of a type that has fields, itself and no reference to it."""
        reference = str(self.of(hint).get("$ref", ""))
        return as_schema(self.components.get(reference.removeprefix(_REF.format(name=""))))


def as_schema(schema: object) -> Schema:
    """Return a copy of a schema, which may be changed; of anything else, an empty one."""
    return dict(schema) if isinstance(schema, dict) else {}


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
