"""What is wrong with an application's routes, found before anything starts.

`check` is the tool's part of verification: it reads declarations and runs nothing. Each `_rule`
reports all that it finds.

    RF301 path that cannot be read              RF306 body where the method has none
    RF302 route that two methods claim          RF307 parameter type that HTTP does not carry
    RF303 path parameter that nothing takes     RF308 path of Ringfence's own
    RF304 path parameter that is not one value  RF309 result that JSON does not carry
    RF305 more than one body                    RF310 status that is not a success
"""

from collections.abc import Iterator

from msgspec import ValidationError, convert, structs

from ringfence.errors import Finding
from ringfence.kernel.ports import Declared, Facts
from ringfence.tools.http import system
from ringfence.tools.http.binding import plan
from ringfence.tools.http.contract import Route
from ringfence.tools.http.kinds import unserialisable
from ringfence.tools.http.path import Pattern, parse

_WRITE = 'write the path as text and the status as a number: @get("/orders", status=200)'


def check(facts: Facts) -> list[Finding]:
    """Return everything that is wrong with the routes of an application."""
    found: list[Finding] = []
    owners: dict[str, Declared] = {}
    for declared in facts.declared:
        route = declared.declaration
        if not isinstance(route, Route):
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
    if route.path in system.PATHS:
        message = f"{route.label} is a path that Ringfence answers itself"
        yield _finding(declared, "RF308", message, "choose another path")
    for misfit in plan(route.method, pattern.names, declared.signature).misfits:
        yield _finding(declared, misfit.rule, f"{route.label}: {misfit.message}", misfit.fix)


def _result(declared: Declared, route: Route) -> Iterator[Finding]:
    result = declared.signature.result
    what = unserialisable(result)
    if what is not None:
        message = f"{route.label}: its result holds what JSON does not carry: {what}"
        fix = "return a Struct, a dataclass, a TypedDict, or collections and scalars"
        yield _finding(declared, "RF309", message, fix)
    if not 200 <= route.status <= 299:
        message = f"{route.label}: status {route.status} is not a success; expected 200 to 299"
        yield _finding(declared, "RF310", message, "raise an error of ringfence for any other")
    elif route.status in (204, 205) and result not in (None, type(None)):
        message = f"{route.label}: an answer with status {route.status} has no body"
        yield _finding(declared, "RF310", message, "return None, or use another status")


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
