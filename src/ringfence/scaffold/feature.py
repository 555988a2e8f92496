"""What `ringfence new feature` writes: one file, its test, and a migration if it has a table.

`plan_feature` reads the application, starting nothing, and plans: the services that are called,
then the ways in. A way in is a decorated method: the handler, which a route and a service share,
and the timer. `code.py` and `trial.py` write what is planned; a further way in is a further method.
"""

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from ringfence.app import survey
from ringfence.errors import Finding
from ringfence.kernel.manifest import Manifest
from ringfence.kernel.ports import Declared
from ringfence.reading.files import discover
from ringfence.scaffold import code, names, trial
from ringfence.scaffold.draft import Draft, Unfit, sentence
from ringfence.scaffold.layout import Code
from ringfence.scaffold.parts import Feature, Handler, Route, Timer
from ringfence.scaffold.views import Call, Input, Shape, Views
from ringfence.tools.clock.contract import Every
from ringfence.tools.clock.schedule import schedule
from ringfence.tools.db.migrations import discover as migrations
from ringfence.tools.db.migrations import owners
from ringfence.tools.http.path import Pattern, parse


class Wanted(Struct, frozen=True, kw_only=True):
    """A feature as it is asked for.

    Args:
        name: `<domain>/<feature>`.
        service: Whether it provides a service; it does as well where nothing else lets work in.
        route: `POST /orders`, or nothing.
        every: `5m`, or nothing: how often it runs by itself.
        calls: Services of other features that it calls.
        table: A table that its domain gets for it, or nothing.
    """

    name: str
    service: bool = False
    route: str = ""
    every: str = ""
    calls: tuple[str, ...] = ()
    table: str = ""


_BOUNDED = frozenset({("typing", "Annotated"), ("msgspec", "Meta")})
# Fields and variables of what is written, which no called service is named after.
_FIELDS = (
    "app",
    "asked",
    "count",
    "db",
    "deleted",
    "feature",
    "given",
    "log",
    "new_id",
    "result",
    "rows",
    "text",
)


def plan_feature(root: Path, wanted: Wanted, now: datetime) -> Draft:
    """Plan a feature of the application in the folder `root`.

    Args:
        root: The application's folder.
        wanted: What it is asked to be.
        now: The time, in UTC, that a migration is named after.

    Raises:
        Unfit: A name, a route, a span of time or a service cannot be.
        StartRefused: The application's configuration is wrong.
    """
    domain, slash, name = wanted.name.partition("/")
    if not slash:
        said = "it names no domain; expected DOMAIN/NAME as in orders/place_order."
        raise Unfit(said, subject=repr(wanted.name))
    names.word(domain, "domain")
    names.word(name, "feature")
    route = _route(wanted.route) if wanted.route else None
    every = _every(wanted.every) if wanted.every else None
    if wanted.table:
        _check_table(wanted.table)
    domains, _, _ = discover(root)
    if domain not in domains:
        hint = names.did_you_mean(domain, domains)
        listed = ", ".join(sorted(domains)) or "none yet"
        said = f"there is no such domain; expected one of: {listed}."
        raise Unfit(said, subject=domain, hint=f"{hint}Or make it: ringfence new domain {domain}")
    if wanted.table:
        _refuse_second(wanted.table, domain, domains[domain], root)
    serves = wanted.service or (route is None and every is None)
    with survey(root) as (manifest, findings):
        providers = [_provider(service, manifest) for service in dict.fromkeys(wanted.calls)]
        planned = _plan(domain, name, serves, route, every, providers, wanted.table)
    files = {
        f"domains/{domain}/{name}.py": code.module(planned),
        f"tests/{domain}/test_{name}.py": trial.module(planned),
    }
    if wanted.table:
        stamp = _stamp(domains[domain], now)
        files[f"domains/{domain}/migrations/{stamp}_{wanted.table}.sql"] = code.table(wanted.table)
    following = ("ringfence check", f"python -m pytest tests/{domain}/test_{name}.py")
    return Draft(root, files, following, known=frozenset[Finding](findings))


def _plan(
    domain: str,
    name: str,
    serves: bool,
    route: Route | None,
    every: Timer | None,
    providers: list[Declared],
    table: str,
) -> Feature:
    taken = names.Taken(code.NAMES)
    whole = names.camel(name)
    cls = taken.take(whole, f"{whole}Feature")
    request = taken.take(f"{cls}Input")
    result = taken.take(f"{cls}Result")
    row = taken.take(f"{cls}Row")
    fields = names.Taken(("self", *_FIELDS, *names.HOOKS))
    method = fields.take(name.partition("_")[0], "run")
    tick = fields.take("tick", "run_again") if serves or route else method
    views = Views(taken, fields)
    calls = tuple(views.of(provider) for provider in providers)
    handler = None
    if serves or route is not None:
        service = f"{domain}.{name}" if serves else ""
        handler = _handler(service, route, method, calls, table)
    timer = every and Timer(
        every.interval, every.seconds, tick, () if handler else _repeated(calls)
    )
    return Feature(
        domain, name, cls, request, result, row, handler, timer, calls, tuple(views.classes), table
    )


def _handler(
    service: str, route: Route | None, method: str, calls: tuple[Call, ...], table: str
) -> Handler:
    text = Shape(Code("str"), Code('"text"'))
    bounded = Shape(
        Code("Annotated[str, Meta(min_length=1, max_length=1000)]", _BOUNDED), text.example
    )
    number = Shape(Code("int"), Code("1"))
    verb = route.verb if route else ""
    in_path = route.names if route else ()
    has_body = verb in ("", "post", "put", "patch")
    row = in_path[-1] if in_path else "row_id"
    inputs = dict.fromkeys(in_path, text)
    if table and verb == "delete":
        inputs[row] = number
    arguments: dict[tuple[str, str], str] = {}  # service and parameter → input
    from_call: set[str] = set()
    for call in calls:
        for one in call.inputs:
            known = inputs.get(one.name)
            same = known is None or str(known.hint) == str(one.shape.hint)
            own = one.name if same or one.name not in from_call else f"{call.field}_{one.name}"
            inputs[own] = one.shape
            from_call.add(own)
            arguments[call.service, one.name] = own
    echoes = not (table or any(call.answer for call in calls))
    if has_body and (table or not (from_call or in_path)):
        inputs.setdefault("text", bounded)
    given = tuple(Input(name, shape) for name, shape in inputs.items())
    for one in () if has_body else given:
        if one.shape.nested:
            said = f"{verb.upper()} has no body for {one.name}: {one.shape.hint}."
            raise Unfit(said, subject="--route", hint="Use POST, PUT or PATCH.")
    return Handler(
        service=service,
        route=route,
        method=method,
        plain=given if not has_body else tuple(i for i in given if i.name in in_path),
        body=tuple(i for i in given if i.name not in in_path) if has_body else (),
        arguments=arguments,
        echoes=given if echoes else (),
        row=row,
    )


def _repeated(calls: tuple[Call, ...]) -> tuple[Input, ...]:
    """Return what a timer's own calls send, which are its parameters, with defaults."""
    inputs: dict[str, Input] = {}
    for call in calls:
        for one in call.inputs:
            if not one.shape.is_scalar:
                said = f"a timer has nothing to give for {one.name}: {one.shape.hint}."
                hint = "Add --service or --route: then that is what calls it."
                raise Unfit(said, subject=call.service, hint=hint)
            inputs.setdefault(one.name, one)
    return tuple(inputs.values())


def _provider(service: str, manifest: Manifest) -> Declared:
    """Return who provides a service; raises Unfit where nobody does, or nobody can be read."""
    provided = {d.declaration.key: d for d in manifest.declared if d.declaration.kind == "service"}
    if service in provided:
        return provided[service]
    for lost in manifest.quarantined:
        if ("service", service) in lost.names:
            hint = f"Mend {lost.file} first: {lost.finding.message}."
            raise Unfit("its provider is quarantined.", subject=service, hint=hint)
    listed = ", ".join(sorted(provided)) or "none yet"
    said = "no feature provides it; expected a service of this application."
    hint = names.did_you_mean(service, provided) or f"There are: {listed}"
    raise Unfit(said, subject=service, hint=hint.rstrip())


_VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _route(text: str) -> Route:
    verb, _, path = text.strip().partition(" ")
    path = path.strip()
    if verb.upper() not in _VERBS or not path:
        said = f"it is no route; expected a method, one of {', '.join(_VERBS)}, and a path."
        raise Unfit(said, subject=repr(text), hint="As in --route 'POST /orders'.")
    pattern = parse(path)
    if not isinstance(pattern, Pattern):
        raise Unfit(f"{pattern.message}.", subject=repr(text), hint=sentence(pattern.fix))
    for name in pattern.names:
        if not names.is_parameter(name):
            said = f"{{{name}}} cannot be a parameter in Python; expected a name of your own."
            raise Unfit(said, subject=repr(text))
    return Route(verb.lower(), path, pattern.names)


def _every(text: str) -> Timer:
    interval = text.strip().replace(" ", "").removesuffix("in") if text.endswith("min") else text
    pace = schedule(Every(interval))
    if isinstance(pace, list):
        raise Unfit(f"{pace[0].message}.", subject="--every", hint=sentence(pace[0].fix))
    return Timer(interval, getattr(pace, "interval_s"), "", ())


def _check_table(table: str) -> None:
    names.word(table, "table")
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(code.table(table))
    except sqlite3.Error as error:
        said = f"it cannot be a table's name: {error}."
        hint = f"Try {table}_list, or a plural."
        raise Unfit(said, subject=repr(table), hint=hint) from None
    finally:
        connection.close()


def _refuse_second(table: str, domain: str, folder: Path, root: Path) -> None:
    """Raise Unfit where the domain has the table: the second migration of it could not be applied,
    which is found when the application starts, and not before."""
    _, made_at = owners(migrations({domain: folder}, root)[0]).get(table.lower(), ("", ""))
    if made_at:
        said = f"{domain} has that table already; expected a new name."
        hint = (
            f"It is made at {made_at}. To use it, leave --table out, and give the feature "
            "`db: Database` of ringfence.tools.db."
        )
        raise Unfit(said, subject=table, hint=hint)


def _stamp(folder: Path, now: datetime) -> str:
    """Return a migration's stamp, after those that the domain has already."""
    found = [path.name[:14] for path in folder.glob("migrations/*.sql")]
    stamp = f"{now:%Y%m%d%H%M%S}"
    while stamp in found:
        now += timedelta(seconds=1)
        stamp = f"{now:%Y%m%d%H%M%S}"
    return stamp
