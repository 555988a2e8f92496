"""What is wrong with an application's routes, found before anything starts.

`check` is the tool's part of verification: it reads declarations and runs nothing. Each `_rule`
reports all that it finds.

    RF301 path that cannot be read              RF308 path of Ringfence's own
    RF302 route that two methods claim          RF309 result that JSON does not carry
    RF303 path parameter that nothing takes     RF310 status that the answer cannot have
    RF304 path parameter that is not one value  RF311 header, cookie or form field with fields
    RF305 more than one body                    RF312 service that only HTTP could call
    RF306 body where the method has none        RF313 WebSocket without @websocket, or the reverse
    RF307 parameter type that HTTP does not     RF314 example in a docstring that would be refused
          carry                                 RF315 default that is not of its type
                                                RF316 metadata that nothing reads
"""

from collections.abc import Iterator
from typing import get_args

from msgspec import ValidationError, convert, structs

from ringfence.errors import Finding
from ringfence.kernel.ports import Declared, Facts
from ringfence.tools.http import system
from ringfence.tools.http.binding.kinds import Kind, answer_of, arms_of, kind_of, unserialisable
from ringfence.tools.http.binding.plan import plan
from ringfence.tools.http.binding.unread import misfits
from ringfence.tools.http.contract import Route
from ringfence.tools.http.description import docs, docstrings, examples
from ringfence.tools.http.path import Pattern, parse

_OF_REQUESTS = (Kind.FILE, Kind.FILES, Kind.STREAM, Kind.REQUEST, Kind.MATCH, Kind.SOCKET)
_WRITE = 'write the path as text and the status as a number: @get("/orders", status=200)'


def check(facts: Facts) -> list[Finding]:
    """Return everything that is wrong with the routes of an application."""
    found: list[Finding] = []
    owners: dict[str, Declared] = {}
    for declared in facts.declared:
        route = declared.declaration
        if not isinstance(route, Route):
            found += _service(declared) if route.kind == "service" else ()
            continue
        try:
            convert(structs.asdict(route), Route)
        except ValidationError as error:
            found.append(_finding(declared, "RF301", f"{route.label}: {error}", _WRITE))
            continue
        found += _result(declared, route)
        pattern = parse(route.path)
        if not isinstance(pattern, Pattern):
            found.append(_finding(declared, "RF301", pattern.message, pattern.fix))
            continue
        found += _path(declared, route, pattern)
        first = owners.setdefault(route.key, declared)
        if first is not declared:
            found.append(_twice(declared, first, route))
    return found


def _path(declared: Declared, route: Route, pattern: Pattern) -> Iterator[Finding]:
    if route.path in (*system.PATHS, *docs.PATHS):
        message = f"{route.label} is a path that Ringfence answers itself"
        yield _finding(declared, "RF308", message, "choose another path")
    bound = plan(route.method, pattern.names, declared.signature)
    for misfit in (*bound.misfits, *misfits(declared.signature.parameters)):
        yield _finding(declared, misfit.rule, f"{route.label}: {misfit.message}", misfit.fix)
    for message in examples.misfits(bound.arguments, docstrings.read(declared.signature.doc)):
        fix = "give what a client would send, as JSON"
        yield _finding(declared, "RF314", f"{route.label}: {message}", fix)


def _result(declared: Declared, route: Route) -> Iterator[Finding]:
    result = declared.signature.result
    answers = {answer_of(arm) for arm in arms_of(result)} - {""}
    is_none = result in (None, type(None))
    what = next(filter(None, map(unserialisable, _json_parts(result))), None)
    if what is not None:
        message = f"{route.label}: its result holds what JSON does not carry: {what}"
        fix = "return a Struct, a dataclass, a TypedDict, or collections and scalars"
        yield _finding(declared, "RF309", message, fix)
    if route.method == "WEBSOCKET" and not is_none:
        message = f"{route.label}: what it returns would reach nobody"
        yield _finding(declared, "RF313", message, "send it, and annotate the method `-> None`")
    if not 200 <= route.status <= 299:
        message = f"{route.label}: status {route.status} is not a success; expected 200 to 299"
        yield _finding(declared, "RF310", message, "raise an error of ringfence for any other")
    elif route.status in (204, 205) and not is_none:
        message = f"{route.label}: an answer with status {route.status} has no body"
        yield _finding(declared, "RF310", message, "return None, or use another status")
    elif route.status != 200 and "File" in answers:
        message = f"{route.label}: a File says itself whether it is 200, 206 or 304"
        yield _finding(declared, "RF310", message, f"leave out status={route.status}")


def _json_parts(result: object) -> Iterator[object]:
    """The types in a result that are sent as JSON."""
    if not any(map(answer_of, arms_of(result))):
        yield result
        return
    for arm in arms_of(result):
        if answer_of(arm) in ("Reply", "EventStream"):
            yield from (part for item in get_args(arm) for part in _json_parts(item))
        elif not answer_of(arm):
            yield arm


def _service(declared: Declared) -> Iterator[Finding]:
    label = declared.declaration.label
    for parameter in declared.signature.parameters:
        if kind_of(parameter.annotation) in _OF_REQUESTS:
            message = f"{label}: parameter {parameter.name!r} comes from an HTTP request alone"
            fix = "take what is needed of it as plain values, and let a route call the service"
            yield _finding(declared, "RF312", message, fix)
    answers = {answer_of(arm) for arm in arms_of(declared.signature.result)} - {""}
    for answer in sorted(answers):
        message = f"{label}: its result is {answer}, which only an HTTP client can take"
        yield _finding(declared, "RF312", message, "return the value, and let a route answer so")


def _twice(declared: Declared, first: Declared, route: Route) -> Finding:
    return _finding(
        declared,
        "RF302",
        f"{route.label} of {declared.plugin}.{declared.method} is already"
        f" {first.declaration.label} of {first.plugin}.{first.method}"
        f" ({first.file}:{first.line})",
        "change the path or the method of one of them",
    )


def _finding(declared: Declared, rule: str, message: str, fix: str) -> Finding:
    return Finding(declared.file, declared.line, rule, message, fix)
