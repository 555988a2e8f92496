"""The OpenAPI 3.1 document of an application, from its bound operations alone.

`describe` returns JSON: sorted, and the same bytes for the same application. Schemas come from
msgspec, so that what is described is what is enforced.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import get_args

from msgspec import json, to_builtins

from ringfence.kernel.ports import REQUIRED, Endpoint, Parameter
from ringfence.tools.http.arguments import FromBody, FromPath, FromQuery, FromWholeQuery
from ringfence.tools.http.binding import plan
from ringfence.tools.http.contract import Route
from ringfence.tools.http.path import Pattern, parse
from ringfence.tools.http.problem import Problem

Document = dict[str, object]
_REF = "#/components/schemas/{name}"
# msgspec tells classes of one name apart by their module, which names an application's generation.
_GENERATION = re.compile(r"^.*\bdomains[._]")
_NULL = type(None)


def describe(title: str, endpoints: Sequence[Endpoint]) -> bytes:
    """Return the document.

    Args:
        title: The application's name.
        endpoints: Its operations; those that are not routes are left out.
    """
    routed = [(e, e.declared.declaration) for e in endpoints]
    routes = [(endpoint, route) for endpoint, route in routed if isinstance(route, Route)]
    routes.sort(key=lambda pair: pair[1].label)
    schemas = _Schemas([hint for endpoint, _ in routes for hint in _hints(endpoint)])
    paths: dict[str, dict[str, object]] = {}
    taken: set[str] = set()
    first: dict[str, str] = {}  # OpenAPI holds paths that differ in names alone for the same
    for endpoint, route in routes:
        path = first.setdefault(route.shape, route.path)
        item = paths.setdefault(path, {})
        item[route.method.lower()] = _operation(endpoint, route, path, schemas, taken)
    document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "0"},
        "paths": paths,
        "components": {"schemas": schemas.components, "responses": {"problem": _problem(schemas)}},
    }
    return json.Encoder(order="sorted").encode(document)


class _Schemas:
    """The schemas of all types of one document, and the components that they share."""

    def __init__(self, hints: Sequence[object]) -> None:
        ordered = [Problem, *hints]
        found, components = json.schema_components(ordered, ref_template=_REF)
        names = {_REF.format(name=name): _GENERATION.sub("", name) for name in components}
        self.components = {
            names[_REF.format(name=name)]: _renamed(schema, names)
            for name, schema in components.items()
        }
        self._found = {
            id(hint): _renamed(schema, names) for hint, schema in zip(ordered, found, strict=True)
        }

    def of(self, hint: object) -> Document:
        """Return the schema of a type."""
        return _document(self._found[id(hint)])

    def resolved(self, hint: object) -> Document:
        """Return the schema of a type that has fields, itself and no reference to it."""
        reference = str(self.of(hint).get("$ref", ""))
        return _document(self.components.get(reference.removeprefix(_REF.format(name=""))))


def _document(schema: object) -> Document:
    return dict(schema) if isinstance(schema, dict) else {}


def _renamed(schema: object, names: Mapping[str, str]) -> object:
    """Name components as an application names their classes, wherever they are referred to."""
    if isinstance(schema, dict):
        return {key: _renamed(value, names) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_renamed(part, names) for part in schema]
    if isinstance(schema, str) and schema in names:
        return _REF.format(name=names[schema])
    return schema


def _hints(endpoint: Endpoint) -> list[object]:
    signature = endpoint.declared.signature
    return [*(parameter.annotation for parameter in signature.parameters), signature.result]


def _operation(
    endpoint: Endpoint, route: Route, path: str, schemas: _Schemas, taken: set[str]
) -> Document:
    signature = endpoint.declared.signature
    names, shown = _names(route.path), _names(path)
    document: Document = {
        "operationId": _unique(endpoint.operation, taken),
        "tags": [endpoint.declared.domain],
        "responses": _responses(route, signature.result, schemas),
    }
    summary, _, description = signature.doc.strip().partition("\n")
    if summary:
        document["summary"] = summary
    if description.strip():
        document["description"] = description.strip()
    parameters: list[Document] = []
    for argument in plan(route.method, names, signature).arguments:
        match argument:
            case FromPath(parameter=parameter, index=index):
                parameters.append(_parameter(parameter, shown[index], "path", schemas))
            case FromQuery(parameter=parameter):
                parameters.append(_parameter(parameter, parameter.name, "query", schemas))
            case FromWholeQuery(parameter=parameter):
                parameters += _fields(parameter, schemas)
            case FromBody(parameter=parameter):
                document["requestBody"] = _body(parameter, schemas)
    if parameters:
        document["parameters"] = parameters
    return document


def _names(path: str) -> tuple[str, ...]:
    pattern = parse(path)
    return pattern.names if isinstance(pattern, Pattern) else ()


def _unique(operation: str, taken: set[str]) -> str:
    """One method may answer several routes, but an operationId stands once."""
    name, count = operation, 1
    while name in taken:
        count += 1
        name = f"{operation}_{count}"
    taken.add(name)
    return name


def _parameter(parameter: Parameter, name: str, place: str, schemas: _Schemas) -> Document:
    schema = schemas.of(parameter.annotation)
    required = parameter.default is REQUIRED
    if not required:
        schema["default"] = to_builtins(parameter.default, str_keys=True)
    return {
        "name": name,
        "in": place,
        "required": required or place == "path",
        "schema": schema,
    }


def _fields(parameter: Parameter, schemas: _Schemas) -> list[Document]:
    whole = schemas.resolved(parameter.annotation)
    required = whole.get("required", [])
    names = required if isinstance(required, list) and parameter.default is REQUIRED else []
    return [
        {"name": name, "in": "query", "required": name in names, "schema": schema}
        for name, schema in _document(whole.get("properties")).items()
    ]


def _body(parameter: Parameter, schemas: _Schemas) -> Document:
    schema = schemas.of(parameter.annotation)
    if "$ref" in schema:
        schema["unevaluatedProperties"] = False  # here alone; below the top they are tolerated
    return {
        "required": parameter.default is REQUIRED,
        "content": {"application/json": {"schema": schema}},
    }


def _responses(route: Route, result: object, schemas: _Schemas) -> Document:
    responses: Document = {"default": {"$ref": "#/components/responses/problem"}}
    empty = 204 if route.status == 200 else route.status
    if _may_be_none(result):
        responses[str(empty)] = {"description": _phrase(empty)}
    if result is not None and result is not _NULL:
        content = {"application/json": {"schema": schemas.of(result)}}
        responses[str(route.status)] = {"description": _phrase(route.status), "content": content}
    return responses


def _may_be_none(result: object) -> bool:
    return result is None or result is _NULL or _NULL in get_args(result)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Success"


def _problem(schemas: _Schemas) -> Document:
    content = {"application/problem+json": {"schema": schemas.of(Problem)}}
    return {"description": "What went wrong, as RFC 9457 writes it", "content": content}
