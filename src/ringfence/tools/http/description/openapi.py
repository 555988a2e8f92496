"""The OpenAPI 3.1 document of an application, from its bound operations alone.

`describe` returns JSON, the same bytes for the same application: operations are sorted, fields
stand as they are declared. WebSockets, of which OpenAPI knows nothing, stand under `x-websockets`.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct, json

from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.contract import Route
from ringfence.tools.http.description import inputs, operations, responses, results
from ringfence.tools.http.description.operations import Described
from ringfence.tools.http.description.schemas import Schema, Schemas
from ringfence.tools.http.problem import Problem


class About(Struct, frozen=True):
    """What a document says of the application as a whole.

    Args:
        version: Of the application.
        description: Of the application.
        domains: What each domain is about, by its name.
    """

    version: str = "0"
    description: str = ""
    domains: Mapping[str, str] = {}


def describe(title: str, endpoints: Sequence[Endpoint], about: About | None = None) -> bytes:
    """Return the document.

    Args:
        title: The application's name.
        endpoints: Its operations; those that are not routes are left out.
        about: What else is known of it.
    """
    about = about or About()
    routed = [(endpoint, endpoint.declared.declaration) for endpoint in endpoints]
    routes = [operations.read(e, route) for e, route in routed if isinstance(route, Route)]
    routes.sort(key=lambda described: described.route.label)
    taken = [hint for each in routes for hint in inputs.types_in(each.arguments)]
    given = [hint for each in routes for hint in results.types_in(each.result)]
    schemas = Schemas([Problem, *taken], given)
    document: Schema = {
        "openapi": "3.1.0",
        "info": _info(title, about),
        "tags": [
            _tag(name, about) for name in sorted({r.endpoint.declared.domain for r in routes})
        ],
        "paths": _paths([r for r in routes if r.route.method != "WEBSOCKET"], schemas),
        "components": {"schemas": schemas.components, "responses": responses.components(schemas)},
    }
    sockets = [described for described in routes if described.route.method == "WEBSOCKET"]
    if sockets:
        document["x-websockets"] = _sockets(sockets, schemas)
    return json.encode(document)


def _info(title: str, about: About) -> Schema:
    info: Schema = {"title": title, "version": about.version}
    return {**info, "description": about.description} if about.description else info


def _tag(name: str, about: About) -> Schema:
    said = about.domains.get(name)
    return {"name": name, "description": said} if said else {"name": name}


def _paths(routes: Sequence[Described], schemas: Schemas) -> Schema:
    paths: dict[str, Schema] = {}
    taken: set[str] = set()
    first: dict[str, str] = {}  # OpenAPI holds paths that differ in names alone for the same
    for described in routes:
        route = described.route
        path = first.setdefault(route.shape, route.path)
        item = paths.setdefault(path, {})
        name = _unique(described.endpoint.operation, taken)
        document = operations.operation(described, path, name, schemas)
        item[route.method.lower()] = document
        if route.method == "GET":
            item["head"] = operations.head(document, _unique(f"{name}.head", taken))
    return dict(paths)


def _sockets(routes: Sequence[Described], schemas: Schemas) -> Schema:
    found: Schema = {}
    taken: set[str] = set()
    for described in routes:
        name = _unique(described.endpoint.operation, taken)
        found[described.route.path] = operations.socket(described, name, schemas)
    return found


def _unique(operation: str, taken: set[str]) -> str:
    """One method may answer several routes, but an operationId stands once."""
    name, count = operation, 1
    while name in taken:
        count += 1
        name = f"{operation}_{count}"
    taken.add(name)
    return name
