"""pydantic models as payloads: read, explained, written and described by pydantic itself.

The module is the `Adapter` for classes derived from `BaseModel`. Keys are aliases throughout. What
a model's data look like is taken from its JSON Schema, so that a contract is checked against what
is really read and written: validators, serializers, computed fields and custom types included.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import is_

from msgspec import inspect as types
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    PydanticInvalidForJsonSchema,
    PydanticUserError,
    ValidationError,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticSerializationError, core_schema, to_json

from ringfence.contracts.payload import MOST_FAULTS
from ringfence.errors import Fault
from ringfence.kernel.ports import did_you_mean

Schema = Mapping[str, object]
_REFERENCE = "#/$defs/"
_MOST_LINES = 1000  # of what pydantic finds, that are read; more faults than an answer lists
_MOST_ITEMS = 100  # of each list, that are looked at where there are more lines
_MOST_KEYS = 1000  # of each mapping, likewise; more than any model has fields
_MOST_LEVELS = 50  # of lists and mappings in each other, likewise
_TEXTS: dict[object, type[types.Type]] = {
    "date": types.DateType,
    "date-time": types.DateTimeType,
    "decimal": types.DecimalType,
    "duration": types.TimeDeltaType,
    "time": types.TimeType,
    "uuid": types.UUIDType,
}
_SCALARS: dict[object, type[types.Type]] = {
    "boolean": types.BoolType,
    "integer": types.IntType,
    "null": types.NoneType,
    "number": types.FloatType,
}


def carries(cls: type) -> bool:
    """Whether it is a model."""
    return issubclass(cls, BaseModel)


def keys(cls: type[BaseModel]) -> frozenset[str] | None:
    """Return the keys that a model takes; None where it forbids or keeps others itself."""
    ignores = cls.model_config.get("extra", "ignore") == "ignore"
    return _keys(cls) if ignores and not cls.__pydantic_root_model__ else None


def _keys(cls: type[BaseModel]) -> frozenset[str]:
    config = cls.model_config
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    by_alias = config.get("validate_by_alias", True)
    found: set[str] = set()
    for name, field in cls.model_fields.items():
        alias = field.validation_alias if by_alias else None
        found |= {name} if by_name or alias is None else set()
        for choice in alias.choices if isinstance(alias, AliasChoices) else (alias,):
            first = choice.path[0] if isinstance(choice, AliasPath) else choice
            found |= {first} if isinstance(first, str) else set()
    return frozenset(found)


class Unfit(ValueError):
    """Data are not what a model takes.

    It says no more than where the first fault is: what pydantic's own error says takes as long as
    whoever sent the data decides.
    """


def read(cls: type[BaseModel], value: object, strict: bool) -> BaseModel:
    """Validate plain data, as Python's and else as JSON's: a strict model takes dates as text
    from the latter alone. Raises Unfit."""
    made = _validated(cls, value, strict)
    if isinstance(made, BaseModel):
        return made
    many = made.error_count()
    if many > _MOST_LINES:
        raise Unfit(_count(many))
    first = _listed(cls, made, value, value)[0]
    raise Unfit(f"{first.path}: {first.message}")


def _validated(cls: type[BaseModel], value: object, strict: bool) -> BaseModel | ValidationError:
    """Return the error, not raise it: none that is raised for it is to keep it alive."""
    lax = None if strict else False
    try:
        return cls.model_validate(value, strict=lax)
    except ValidationError as error:
        if error.error_count() > _MOST_LINES:
            return error  # whoever sent it decides how long a second look takes
        try:
            text = to_json(value)
        except PydanticSerializationError:
            return error  # data that JSON does not have
    try:
        return cls.model_validate_json(text, strict=lax)
    except ValidationError as error:
        return error


def faults(cls: type[BaseModel], value: object, strict: bool) -> list[Fault]:
    """List every fault; those that arms of a union find in one place are one. Of very many, those
    in a part of the data are listed."""
    part = _cut(value, [_MOST_LINES])
    found: list[Fault] = []
    if part is not value:
        wrong = _validated(cls, part, strict)
        found = [] if isinstance(wrong, BaseModel) else _listed(cls, wrong, part, value)
        if len(found) > MOST_FAULTS:
            return found
    wrong = _validated(cls, value, strict)
    if isinstance(wrong, BaseModel):
        return []
    many = wrong.error_count()
    if many > _MOST_LINES:
        return [*found, Fault("$", _count(many))]
    return _listed(cls, wrong, value, value)


def _count(many: int) -> str:
    return f"has {many} faults"


def _cut(value: object, left: list[int], level: int = 0) -> object:
    """Return a copy that has the first items of each list and mapping, and as many as `left` in
    all; what is small enough is itself."""
    if not isinstance(value, dict | list):
        return value
    most = _MOST_KEYS if isinstance(value, dict) else _MOST_ITEMS
    first = list(islice(value, min(most, left[0]) if level < _MOST_LEVELS else 0))
    left[0] -= len(first)
    items = [value[key] for key in first] if isinstance(value, dict) else first
    below = [_cut(item, left, level + 1) for item in items]
    if len(below) == len(value) and all(map(is_, items, below)):
        return value
    return dict(zip(first, below, strict=True)) if isinstance(value, dict) else below


def _listed(
    cls: type[BaseModel], error: ValidationError, part: object, whole: object
) -> list[Fault]:
    """List what is wrong with `part`, but for what is due to its being a part."""
    found: dict[str, dict[str, None]] = {}
    lines = error.errors(include_url=False, include_input=False, include_context=False)
    for line in lines[:_MOST_LINES]:
        place, kind = line["loc"], line["type"]
        path, wrong = _follow(place, part, kind == "missing")
        if part is not whole and wrong is not _follow(place, whole, kind == "missing")[1]:
            continue
        found.setdefault(path, {})[_message(cls, kind, place, line["msg"])] = None
    return [Fault(path, "; or ".join(messages)) for path, messages in found.items()]


def plain(value: object) -> object:
    """Return what its JSON says, as Python objects."""
    assert isinstance(value, BaseModel)
    return value.model_dump(mode="json", by_alias=True, warnings=False)


def json(value: object) -> bytes:
    """Return its JSON."""
    assert isinstance(value, BaseModel)
    return value.model_dump_json(by_alias=True, warnings=False).encode()


def schema(cls: type[BaseModel], sent: bool, reference: str) -> dict[str, object]:
    """Return pydantic's own JSON Schema. Raises TypeError where there is none."""
    return _schema(cls, sent, GenerateJsonSchema, reference)


def describe(cls: type[BaseModel], sent: bool) -> types.Type:
    """Describe its data as msgspec describes its own types; raises TypeError for what has no
    JSON Schema."""
    whole = _schema(cls, sent, _Shapes, _REFERENCE + "{model}")
    definitions = _of(whole.get("$defs"))
    return _Reading(cls, definitions).type_of(whole)


def _schema(
    cls: type[BaseModel], sent: bool, generator: type[GenerateJsonSchema], reference: str
) -> dict[str, object]:
    try:
        return cls.model_json_schema(
            ref_template=reference,
            schema_generator=generator,
            mode="serialization" if sent else "validation",
        )
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        raise TypeError(f"{cls.__name__}: {error.message}") from None


class _Shapes(GenerateJsonSchema):
    """JSON Schema that also tells what of its texts are numbers, and the keys of its mappings."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": "string", "format": "decimal"}

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        keys_schema = schema.get("keys_schema")
        shown = {} if keys_schema is None else {"keys": self.generate_inner(keys_schema)}
        return {**super().dict_schema(schema), **shown}


class _Reading:
    """One model's schema on its way to msgspec's description; models may hold each other."""

    def __init__(self, cls: type[BaseModel], definitions: Schema) -> None:
        self._cls = cls
        self._definitions = definitions
        self._known: dict[str, types.Type] = {}

    def type_of(self, schema: Schema) -> types.Type:
        match schema:
            case {"$ref": str(reference)}:
                return self._referred(reference.removeprefix(_REFERENCE))
            case {"anyOf": list(arms)} | {"oneOf": list(arms)}:
                return types.UnionType(tuple(self.type_of(_of(arm)) for arm in arms))
            case {"allOf": [only]}:
                return self.type_of(_of(only))
            case {"enum": list(values)}:
                return _choice(tuple(values))
            case {"const": value}:
                return _choice((value,))
            case {"type": "string"}:
                return _TEXTS.get(schema.get("format"), types.StrType)()
            case {"type": "array", "prefixItems": list(items)}:
                return types.TupleType(tuple(self.type_of(_of(item)) for item in items))
            case {"type": "array"}:
                return types.ListType(self.type_of(_of(schema.get("items"))))
            case {"type": "object", "properties": dict()}:
                return self._object(schema, _empty(self._cls))
            case {"type": "object"}:
                item = self.type_of(_of(schema.get("additionalProperties")))
                return types.DictType(self.type_of(_of(schema.get("keys", _TEXT))), item)
            case _:
                return _SCALARS.get(schema.get("type"), types.AnyType)()

    def _referred(self, name: str) -> types.Type:
        if name in self._known:
            return self._known[name]
        target = _of(self._definitions[name])
        if "properties" not in target:
            return self.type_of(target)
        # Known before its fields are read, which may lead back to it.
        empty = _empty(type(name, (), {}))
        self._known[name] = empty
        return self._object(target, empty)

    def _object(self, schema: Schema, empty: types.StructType) -> types.Type:
        required = schema.get("required")
        names = required if isinstance(required, list) else []
        empty.fields = tuple(
            types.Field(key, key, self.type_of(_of(below)), key in names)
            for key, below in _of(schema.get("properties")).items()
        )
        empty.forbid_unknown_fields = schema.get("additionalProperties") is False
        return empty


_TEXT: Schema = {"type": "string"}


def _empty(cls: type) -> types.StructType:
    """A model is described as if it were a Struct."""
    return types.StructType(cls, ())


def _of(schema: object) -> Schema:
    """Return a part of a schema; one that is left out, or `true`, allows anything."""
    return schema if isinstance(schema, dict) else {}


def _choice(values: tuple[object, ...]) -> types.Type:
    if all(isinstance(value, str) for value in values):
        return types.LiteralType(values)  # type: ignore[arg-type]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return types.LiteralType(values)  # type: ignore[arg-type]
    return types.AnyType()


def _follow(steps: Sequence[int | str], value: object, missing: bool) -> tuple[str, object]:
    """Return an error's place in the data, and what is there; pydantic also names arms of unions,
    which are not there."""
    path = "$"
    for i, step in enumerate(steps):
        if isinstance(step, int) and isinstance(value, list | tuple):
            path += f"[{step}]"
            value = value[step] if step < len(value) else None
        elif isinstance(value, Mapping):
            key = step if step in value else str(step)
            if key in value or (missing and i == len(steps) - 1):
                path += f".{key}"
                value = value.get(key)
    return path, value


def _message(cls: type[BaseModel], kind: str, place: Sequence[int | str], told: str) -> str:
    match kind:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            known = sorted(_keys(cls)) if len(place) == 1 else []
            return f"unknown field{did_you_mean(str(place[-1]), known)}"
        case "value_error":
            return told.removeprefix("Value error, ")
        case "assertion_error":
            return told.removeprefix("Assertion failed, ")
        case _:
            return told
