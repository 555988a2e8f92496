"""The configuration: the only reader of the environment and of `ringfence.toml`.

`load` gives a `Config`, checked as far as it can be without knowing tools and features; `section`
and `tool_options` check the rest, once their types are known. All of it raises StartRefused with
every finding, never another error, and no message shows a value of the environment. Called by
`app.py`, `testing` and `cli`.
"""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ringfence.document import OVERRIDES, Places, Raw, fill, keys, lay, read
from ringfence.errors import Finding, StartRefused
from ringfence.kernel.context import Budget
from ringfence.redaction import Redactor
from ringfence.settings import Seconds as Seconds
from ringfence.settings import Secret as Secret
from ringfence.settings import Settings as Settings
from ringfence.settings import hide as hide
from ringfence.tables import Key, Place, Reading, Source

S = TypeVar("S", bound=Settings)
O = TypeVar("O", bound=Struct)  # noqa: E741

FILE = "ringfence.toml"

_SECTIONS = ("app", "tools", "budgets", "settings", "kernel", "events")
_APP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_ENV_NAME = re.compile(r"[A-Za-z0-9_-]{1,62}")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")


class KernelLimits(Struct, frozen=True, kw_only=True):
    """The `[kernel]` section: what the kernel allows itself and each plugin.

    Args:
        import_timeout: Seconds until a module's import is written off.
        start_timeout: Seconds for each constructor and each `start`.
        stop_timeout: Seconds for each `stop`.
        drain_timeout: Seconds that work in progress gets when the application stops.
        threads: Workers in the pool for `def` handlers; by default four more than there are
            processors, at most 32.
        plugin_threads: Workers that one plugin may hold at a time; 0 is half of `threads`.
        plugin_concurrency: Calls in progress within one plugin.
        spans: Contexts kept for `ringfence trace`.
        call_path: `plain` takes the readable, slower path; for finding a fault in the fused one.
    """

    import_timeout: Seconds = Seconds(10)
    start_timeout: Seconds = Seconds(10)
    stop_timeout: Seconds = Seconds(5)
    drain_timeout: Seconds = Seconds(10)
    threads: Annotated[int, Meta(ge=1, le=4096)] = msgspec.field(default_factory=lambda: _workers())
    plugin_threads: Annotated[int, Meta(ge=0, le=4096)] = 0
    plugin_concurrency: Annotated[int, Meta(ge=1)] = 1000
    spans: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    call_path: Literal["fused", "plain"] = "fused"

    def __post_init__(self) -> None:
        if self.plugin_threads == 0:
            msgspec.structs.force_setattr(self, "plugin_threads", max(1, self.threads // 2))


class EventLimits(Struct, frozen=True, kw_only=True):
    """The `[events]` section.

    Args:
        keep: How long events are kept once they are delivered to all; dead letters stay.
    """

    keep: Seconds = Seconds(7 * 86_400)


class ToolTable(Struct, frozen=True):
    """One `[tools.<instance>]`: what it is, and its options, not yet checked.

    `driver` is None where the configuration leaves it to the tool.
    """

    instance: str
    tool: str
    driver: str | None
    options: Mapping[str, object]
    source: Source

    def __repr__(self) -> str:
        # Options may hold passwords, and a repr ends up in logs.
        return f"ToolTable({self.instance}: {self.tool}, driver={self.driver})"


class Config(Struct, frozen=True):
    """What an application is configured with.

    `settings` are raw tables, read through `section`; `tools` lists the configured instances only,
    `tool` answers for any.
    """

    name: str
    root: Path
    env: str
    tools: Mapping[str, ToolTable]
    budgets: Mapping[str, Budget]
    settings: Mapping[str, Mapping[str, object]]
    kernel: KernelLimits
    events: EventLimits
    source: Source

    def tool(self, instance: str) -> ToolTable:
        """Return the instance's table; an empty one of the tool of that name by default."""
        found = self.tools.get(instance)
        return found or ToolTable(instance, instance, None, {}, self.source)

    def budget(self, kind: str) -> Budget:
        """Return what a root context of that kind may spend (`http`, `control`, …)."""
        return self.budgets.get(kind, self.budgets["default"])

    @property
    def redactor(self) -> Redactor:
        """What keeps the secrets of this configuration out of what an application says."""
        return self.source.redactor

    def __repr__(self) -> str:
        return f"Config({self.name}, root={str(self.root)!r})"


class _App(Struct, frozen=True):
    name: str | None = None


class Spend(Struct, frozen=True):
    """One `[budgets.<kind>]` as it is written.

    Args:
        calls: Calls of services.
        queries: Operations of tools that a budget counts, such as statements.
        events: Events published.
        depth: How deep calls may nest.
        wall: Seconds until the whole is cancelled: the deadline of its root.
    """

    calls: Annotated[int, Meta(ge=0)] = 1000
    queries: Annotated[int, Meta(ge=0)] = 200
    events: Annotated[int, Meta(ge=0)] = 200
    depth: Annotated[int, Meta(ge=0)] = 32
    wall: Seconds = Seconds(30)


def load(
    root: Path, *, env: str | None = None, overrides: Mapping[str, object] | None = None
) -> Config:
    """Read an application's configuration.

    Args:
        root: The application's folder; without a `ringfence.toml` in it, the defaults hold.
        env: Which `ringfence.<env>.toml` to lay over it; by default `RINGFENCE_ENV`, or none.
        overrides: Tables that are merged last, over all files, and not substituted.

    Raises:
        StartRefused: Anything in it is wrong; carries every finding.
    """
    root = root.resolve()
    env = environment("RINGFENCE_ENV") or "" if env is None else env
    places: Places = {}
    reading = Reading(Source(root, FILE, places))
    document: Raw = {}
    for file in _files(env, reading):
        lay(document, read(root / file, reading, places))
    # A file that cannot be read leaves nothing to say of the keys in it.
    reading.finish(root.name)
    lay(document, overrides or {})
    places.update(dict.fromkeys(keys(overrides or {}), Place(OVERRIDES)))
    document = {
        key: fill(value, (key,), reading, places, environment) for key, value in document.items()
    }
    for section in document.values():  # not by the names of sections: `[settings.auth]`
        tables = section.values() if isinstance(section, Mapping) else ()
        for table in tables:
            reading.source.redactor.learn(table)
    return _config(document, env, reading)


def section(config: Config, settings: type[S], also: Collection[str] = ()) -> S:
    """Return `[settings.<section>]` as the `Settings` class that a feature declares.

    Args:
        also: Keys of the section that other classes read.

    Raises:
        StartRefused: The section does not fit the class; carries every finding.
    """
    reading = Reading(config.source)
    name = settings.__section__
    result = reading.struct(config.settings.get(name, {}), settings, ("settings", name), also)
    reading.finish(config.name)
    assert result is not None
    return result


def unread(config: Config, sections: Collection[str], budgets: Collection[str]) -> list[Finding]:
    """List the sections of settings and the kinds of budget that nothing reads.

    Args:
        sections: Those that some feature's `Settings` reads.
        budgets: The kinds that there are.
    """
    reading = Reading(config.source)
    for name in sorted(config.settings.keys() - set(sections)):
        reading.unknown(("settings", name), sections)
    for name in sorted(config.budgets.keys() - set(budgets)):
        reading.unknown(("budgets", name), budgets)
    return reading.findings


def refused(config: Config, instance: str, message: str, fix: str = "") -> StartRefused:
    """Return the refusal of a tool's table that only the tools themselves can judge."""
    reading = Reading(config.source)
    written = config.tools.get(instance)
    key = "driver" if written is not None and written.driver is not None else ""
    reading.refuse(
        "unknown-tool", ("tools", instance, key) if key else ("tools", instance), message, fix
    )
    return StartRefused(f"{config.name}: 1 fault in its configuration.", findings=reading.findings)


def tool_options(table: ToolTable, options: type[O]) -> O:
    """Return a tool's options as the `Config` of its driver.

    Raises:
        StartRefused: The table does not fit the class; carries every finding.
    """
    reading = Reading(table.source)
    result = reading.struct(table.options, options, ("tools", table.instance))
    reading.finish(f"tools.{table.instance}")
    assert result is not None
    return result


def environment(name: str) -> str | None:
    """Return an environment variable; nothing else in Ringfence reads one."""
    return os.environ.get(name)


def wants_colour(stream: IO[str]) -> bool:
    """Whether a terminal is at the other end, and nobody asked for it to stay plain."""
    if environment("NO_COLOR") or environment("TERM") == "dumb":
        return False
    return stream.isatty()


def _files(env: str, reading: Reading) -> list[str]:
    if not env:
        return [FILE]
    if not _ENV_NAME.fullmatch(env):
        message = f"RINGFENCE_ENV: bad name; expected {_ENV_NAME.pattern}, got something else"
        reading.refuse("bad-name", (), message)
        return [FILE]
    root = reading.source.root
    others = [path.name[10:-5] for path in root.glob("ringfence.*.toml")]
    if others and env not in others:  # where there are overlays, it is a typing error
        message = f"RINGFENCE_ENV: no ringfence.{env}.toml; expected one of "
        close = difflib.get_close_matches(env, others, n=1)
        fix = f"did you mean `{close[0]}`?" if close else f"write ringfence.{env}.toml"
        reading.refuse("unknown-environment", (), message + ", ".join(sorted(others)), fix)
    return [FILE, f"ringfence.{env}.toml"]


def _config(document: Raw, env: str, reading: Reading) -> Config:
    source = reading.source
    for key in sorted(document.keys() - set(_SECTIONS)):
        reading.unknown((key,), _SECTIONS)
    app = reading.struct(reading.table(document.get("app"), ("app",)), _App, ("app",))
    written = app.name if app else None
    name = _default_name(source.root) if written is None else written
    if not _APP_NAME.fullmatch(name):
        message = f"bad name; expected {_APP_NAME.pattern}, got {name!r:.80}"
        reading.refuse("bad-name", ("app", "name"), message)
    kernel = reading.struct(
        reading.table(document.get("kernel"), ("kernel",)), KernelLimits, ("kernel",)
    )
    events = reading.struct(
        reading.table(document.get("events"), ("events",)), EventLimits, ("events",)
    )
    tools = _tools(reading.table(document.get("tools"), ("tools",)), reading)
    budgets = _budgets(reading.table(document.get("budgets"), ("budgets",)), reading)
    sections = reading.table(document.get("settings"), ("settings",))
    settings = {key: reading.table(value, ("settings", key)) for key, value in sections.items()}
    reading.finish(name)
    assert kernel is not None
    assert events is not None
    return Config(name, source.root, env, tools, budgets, settings, kernel, events, source)


def _tools(tables: Raw, reading: Reading) -> dict[str, ToolTable]:
    tools: dict[str, ToolTable] = {}
    for instance, value in tables.items():
        key = ("tools", instance)
        options = reading.table(value, key)
        tool = _identifier(options.pop("tool", instance), (*key, "tool"), reading)
        driver = options.pop("driver", None)
        if driver is not None:
            driver = _identifier(driver, (*key, "driver"), reading)
        _identifier(instance, key, reading)
        tools[instance] = ToolTable(instance, tool, driver, options, reading.source)
    return tools


def _identifier(value: object, key: Key, reading: Reading) -> str:
    """Check a name that becomes a field's or a module's."""
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value):
        return value
    got = type(value).__name__ if reading.source.is_private(key) else f"{value!r:.80}"
    reading.refuse("bad-name", key, f"bad name; expected {_IDENTIFIER.pattern}, got {got}")
    return ""


def _budgets(tables: Raw, reading: Reading) -> dict[str, Budget]:
    default = reading.table(tables.get("default"), ("budgets", "default"))
    budgets: dict[str, Budget] = {}
    for kind in {"default": None, **tables}:
        key = ("budgets", kind)
        own = reading.table(tables.get(kind), key) if kind != "default" else {}
        # A fault of `default` is told once, at `default`.
        below = default if kind == "default" or not reading.findings else {}
        spend = reading.struct({**below, **own}, Spend, key)
        if spend is not None:
            budgets[kind] = Budget(
                spend.calls, spend.queries, spend.events, spend.depth, float(spend.wall)
            )
    return budgets


def _default_name(root: Path) -> str:
    name = re.sub(r"[^a-z0-9_-]+", "-", root.name.lower()).strip("-_0123456789")[:63]
    return name if _APP_NAME.fullmatch(name) else "app"


def _workers() -> int:
    return min(32, (os.cpu_count() or 1) + 4)
