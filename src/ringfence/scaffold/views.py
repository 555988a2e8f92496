"""A consumer's view of a service, written from what its provider declares.

`Views.of` gives the Protocol and the classes that a call sends and reads, as code: what must be
sent, and all that comes back. Values only; nothing of the provider is imported by what is written.
Invariant: `contracts.compatibility.view_misfits` finds nothing in it.
"""

import keyword
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec import inspect as types

from ringfence.contracts.compatibility import payload_parameters, sole_struct
from ringfence.contracts.payload import choices, describe
from ringfence.kernel.ports import REQUIRED, Declared, Parameter
from ringfence.scaffold.draft import Unfit
from ringfence.scaffold.layout import WIDTH, Code, after, bracketed, framed, quoted
from ringfence.scaffold.names import HOOKS, Taken, camel

_UTC = frozenset({("datetime as dt", "")})
# Scalars by the name of msgspec's description: how they are written, an example, what both need.
_PLAIN: dict[str, tuple[str, str, frozenset[tuple[str, str]]]] = {
    "AnyType": ("Any", "None", frozenset({("typing", "Any")})),
    "NoneType": ("None", "None", frozenset()),
    "BoolType": ("bool", "True", frozenset()),
    "IntType": ("int", "1", frozenset()),
    "FloatType": ("float", "1.0", frozenset()),
    "StrType": ("str", '"text"', frozenset()),
    "BytesType": ("bytes", 'b"text"', frozenset()),
    "ByteArrayType": ("bytearray", "bytearray()", frozenset()),
    "MemoryViewType": ("memoryview", 'memoryview(b"")', frozenset()),
    "RawType": ("Raw", 'Raw(b"1")', frozenset({("msgspec", "Raw")})),
    "DateTimeType": ("dt.datetime", "dt.datetime(2030, 1, 1, tzinfo=dt.UTC)", _UTC),
    "DateType": ("dt.date", "dt.date(2030, 1, 1)", _UTC),
    "TimeType": ("dt.time", "dt.time(12)", _UTC),
    "TimeDeltaType": ("dt.timedelta", "dt.timedelta(seconds=1)", _UTC),
    "UUIDType": ("UUID", "UUID(int=1)", frozenset({("uuid", "UUID")})),
    "DecimalType": ("Decimal", "Decimal(1)", frozenset({("decimal", "Decimal")})),
}
# What stands in a query or a path, and may be the default of a parameter.
_SCALARS = {"bool", "int", "float", "str"}
_LISTS: tuple[tuple[type[types.Type], str, str], ...] = (
    (types.SetType, "set[{}]", "set()"),
    (types.FrozenSetType, "frozenset[{}]", "frozenset()"),
    (types.VarTupleType, "tuple[{}, ...]", "()"),
    (types.ListType, "list[{}]", "[]"),
    (types.CollectionType, "list[{}]", "[]"),
)


class Shape(Struct, frozen=True):
    """A type as it is annotated, and an example of its values."""

    hint: Code
    example: Code
    open: bool = False  # of a class that is not written to its end: its name is quoted
    nested: bool = False  # more than values and lists of them: no query has it

    @property
    def is_scalar(self) -> bool:
        return str(self.hint) in _SCALARS


class Input(Struct, frozen=True):
    """One value that a call sends."""

    name: str
    shape: Shape


class Call(Struct, frozen=True):
    """One service that a feature calls."""

    service: str
    field: str
    protocol: str
    inputs: tuple[Input, ...]
    answer: Shape | None
    definition: Code  # the Protocol

    def signature(self, head: str, ends: str, first: Sequence[str], indent: int, width: int) -> str:
        """Lay out a function that is called as the service is."""
        sent = [f"{i.name}: {i.shape.hint}" for i in self.inputs]
        items = [*first, *(["*"] if sent else []), *sent]
        result = self.answer.hint if self.answer else "None"
        return bracketed(f"async def {head}(", items, f") -> {result}:{ends}", indent, width)


class Views:
    """The views of one feature's module.

    Args:
        names: Of the module; every class that is written takes one.
        fields: Of the plugin.
    """

    def __init__(self, names: Taken, fields: Taken) -> None:
        self._names = names
        self._fields = fields
        self._known: dict[tuple[object, bool], Shape] = {}
        self.classes: list[Code] = []  # each below those that it is made of

    def of(self, provider: Declared) -> Call:
        """Write the view of a service.

        Raises:
            Unfit: It sends or answers what has no shape outside its domain.
        """
        service, offer = provider.declaration.key, provider.signature
        domain, word = service.partition(".")[0], service.rpartition(".")[2]
        whole = service.replace(".", "_")
        field = self._fields.take(*([whole] if word in HOOKS else [word, whole]))
        taken = _sent(offer.parameters, provider)
        needed = [p for p in taken if p.default is REQUIRED]
        inputs = tuple(
            Input(p.name, self._shape(describe(p.annotation), True, p.name, domain, service))
            for p in needed
        )
        described = describe(offer.result, sent=True)
        answer = None
        if not isinstance(described, types.NoneType):
            answer = self._shape(described, False, word, domain, service)
        protocol = self._names.take(camel(whole), f"{camel(whole)}Of")
        call = Call(service, field, protocol, inputs, answer, Code(""))
        uses = {("typing", "Protocol"), ("ringfence", "requires")}
        uses |= {u for i in inputs for u in i.shape.hint.uses}
        uses |= answer.hint.uses if answer else set()
        text = f"@requires({quoted(service)})\nclass {protocol}(Protocol):\n"
        text += _defaults([p.name for p in taken if p.default is not REQUIRED])
        text += call.signature("__call__", " ...", ["self"], 4, WIDTH)
        return Call(service, field, protocol, inputs, answer, Code(text, frozenset(uses)))

    def _shape(
        self, described: types.Type, sent: bool, hint: str, domain: str, service: str
    ) -> Shape:
        """Return how a described type is written; `hint` names what has no name of its own."""

        def inner(part: types.Type) -> Shape:
            return self._shape(part, sent, hint, domain, service)

        kind = type(described).__name__
        if kind in _PLAIN:
            text, example, needed = _PLAIN[kind]
            used = frozenset(use for use in needed if (use[1] or "dt.") in example)
            return Shape(Code(text, needed), Code(example, used))
        match described:
            case types.Metadata():
                return inner(described.type)
            case types.UnionType():
                return _union([inner(part) for part in described.types])
            case types.LiteralType() | types.EnumType():
                return self._literal(described, sent, hint, domain)
            case types.DictType() | types.FrozenDictType():
                return _generic(
                    "dict[{}, {}]", "{}", inner(described.key_type), inner(described.value_type)
                )
            case types.TupleType() | types.NamedTupleType():
                return _tuple([inner(part) for part in _items(described)])
            case types.StructType() | types.DataclassType() | types.TypedDictType():
                return self._class(described, sent, domain, service)
        for cls, text, example in _LISTS:
            if isinstance(described, cls):
                return _generic(text, example, inner(getattr(described, "item_type")))
        shown = getattr(getattr(described, "cls", None), "__name__", kind)
        said = f"it takes or answers {shown}, which has no shape outside its domain."
        raise Unfit(
            said, subject=service, hint="Write the view by hand, or let it answer a Struct."
        )

    def _literal(
        self, described: types.LiteralType | types.EnumType, sent: bool, hint: str, domain: str
    ) -> Shape:
        values = [quoted(v) if isinstance(v, str) else repr(v) for v in choices(described) or ()]
        key: object = described.cls if isinstance(described, types.EnumType) else tuple(values)
        known = self._known.get((key, sent))
        if known is None:
            cls = getattr(described, "cls", None)
            wanted = cls.__name__ if cls is not None else camel(hint)
            name = self._names.take(wanted, camel(domain) + wanted)
            code = bracketed(f"{name} = Literal[", values, "]")
            self.classes.append(Code(code, frozenset({("typing", "Literal")})))
            known = Shape(Code(name, frozenset({(".", name)})), Code(values[0]))
            self._known[key, sent] = known
        return known

    def _class(
        self,
        described: types.StructType | types.DataclassType | types.TypedDictType,
        sent: bool,
        domain: str,
        service: str,
    ) -> Shape:
        key = (described.cls, sent)
        known = self._known.get(key)
        if known is not None:
            return known
        wanted = camel(described.cls.__name__.partition("[")[0])
        name = self._names.take(wanted, camel(domain) + wanted)
        uses = frozenset({(".", name)})
        self._known[key] = Shape(Code(name, uses), Code("None"), open=True, nested=True)
        lines: list[Code] = []
        example: list[Code] = []
        for one in _fields(described, sent):
            shape = self._shape(one.type, sent, one.encode_name, domain, service)
            line, value = _field(described, one, shape)
            lines.append(line)
            example += [value] if value else []
        self.classes.append(_struct(name, described, lines, sent))
        made = framed(f"{name}(", example, ")")
        made = Code(made.text, made.uses | uses, made.frame)
        self._known[key] = Shape(Code(name, uses), made, nested=True)
        return self._known[key]


def _sent(parameters: Sequence[Parameter], provider: Declared) -> Sequence[Parameter]:
    """Return what a caller names: a lone Struct's fields, if all of them can be named."""
    fields = payload_parameters(provider.signature)
    if sole_struct(provider.signature) is None:
        return parameters
    named = all(p.name.isidentifier() and not keyword.iskeyword(p.name) for p in fields)
    return fields if named and all(p.name != "self" for p in fields) else parameters


def _defaults(names: Sequence[str]) -> str:
    """Say what else a caller may give, if it is little enough for a line."""
    said = f'    """May be given {", ".join(names)} as well."""\n\n'
    return said if names and len(said) <= WIDTH else ""


def _items(described: types.TupleType | types.NamedTupleType) -> Sequence[types.Type]:
    if isinstance(described, types.NamedTupleType):
        return [field.type for field in described.fields]
    return described.item_types


def _fields(described: types.Type, sent: bool) -> Iterator[types.Field]:
    """Yield what is sent, which is what must be; or what comes back, which is all."""
    assert isinstance(described, types.StructType | types.DataclassType | types.TypedDictType)
    in_order = isinstance(described, types.StructType) and described.array_like
    yield from (f for f in described.fields if f.required or in_order or not sent)


def _field(owner: types.Type, field: types.Field, shape: Shape) -> tuple[Code, Code | None]:
    """Return a field of a view as a line, and as an argument of its example."""
    name = field.encode_name
    named = name.isidentifier() and not keyword.iskeyword(name) and name not in _SHADOWS
    attribute = name if named else "".join(c if c.isalnum() else "_" for c in name) + "_"
    if not attribute.isidentifier():
        attribute = f"_{attribute}"
    may_lack = isinstance(owner, types.TypedDictType) and not field.required
    hint, uses = str(shape.hint), set(shape.hint.uses)
    if may_lack and hint != "Any" and "None" not in hint.split(" | "):
        hint = f"{hint} | None"
    hint = f'"{hint}"' if shape.open else hint
    given = ([] if named else [f"name={quoted(name)}"]) + (["default=None"] if may_lack else [])
    if not named:
        uses.add(("msgspec", "field"))
        default = f" = field({', '.join(given)})"
    else:
        default = " = None" if may_lack else ""
    line = Code(f"{attribute}: {hint}{default}", frozenset(uses))
    return line, None if may_lack else after(f"{attribute}=", shape.example)


# As fields they would hide the types that the next fields are annotated with.
_SHADOWS = {
    "bool", "bytearray", "bytes", "dict", "dt", "field", "float", "frozenset", "int", "list",
    "memoryview", "object", "set", "str", "tuple", "Raw", "UUID", "Decimal",
}  # fmt: skip


def _struct(name: str, described: types.Type, lines: Sequence[Code], sent: bool) -> Code:
    options: list[str] = []
    if isinstance(described, types.StructType):
        if described.tag is not None:
            options.append(f"tag_field={quoted(described.tag_field or 'type')}")
            tag = described.tag
            options.append(f"tag={quoted(tag) if isinstance(tag, str) else tag}")
        if described.array_like:
            options.append("array_like=True")
    if any(" = " in line.text for line in lines):
        options.append("kw_only=True")
    said = "What is sent of it." if sent else "What this feature needs of the answer, and no more."
    head = bracketed(f"class {name}(", ["Struct", *options], "):")
    fields = "".join(f"\n    {line}" for line in lines)
    uses = frozenset({("msgspec", "Struct")}).union(*(line.uses for line in lines))
    body = f"\n{fields}" if fields else ""
    return Code(f'{head}\n    """{said}"""{body}', uses)


def _union(parts: Sequence[Shape]) -> Shape:
    hints = list(dict.fromkeys(str(p.hint) for p in parts if str(p.hint) != "None"))
    empty = any(str(p.hint) == "None" for p in parts)
    hints += ["None"] if empty else []
    uses = frozenset(u for p in parts for u in p.hint.uses)
    example = Code("None") if empty else parts[0].example
    return _of(Code(" | ".join(hints), uses), example, parts)


def _tuple(parts: Sequence[Shape]) -> Shape:
    texts = [str(part.hint) for part in parts]
    uses = frozenset(u for p in parts for u in p.hint.uses)
    example = framed("(", [part.example for part in parts], ",)" if len(parts) == 1 else ")")
    hint = f"tuple[{', '.join(texts) or '()'}]"
    return _of(Code(hint, uses), example, parts, nested=True)


def _generic(text: str, example: str, *parts: Shape) -> Shape:
    uses = frozenset(u for p in parts for u in p.hint.uses)
    hint = Code(text.format(*(str(part.hint) for part in parts)), uses)
    return _of(hint, Code(example), parts, nested=len(parts) > 1)


def _of(hint: Code, example: Code, parts: Sequence[Shape], *, nested: bool = False) -> Shape:
    is_nested = nested or any(part.nested for part in parts)
    return Shape(hint, example, any(part.open for part in parts), is_nested)
