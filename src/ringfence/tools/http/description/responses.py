"""What an operation answers, as OpenAPI writes it: its results, and by status what it refuses.

Every operation can be refused by Ringfence itself; those answers are components that operations
refer to, so that a document says them once. What a feature declares is listed with its codes.
"""

from collections.abc import Mapping
from http import HTTPStatus

from ringfence.errors import AppError
from ringfence.kernel.ports import Endpoint
from ringfence.tools.http.description.docstrings import Doc
from ringfence.tools.http.description.schemas import Schema, Schemas
from ringfence.tools.http.problem import Problem

PROBLEM = "application/problem+json"
_Codes = Mapping[str, str]

# By status: the name of the component, then each code with what it says.
_BODY: Mapping[int, tuple[str, _Codes]] = {
    413: ("TooLong", {"body_too_long": "The body is longer than is taken."}),
    415: ("WrongType", {"unsupported_media_type": "The body is of another content type."}),
}
_MATCHED: Mapping[int, tuple[str, _Codes]] = {
    412: ("Changed", {"precondition_failed": "It has changed since the client has read it."}),
    428: ("Unconditional", {"precondition_required": "It takes the header If-Match."}),
}
_INPUT: Mapping[int, tuple[str, _Codes]] = {
    400: (
        "Malformed",
        {
            "malformed_json": "The body is not JSON.",
            "json_too_deep": "The body is nested too deeply.",
            "malformed_query": "The query is not UTF-8.",
            "too_many_parameters": "There are more parameters than are taken.",
        },
    ),
    422: ("Invalid", {"invalid": "The request does not fit; `errors` lists every fault."}),
}
_ALWAYS: Mapping[int, tuple[str, _Codes]] = {
    500: ("Failed", {"internal": "A bug; its trace tells more."}),
    503: (
        "Unavailable",
        {
            "overloaded": "Too much is in progress; nothing was started.",
            "budget_exceeded": "The request cost more than it may.",
            "plugin_quarantined": "The feature is out of order.",
            "tool_unavailable": "What the feature needs is down.",
            "stopping": "The application is stopping.",
        },
    ),
    504: ("OutOfTime", {"deadline_exceeded": "The request took longer than it may."}),
}


def components(schemas: Schemas) -> Schema:
    """Return the responses that operations refer to."""
    told: Schema = {
        name: _problem(status, codes, schemas)
        for status, (name, codes) in {**_BODY, **_MATCHED, **_INPUT, **_ALWAYS}.items()
    }
    content = {PROBLEM: {"schema": schemas.of(Problem)}}
    return {**told, "Problem": {"description": "Any other refusal.", "content": content}}


def failures(
    endpoint: Endpoint,
    doc: Doc,
    schemas: Schemas,
    *,
    takes: bool,
    body: bool = False,
    matches: bool = False,
) -> Schema:
    """Return the responses of an operation that are errors.

    Args:
        endpoint: The operation.
        doc: What its docstring says.
        schemas: Of the document.
        takes: Whether it has parameters or a body.
        body: Whether it has a body.
        matches: Whether it reads If-Match.
    """
    known = {**_ALWAYS, **(_INPUT if takes else {}), **(_BODY if body else {})}
    known |= _MATCHED if matches else {}
    found: Schema = {str(status): _reference(name) for status, (name, _) in known.items()}
    declared: dict[int, dict[str, str]] = {}
    for error in sorted(endpoint.errors, key=lambda error: error.code):
        declared.setdefault(error.status, {})[error.code] = _said(error, doc)
    for status, codes in declared.items():
        _, own = known.get(status, ("", {}))
        found[str(status)] = _problem(status, {**codes, **own}, schemas)
    return {**found, "default": _reference("Problem")}


def phrase(status: int) -> str:
    """Return what a status is called."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Success"


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/responses/{name}"}


def _said(error: type[AppError], doc: Doc) -> str:
    said = doc.raises.get(error.__name__) or (error.__doc__ or "").strip().partition("\n")[0]
    return said or phrase(error.status)


def _problem(status: int, codes: _Codes, schemas: Schemas) -> Schema:
    said = "\n".join(f"- `{code}`: {text}" for code, text in codes.items())
    examples = {
        code: {
            "summary": text,
            "value": {
                "type": "about:blank",
                "title": phrase(status),
                "status": status,
                "code": code,
            },
        }
        for code, text in codes.items()
    }
    content = {PROBLEM: {"schema": schemas.of(Problem), "examples": examples}}
    return {"description": f"{phrase(status)}\n\n{said}", "content": content, "x-codes": codes}
