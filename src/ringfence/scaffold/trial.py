"""The test of a planned feature: of its plugin with fakes where it calls others, else of the whole.

A feature that calls no other is asked as its users ask it, in the booted application. One that does
is made with a fake for each service, and with the tools of the booted application. Called by
`feature.py`.
"""

from collections.abc import Sequence
from functools import partial

from ringfence.scaffold.code import COUNT, INSERT, results
from ringfence.scaffold.layout import WIDTH, Code, after, framed, imports, laid, quoted
from ringfence.scaffold.layout import bracketed as bracketed_within
from ringfence.scaffold.names import title
from ringfence.scaffold.parts import Feature, Handler, Timer
from ringfence.scaffold.views import Call, Input

_WIDTH = WIDTH - 4  # of the body of a function
bracketed = partial(bracketed_within, width=_WIDTH)
_BOOT = {("pathlib", "Path"), ("ringfence.testing", "boot")}
_STORED = {("typing", "cast"), ("ringfence.tools.db", "Database")}


def module(feature: Feature) -> str:
    """Return the whole file."""
    tests: list[Code] = []
    handler, timer = feature.handler, feature.timer
    if handler is not None:
        tests.append(_faked(feature, handler) if feature.calls else _asked(feature, handler))
    if timer is not None:
        faked = feature.calls and handler is None
        tests.append(_called_by_hand(feature, timer) if faked else _run(feature, timer))
    uses = {use for test in tests for use in test.uses} | {("pytest", "")}
    own = f"domains.{feature.domain}.{feature.name}"
    root = "\nROOT = Path(__file__).parents[2]\n" if ("pathlib", "Path") in uses else ""
    head = f'"""{title(feature.name)}: what it does for whoever uses it."""\n\n'
    return head + f"{imports(uses, own)}\n{root}" + "".join(f"\n\n{test}\n" for test in tests)


def _test(name: str, said: str, lines: Sequence[str]) -> str:
    body = "\n".join(f"    {line}" if line else "" for text in lines for line in text.split("\n"))
    return f'@pytest.mark.anyio\nasync def test_{name}() -> None:\n    """{said}"""\n{body}'


def _asked(feature: Feature, handler: Handler) -> Code:
    """Ask the running application, as its users do."""
    uses = set(_BOOT)
    lines = ["async with boot(ROOT) as app:"]
    if feature.table:
        uses |= _STORED
        lines.append('    db = cast(Database, app.tool("db"))')
        if handler.verb in ("get", "delete"):
            lines.append(f'    await db.execute({quoted(INSERT.format(feature.table))}, "text")')
    if handler.route is not None:
        lines += _request(feature, handler)
        said = "A client gets an answer."
    else:
        uses.add(("msgspec", "to_builtins"))
        items = [quoted(handler.service)]
        items += [f"{one.name}={one.shape.example}" for one in (*handler.plain, *handler.body)]
        lines.append(bracketed("answer = await app.call(", items, ")", 4))
        lines.append(f"    assert to_builtins(answer) == {_plain(feature, handler)}")
        said = "Whoever calls the service gets an answer."
    if feature.table:
        left = 0 if handler.verb == "delete" else 1
        items = [quoted(COUNT.format(feature.table)), "into=int"]
        head = "assert await db.fetch_value("
        lines.append(bracketed(head, items, f") == {left}", 4))
        said = "What was asked for is in the database afterwards."
    return Code(_test(f"{feature.name}_answers", said, lines), frozenset(uses))


def _request(feature: Feature, handler: Handler) -> list[str]:
    route = handler.route
    assert route is not None
    path = route.path
    examples = {one.name: str(one.shape.example).strip('"') for one in handler.plain}
    for name in route.names:
        path = path.replace(f"{{{name}}}", examples.pop(name))
    query = "&".join(f"{name}={value}" for name, value in examples.items())
    items = [quoted(f"{path}?{query}" if query else path)]
    if handler.body:
        sent = ", ".join(f"{quoted(i.name)}: {i.shape.example}" for i in handler.body)
        items.append(f"json={{{sent}}}")
    status = 201 if feature.table and handler.verb == "post" else 200
    return [
        bracketed(f"answer = await app.http.{handler.verb}(", items, ")", 4),
        f"    assert answer.status == {status}",
        f"    assert answer.json(into=dict[str, object]) == {_plain(feature, handler)}",
    ]


def _plain(feature: Feature, handler: Handler) -> str:
    """Return what the handler answers as plain data."""
    if feature.table and handler.verb == "get":
        return '{"rows": [{"id": 1, "text": "text"}]}'
    parts = [f"{quoted(name)}: {example}" for name, _, _, example in results(feature, handler)]
    return f"{{{', '.join(parts)}}}"


def _faked(feature: Feature, handler: Handler) -> Code:
    """Call the plugin's method with fakes in the place of other features."""
    given = {one.name: one for one in (*handler.plain, *handler.body)}
    found = results(feature, handler)
    uses = {(".", feature.cls), (".", feature.result)}
    uses |= {use for one in given.values() for use in one.shape.example.uses}
    uses |= {use for _, _, _, example in found for use in example.uses}
    items = [after(f"{one.name}=", one.shape.example) for one in handler.plain]
    if handler.body:
        uses.add((".", feature.request))
        fields = [after(f"{one.name}=", one.shape.example) for one in handler.body]
        items.append(after("given=", framed(f"{feature.request}(", fields, ")")))
    sent = [
        [given[handler.arguments[call.service, one.name]] for one in call.inputs]
        for call in feature.calls
    ]
    expected = [after(f"{name}=", example) for name, _, _, example in found]
    indent = 4 if feature.table or feature.logs else 0
    asked = [bracketed(f"result = await feature.{handler.method}(", items, ")", indent)]
    answered = [bracketed(f"assert result == {feature.result}(", expected, ")", 0)]
    if feature.table and handler.verb in ("get", "delete"):
        asked.insert(0, f'    await db.execute({quoted(INSERT.format(feature.table))}, "text")')
    said = "It asks the others for what it needs, and answers with what they said."
    return _with_fakes(
        feature, f"{feature.name}_asks_the_others", said, asked, answered, sent, uses
    )


def _called_by_hand(feature: Feature, timer: Timer) -> Code:
    asked = [f"    await feature.{timer.method}()"]
    sent = [list(call.inputs) for call in feature.calls]
    uses = {(".", feature.cls)}
    said = "It asks the others, with what it has for them."
    return _with_fakes(feature, f"{feature.name}_asks_the_others", said, asked, [], sent, uses)


def _with_fakes(
    feature: Feature,
    name: str,
    said: str,
    asking: Sequence[str],
    answered: Sequence[str],
    sent: Sequence[Sequence[Input]],
    uses: set[tuple[str, str]],
) -> Code:
    lines = ["asked: list[object] = []", ""]
    for call in feature.calls:
        lines += [_fake(call), ""]
        uses |= {use for one in call.inputs for use in one.shape.hint.uses}
        if call.answer is not None:
            uses |= call.answer.hint.uses | call.answer.example.uses
    tools: list[str] = []
    if feature.table:
        tools.append("db=db")
        uses |= _STORED
    if feature.logs:
        tools.append('log=cast(Log, app.tool("log"))')
        uses |= {("typing", "cast"), ("ringfence.tools.log", "Log")}
    if tools:
        uses |= _BOOT
        lines.append("async with boot(ROOT) as app:")
        lines += ['    db = cast(Database, app.tool("db"))'] if feature.table else []
    items = [*tools, *(f"{call.field}={call.field}" for call in feature.calls)]
    lines.append(bracketed(f"feature = {feature.cls}(", items, ")", 4 if tools else 0))
    lines += [*asking, *answered]
    calls = [_asked_for(call, inputs) for call, inputs in zip(feature.calls, sent, strict=True)]
    uses |= {use for inputs in sent for one in inputs for use in one.shape.example.uses}
    lines.append(bracketed("assert asked == [", calls, "]", 0))
    return Code(_test(name, said, lines), frozenset(uses))


def _fake(call: Call) -> str:
    names = "".join(f", {one.name}" for one in call.inputs)
    lines = [
        call.signature(call.field, "", (), 0, _WIDTH),
        f"    asked.append(({quoted(call.service)}{names or ','}))",
    ]
    if call.answer is not None:
        lines.append(laid(after("return ", call.answer.example), "", 4, _WIDTH))
    return "\n".join(lines)


def _asked_for(call: Call, inputs: Sequence[Input]) -> Code:
    values = [Code(quoted(call.service)), *(one.shape.example for one in inputs)]
    return framed("(", values, ")" if inputs else ",)")


def _run(feature: Feature, timer: Timer) -> Code:
    """Let time pass."""
    operation = quoted(f"{feature.domain}.{feature.name}.{timer.method}")
    lines = [
        "async with boot(ROOT) as app:",
        f"    await app.clock.elapse({timer.seconds:g})",
        f"    ran = [span for span in app.spans if span.operation == {operation}]",
        "    assert [span.failure for span in ran] == [None]",
    ]
    name = f"{feature.name}_runs_by_itself"
    return Code(_test(name, "It runs when it is due.", lines), frozenset(_BOOT))
