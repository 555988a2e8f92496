"""What an operation takes, as OpenAPI writes it: its parameters and its body.

`Inputs(arguments, doc, schemas)` has `parameters`, those of path, query, headers and cookies, and
`body`, which is JSON, a form, or anything. `types_in` are the types whose schemas that needs.
"""

from collections.abc import Iterator, Sequence

from msgspec import to_builtins

from ringfence.kernel.ports import REQUIRED, Parameter
from ringfence.tools.http.binding.arguments import (
    Argument,
    FromBody,
    FromBodyStream,
    FromCookie,
    FromFile,
    FromForm,
    FromFormField,
    FromHeader,
    FromIfMatch,
    FromPath,
    FromQuery,
    FromRawBody,
    FromWholeQuery,
)
from ringfence.tools.http.binding.body import item_structs
from ringfence.tools.http.binding.kinds import Kind
from ringfence.tools.http.description.docstrings import Doc
from ringfence.tools.http.description.schemas import Schema, Schemas, as_schema

_NAMED = (FromPath, FromQuery, FromHeader, FromCookie)
_FORMS = (FromForm, FromFormField, FromFile)
_BODIES = (FromBody, FromRawBody, FromBodyStream, *_FORMS)
_TYPED = (*_NAMED, FromWholeQuery, FromBody, FromForm, FromFormField)
_TAGS: Schema = {"type": "string", "description": "The ETag of what is to be changed, or `*`."}
_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


def types_in(arguments: Sequence[Argument]) -> Iterator[object]:
    """Yield the types that arguments are read as."""
    for argument in arguments:
        if isinstance(argument, _TYPED):
            yield argument.parameter.annotation


def _close(schema: Schema, items: bool) -> None:
    """Forbid fields that are not named, at the top alone: below it they are tolerated."""
    if "$ref" in schema:
        schema["unevaluatedProperties"] = False
        return
    for key in ("items", "additionalProperties", "anyOf") if items else ():
        below = schema.get(key)
        for part in below if isinstance(below, list) else [below]:
            if isinstance(part, dict) and "discriminator" not in part:
                _close(part, items)


class Inputs:
    """What one operation takes.

    Args:
        arguments: Where its arguments come from.
        doc: What its docstring says of them.
        schemas: Of the document.
    """

    def __init__(self, arguments: Sequence[Argument], doc: Doc, schemas: Schemas) -> None:
        self._arguments = arguments
        self._doc = doc
        self._schemas = schemas
        self._has_body = any(isinstance(argument, _BODIES) for argument in arguments)

    def parameters(self, shown: Sequence[str]) -> list[Schema]:
        """Return the parameters; none, where it has none.

        Args:
            shown: What those of the path are called, in order.
        """
        found: list[Schema] = []
        for argument in self._arguments:
            match argument:
                case FromPath(parameter=parameter, index=index):
                    found.append(self._parameter(parameter, shown[index], "path"))
                case FromQuery(parameter=parameter, field=field):
                    found.append(self._parameter(parameter, field.name, "query"))
                case FromHeader(parameter=parameter, field=field):
                    found.append(self._parameter(parameter, field.name, "header"))
                case FromCookie(parameter=parameter, field=field):
                    found.append(self._parameter(parameter, field.name, "cookie"))
                case FromIfMatch(parameter=parameter):
                    found.append(self._spoken(parameter.name, "If-Match", "header", False, _TAGS))
                case FromWholeQuery(parameter=parameter):
                    found += self._fields(parameter)
        return found

    def body(self) -> Schema:
        """Return the body; nothing, where it takes none."""
        for argument in self._arguments:
            match argument:
                case FromBody(parameter=parameter):
                    schema = self._schemas.of(parameter.annotation)
                    _close(schema, bool(item_structs(parameter.annotation)))
                    return self._whole(parameter, "application/json", self._exemplified(schema))
                case FromRawBody(parameter=parameter) | FromBodyStream(parameter=parameter):
                    return self._whole(parameter, "*/*", {})
        forms = [argument for argument in self._arguments if isinstance(argument, _FORMS)]
        return self._form(forms) if forms else {}

    def _parameter(self, parameter: Parameter, name: str, place: str) -> Schema:
        required = parameter.default is REQUIRED or place == "path"
        return self._spoken(parameter.name, name, place, required, self._typed(parameter))

    def _fields(self, parameter: Parameter) -> list[Schema]:
        whole = self._schemas.resolved(parameter.annotation)
        required = _required(whole) if parameter.default is REQUIRED else []
        fields = as_schema(whole.get("properties")).items()
        return [
            self._spoken(name, name, "query", name in required, as_schema(schema))
            for name, schema in fields
        ]

    def _spoken(self, key: str, name: str, place: str, required: bool, schema: Schema) -> Schema:
        """Put a parameter together, with what is said of it, and an example."""
        own = {name: value for name, value in schema.items() if name != "description"}
        said = self._doc.args.get(key) or schema.get("description")
        document: Schema = {"name": name, "in": place, "required": required, "schema": own}
        if said:
            document["description"] = said
        for example in () if self._has_body else self._doc.examples:
            if isinstance(example.value, dict) and key in example.value:
                document.setdefault("example", example.value[key])
        return document

    def _typed(self, parameter: Parameter) -> Schema:
        schema = self._schemas.of(parameter.annotation)
        if parameter.default is not REQUIRED:
            schema["default"] = to_builtins(parameter.default, str_keys=True)
        return schema

    def _whole(self, parameter: Parameter, media_type: str, media: Schema) -> Schema:
        said = self._doc.args.get(parameter.name)
        required = parameter.default is REQUIRED
        document: Schema = {"required": required, "content": {media_type: media}}
        return {"description": said, **document} if said else document

    def _exemplified(self, schema: Schema) -> Schema:
        examples = {
            str(number): {"value": example.value}
            for number, example in enumerate(self._doc.examples, start=1)
            if not example.wrong
        }
        return {"schema": schema, "examples": examples} if examples else {"schema": schema}

    def _form(self, forms: Sequence[FromForm | FromFormField | FromFile]) -> Schema:
        properties: Schema = {}
        required: list[object] = []
        for argument in forms:
            parameter = argument.parameter
            if isinstance(argument, FromForm):
                whole = self._schemas.resolved(parameter.annotation)
                properties |= as_schema(whole.get("properties"))
                required += _required(whole) if parameter.default is REQUIRED else []
                continue
            name = argument.field.name
            typed = isinstance(argument, FromFormField)
            schema = self._typed(parameter) if typed else _file(argument.field.kind)
            said = self._doc.args.get(parameter.name)
            properties[name] = {**schema, "description": said} if said else schema
            required += [name] if parameter.default is REQUIRED else []
        schema = {"type": "object", "properties": properties}
        if required:
            schema["required"] = required
        if any(isinstance(argument, FromForm) and argument.known is not None for argument in forms):
            schema["additionalProperties"] = False
        files = any(isinstance(argument, FromFile) for argument in forms)
        types = [_MULTIPART] if files else [_URLENCODED, _MULTIPART]
        media = self._exemplified(schema)
        return {"required": bool(required), "content": dict.fromkeys(types, media)}


def _required(whole: Schema) -> list[object]:
    required = whole.get("required", [])
    return list(required) if isinstance(required, list) else []


def _file(kind: Kind) -> Schema:
    # 3.1 says a file by its media type; `format` is what tools of before look for.
    one: Schema = {
        "type": "string",
        "format": "binary",
        "contentMediaType": "application/octet-stream",
    }
    return {"type": "array", "items": one, "minItems": 1} if kind is Kind.FILES else one
