"""One route as an operation of OpenAPI: its words, what it takes, and what it answers.

`Described` is a route with all that is read from its signature and docstring; `operation`, `head`
and `socket` are what the document says of it.
"""

from msgspec import Struct

from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.binding.arguments import Argument, FromIfMatch
from ringfence.tools.http.binding.plan import plan
from ringfence.tools.http.contract import Route
from ringfence.tools.http.description import docstrings, responses, results
from ringfence.tools.http.description.docstrings import Doc
from ringfence.tools.http.description.inputs import Inputs
from ringfence.tools.http.description.schemas import Schema, Schemas, as_schema
from ringfence.tools.http.path import Pattern, parse


class Described(Struct, frozen=True):
    """A route, and what is read from its signature and docstring."""

    endpoint: Endpoint
    route: Route
    doc: Doc
    arguments: tuple[Argument, ...]

    @property
    def result(self) -> object:
        """What it returns."""
        return self.endpoint.declared.signature.result


def read(endpoint: Endpoint, route: Route) -> Described:
    """Read what is to be described."""
    signature = endpoint.declared.signature
    bound = plan(route.method, _names_in(route.path), signature)
    # A feature of one operation often says what it does at the top of its file alone.
    doc = signature.doc or str(getattr(endpoint.declared, "doc", ""))
    return Described(endpoint, route, docstrings.read(doc), bound.arguments)


def operation(described: Described, path: str, name: str, schemas: Schemas) -> Schema:
    """Return what the document says of a route.

    Args:
        described: The route.
        path: As the document shows it: parameters may be called otherwise than in the route's.
        name: The operationId.
        schemas: Of the document.
    """
    route, doc = described.route, described.doc
    document = _beginning(described, path, name, schemas)
    body = Inputs(described.arguments, doc, schemas).body()
    if body:
        document["requestBody"] = body
    document["responses"] = {
        **results.successes(route.status, described.result, doc.returns, schemas),
        **responses.failures(
            described.endpoint,
            doc,
            schemas,
            takes=bool(body) or "parameters" in document,
            body=bool(body),
            matches=any(isinstance(argument, FromIfMatch) for argument in described.arguments),
        ),
    }
    return document


def head(document: Schema, name: str) -> Schema:
    """Return what HEAD answers where GET is served: the same, without a body."""
    answers = {
        status: {"description": as_schema(answer).get("description", "")}
        for status, answer in as_schema(document["responses"]).items()
        if status.startswith(("2", "3"))
    }
    found: Schema = {"operationId": name, "summary": "As GET, without a body."}
    for key in ("tags", "parameters", "deprecated"):
        if key in document:
            found[key] = document[key]
    found["responses"] = {**answers, "default": {"description": "As GET."}}
    return found


def socket(described: Described, name: str, schemas: Schemas) -> Schema:
    """Return what the document says of a WebSocket, up to where it is accepted."""
    document = _beginning(described, described.route.path, name, schemas)
    takes = "parameters" in document
    document["responses"] = {
        "101": {"description": responses.phrase(101)},
        **responses.failures(described.endpoint, described.doc, schemas, takes=takes),
    }
    return document


def _beginning(described: Described, path: str, name: str, schemas: Schemas) -> Schema:
    """What a docstring says of a route as a whole, and its parameters."""
    doc = described.doc
    document: Schema = {"operationId": name, "tags": [described.endpoint.declared.domain]}
    reason = f"Deprecated: {doc.deprecated}" if doc.deprecated else ""
    description = "\n\n".join(filter(None, (doc.description, reason)))
    if doc.summary:
        document["summary"] = doc.summary
    if description:
        document["description"] = description
    if doc.deprecated is not None:
        document["deprecated"] = True
    parameters = Inputs(described.arguments, doc, schemas).parameters(_names_in(path))
    if parameters:
        document["parameters"] = parameters
    return document


def _names_in(path: str) -> tuple[str, ...]:
    pattern = parse(path)
    return pattern.names if isinstance(pattern, Pattern) else ()
