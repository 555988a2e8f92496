"""A planned feature as the text of its file, and its table as a migration.

From the top: what is required of others, what comes in and goes out, the plugin. Called by
`feature.py`. Invariant: what is written passes `check`, mypy strict and ruff as it is.
"""

from collections.abc import Iterator, Sequence

from ringfence.scaffold.layout import Code, bracketed, imports, quoted
from ringfence.scaffold.names import title
from ringfence.scaffold.parts import Feature, Handler, Timer
from ringfence.scaffold.views import Call, Input

# What a feature's module and its test import by name; its own classes are called something else.
_IMPORTED = (
    "Annotated Any Database Decimal Literal Log Meta Path Plugin Protocol ROOT Raw Struct UUID "
    "boot cast delete dt every field get patch post put pytest requires service to_builtins"
)
NAMES = tuple(_IMPORTED.split())
SELECT, DELETE = "SELECT id, text FROM {} ORDER BY id LIMIT 100", "DELETE FROM {} WHERE id = $1"
INSERT, COUNT = "INSERT INTO {} (text) VALUES ($1)", "SELECT count(*) FROM {}"


def table(name: str) -> str:
    """Return the migration that creates a table."""
    return f"CREATE TABLE {name} (\n    id INTEGER PRIMARY KEY,\n    text TEXT NOT NULL\n);\n"


def module(feature: Feature) -> str:
    """Return the whole file."""
    parts = [*feature.classes, *(call.definition for call in feature.calls)]
    parts += [*_classes(feature), _plugin(feature)]
    uses = {use for part in parts for use in part.uses}
    head = f'"""{title(feature.name)}."""\n\n{imports(uses)}\n'
    after_class = False
    for part in map(str, parts):
        is_class = part.startswith(("@", "class "))
        head += f"\n\n{part}\n" if is_class or after_class else f"\n{part}\n"
        after_class = is_class
    return head


def results(feature: Feature, handler: Handler) -> list[tuple[str, Code, str, Code]]:
    """Return what the handler answers: field, type, value in its body, and an example of it."""
    found: list[tuple[str, Code, str, Code]] = []
    one = Code("1")
    if feature.table and handler.verb == "get":
        rows = Code(f"list[{feature.row}]", frozenset({(".", feature.row)}))
        example = Code(f'[{feature.row}(id=1, text="text")]', rows.uses)
        found.append(("rows", rows, local(handler, "rows"), example))
    elif feature.table and handler.verb == "delete":
        found.append(("deleted", Code("int"), local(handler, "deleted"), one))
    elif feature.table:
        found.append(("id", Code("int"), local(handler, "new_id"), one))
    for call in feature.calls:
        if call.answer is not None:
            value = local(handler, call.field)
            found.append((call.field, call.answer.hint, value, call.answer.example))
    for given in handler.echoes:
        hint = Code("str") if given.shape.hint.text.startswith("Annotated") else given.shape.hint
        found.append((given.name, hint, handler.value(given.name), given.shape.example))
    said = quoted(f"{title(feature.name)}.")
    return found or [("text", Code("str"), said, Code(said))]


def local(handler: Handler, name: str) -> str:
    """Return a variable of the handler's body that is no parameter of it."""
    return f"{name}_found" if any(one.name == name for one in handler.plain) else name


def _classes(feature: Feature) -> Iterator[Code]:
    handler = feature.handler
    if handler is None:
        return
    if handler.body:
        yield _struct(feature.request, [(i.name, i.shape.hint) for i in handler.body])
    if feature.table and handler.verb == "get":
        yield _struct(feature.row, [("id", Code("int")), ("text", Code("str"))])
    fields = [(name, hint) for name, hint, _, _ in results(feature, handler)]
    yield _struct(feature.result, fields)


def _struct(name: str, fields: Sequence[tuple[str, Code]]) -> Code:
    uses = frozenset({("msgspec", "Struct")}).union(*(hint.uses for _, hint in fields))
    lines = "".join(f"\n    {field}: {hint}" for field, hint in fields)
    return Code(f"class {name}(Struct):{lines}", uses)


def _plugin(feature: Feature) -> Code:
    fields = [f"{call.field}: {call.protocol}" for call in feature.calls]
    uses = {("ringfence", "Plugin")}
    if feature.logs:
        fields.insert(0, "log: Log")
        uses.add(("ringfence.tools.log", "Log"))
    if feature.table:
        fields.insert(0, "db: Database")
        uses.add(("ringfence.tools.db", "Database"))
    methods: list[Code] = []
    if feature.handler is not None:
        methods.append(_handler(feature, feature.handler))
    if feature.timer is not None:
        methods.append(_timer(feature, feature.timer))
    uses |= {use for method in methods for use in method.uses}
    parts = ["\n".join(f"    {field}" for field in fields)] if fields else []
    text = "\n\n".join([*parts, *map(str, methods)])
    return Code(f"class {feature.cls}(Plugin):\n{text}", frozenset(uses))


def _handler(feature: Feature, handler: Handler) -> Code:
    uses = {use for one in handler.plain for use in one.shape.hint.uses}
    lines: list[str] = []
    if handler.route is not None:
        status = ", status=201" if feature.table and handler.verb == "post" else ""
        lines.append(f"    @{handler.verb}({quoted(handler.route.path)}{status})")
        uses.add(("ringfence.tools.http", handler.verb))
    if handler.service:
        lines.append(f"    @service({quoted(handler.service)})")
        uses.add(("ringfence", "service"))
    taken = ["self", *(f"{one.name}: {one.shape.hint}" for one in handler.plain)]
    taken += [f"given: {feature.request}"] if handler.body else []
    lines.append(bracketed(f"async def {handler.method}(", taken, f") -> {feature.result}:", 4))
    for call in feature.calls:
        sent = [(i, handler.value(handler.arguments[call.service, i.name])) for i in call.inputs]
        lines.append(_called(call, sent, local(handler, call.field)))
    lines += _statement(feature, handler)
    values = [f"{name}={value}" for name, _, value, _ in results(feature, handler)]
    lines.append(bracketed(f"return {feature.result}(", values, ")", 8))
    return Code("\n".join(lines), frozenset(uses))


def _called(call: Call, sent: Sequence[tuple[Input, str]], variable: str) -> str:
    head = f"{variable} = " if call.answer is not None else ""
    items = [f"{one.name}={value}" for one, value in sent]
    return bracketed(f"{head}await self.{call.field}(", items, ")", 8)


def _statement(feature: Feature, handler: Handler) -> list[str]:
    """Return what is done with the table."""
    name = feature.table
    if not name:
        return []
    match handler.verb:
        case "get":
            items = [quoted(SELECT.format(name)), f"into={feature.row}"]
            return [
                bracketed(f"{local(handler, 'rows')} = await self.db.fetch_all(", items, ")", 8)
            ]
        case "delete":
            items = [quoted(DELETE.format(name)), handler.row]
            head = f"{local(handler, 'deleted')} = await self.db.execute("
        case _:
            sql = quoted(f"{INSERT.format(name)} RETURNING id")
            items = [sql, handler.value("text"), "into=int"]
            head = f"{local(handler, 'new_id')} = await self.db.fetch_value("
    return [bracketed(head, items, ")", 8)]


def _timer(feature: Feature, timer: Timer) -> Code:
    uses = {("ringfence.tools.clock", "every")}
    taken = ["self", *(f"{i.name}: {i.shape.hint} = {i.shape.example}" for i in timer.inputs)]
    lines = [
        f"    @every({quoted(timer.interval)})",
        bracketed(f"async def {timer.method}(", taken, ") -> None:", 4),
    ]
    said = [quoted(f"{feature.domain}.{feature.name} has run")]
    for call in feature.calls if feature.handler is None else ():
        lines.append(_called(call, [(i, i.name) for i in call.inputs], f"{call.field}_found"))
        said += [f"{call.field}={call.field}_found"] if call.answer is not None else []
    if feature.table:
        items = [quoted(COUNT.format(feature.table)), "into=int"]
        lines.append(bracketed("count = await self.db.fetch_value(", items, ")", 8))
        said.append("count=count")
    lines.append(bracketed("self.log.info(", said, ")", 8))
    return Code("\n".join(lines), frozenset(uses))
