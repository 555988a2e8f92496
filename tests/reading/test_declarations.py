"""What one plugin declares, and how it can be declared wrongly: RF103, RF104, RF110, RF112."""

from pathlib import Path

import pytest

from ringfence.errors import BootError
from ringfence.kernel.manifest import ServiceNeed, SettingsNeed, ToolNeed
from ringfence.kernel.ports import REQUIRED
from tests.kernel.apps import feature, found, place, running

FILE = "domains/orders/place.py"


def plugin(text: str) -> str:
    """Return a feature with one plugin whose body is `text`, and a view that it may use."""
    return (
        feature("""
        import dataclasses
        from collections.abc import Callable

        class Billing(Settings, section="billing"):
            currency: str = "EUR"

        class Order(Struct):
            sku: str

        @requires("orders.own")
        class Own(Protocol):
            async def __call__(self) -> int: ...

        """)
        + f"class Place(Plugin):\n{text}"
    )


GOOD = """\
    db: Database
    billing: Billing
    SIZE = 3

    @service("orders.place")
    async def place(self, order: Order) -> Order:
        return order

    @service("orders.count")
    def count(self, sku: str, *, least: int = 0) -> list[Order]:
        return []

    @service("orders.mine")
    async def mine(self, ctx: Context, user: Principal, tx: Transaction) -> None: ...

    async def helper(self, *anything): ...
"""


def test_a_good_plugin_has_no_findings(tmp_path: Path) -> None:
    """One example of all that may be declared."""
    assert found(tmp_path, {FILE: plugin(GOOD)}) == []


FIELDS = {
    "a scalar": ("colour: str", "field 'colour' cannot be injected"),
    "a Struct": ("order: Order", "got Order"),
    "an optional scalar": ("colour: str | None", "field 'colour' cannot be injected"),
    "a Protocol without @requires": ("driver: SomeProtocol", "got SomeProtocol"),
    "a parameter without annotation": (
        "def __init__(self, colour): ...",
        "field 'colour' cannot be injected",
    ),
    "a name that is not there": ("db: Databse", "cannot be evaluated: name 'Databse'"),
}


@pytest.mark.parametrize("text, said", FIELDS.values(), ids=FIELDS.keys())
def test_rf110_a_field_that_cannot_be_injected(tmp_path: Path, text: str, said: str) -> None:
    """Whatever a plugin asks for must be something that the kernel has."""
    head = "from __future__ import annotations\n" if "Databse" in text else ""
    protocol = "\n\nclass SomeProtocol(Protocol): ...\n"
    body = f"    {text}\n\n    @service('orders.x')\n    async def x(self) -> None: ...\n"
    source = head + plugin(body).replace("class Place", f"{protocol}\n\nclass Place")
    findings = found(tmp_path, {FILE: source})
    assert [f.rule for f in findings] == ["RF110"]
    assert said in findings[0].message
    assert findings[0].fix
    shown = text if text.startswith(("colour", "order", "driver")) else "class Place"
    assert (findings[0].file, findings[0].line) == place(tmp_path, FILE, shown)


UNANNOTATED = {
    "a contract": ("db = Database", "db", "Database"),
    "a view": ("own = Own", "own", "Own"),
    "settings": ("billing = Billing", "billing", "Billing"),
}


@pytest.mark.parametrize("text, name, cls", UNANNOTATED.values(), ids=UNANNOTATED.keys())
def test_rf117_a_field_without_an_annotation(
    tmp_path: Path, text: str, name: str, cls: str
) -> None:
    """An equals sign where a colon is meant would fill in nothing."""
    body = f"    {text}\n\n    @service('orders.x')\n    async def x(self) -> None: ...\n"
    findings = found(tmp_path, {FILE: plugin(body)})
    assert [f.rule for f in findings] == ["RF117"]
    assert f"field {name!r} has no annotation" in findings[0].message
    assert findings[0].fix == f"write `{name}: {cls}`"
    assert (findings[0].file, findings[0].line) == place(tmp_path, FILE, f"    {text}")


def test_a_settings_class_may_stand_inside_the_plugin(tmp_path: Path) -> None:
    """It is written there, and no forgotten annotation."""
    body = """\
    class Limits(Settings, section="limits"):
        most: int = 3

    limits: Limits

    @service("orders.x")
    async def x(self) -> None: ...
"""
    findings = found(tmp_path, {FILE: plugin(body)})
    assert not [f for f in findings if f.rule == "RF117"]


def test_rf110_requires_without_its_parentheses(tmp_path: Path) -> None:
    """It is told at the Protocol, which is where it is mended."""
    source = feature("""
        @requires
        class One(Protocol):
            async def __call__(self) -> int: ...

        class Place(Plugin):
            one: One
    """)
    findings = found(tmp_path, {FILE: source})
    assert [f.rule for f in findings] == ["RF110"]
    assert "@requires stands without its parentheses" in findings[0].message
    assert (findings[0].file, findings[0].line) == place(tmp_path, FILE, "class One")


METHODS = {
    "a parameter without annotation": (
        "async def x(self, sku) -> None: ...",
        "'sku' has no annotation",
    ),
    "no return annotation": ("async def x(self, sku: str): ...", "it has no return annotation"),
    "*args": ("async def x(self, *sku: str) -> None: ...", "*sku has no fixed shape"),
    "**kwargs": ("async def x(self, **sku: str) -> None: ...", "*sku has no fixed shape"),
    "a generator": ("async def x(self) -> Any:\n        yield 1", "x is a generator"),
    "a plain generator": ("def x(self) -> Any:\n        yield 1", "x is a generator"),
    "a parameter of no schema": (
        "async def x(self, sku: list[int] | set[int]) -> None: ...",
        "'sku' has a type of no schema",
    ),
    "a result of no schema": (
        "async def x(self) -> list[int] | set[int]: ...",
        "its result has a type of no schema",
    ),
    "a name that is not there": (
        "async def x(self, sku: 'Skv') -> None: ...",
        "cannot be evaluated: name 'Skv'",
    ),
    "an optional user": (
        "async def x(self, user: Principal | None = None) -> None: ...",
        "'user' is filled in by the kernel, and cannot be optional",
    ),
    "an optional transaction": (
        "async def x(self, tx: Transaction | None) -> None: ...",
        "'tx' is filled in by the kernel, and cannot be optional",
    ),
    "an annotated user": (
        "async def x(self, user: Annotated[Principal, 1]) -> None: ...",
        "'user' is filled in by the kernel",
    ),
}


@pytest.mark.parametrize("text, said", METHODS.values(), ids=METHODS.keys())
def test_rf112_a_method_that_cannot_be_called_by_its_parameters(
    tmp_path: Path, text: str, said: str
) -> None:
    """What a service takes and answers is read from its signature."""
    body = f"    db: Database\n\n    @service('orders.x')\n    {text}\n"
    findings = found(tmp_path, {FILE: plugin(body)})
    assert [f.rule for f in findings] == ["RF112"]
    assert said in findings[0].message
    assert findings[0].fix
    assert findings[0].message.startswith("orders.place.x: ")
    where = place(tmp_path, FILE, text.partition("\n")[0])
    assert (findings[0].file, findings[0].line) == where


@pytest.mark.parametrize("mark", ["staticmethod", "classmethod"])
@pytest.mark.parametrize("outside", [True, False])
def test_rf112_a_service_that_is_no_method(tmp_path: Path, mark: str, outside: bool) -> None:
    """It is told, never left out in silence."""
    marks = [f"    @{mark}\n", "    @service('orders.x')\n"]
    lines = "".join(marks if outside else reversed(marks))
    findings = found(tmp_path, {FILE: plugin(f"{lines}    async def x(sku: str) -> None: ...\n")})
    assert [f.file for f in findings] == [FILE]
    assert findings[0].rule in ("RF102", "RF112")
    assert "method" in findings[0].message


VIEWS = {
    "no call": ("sku: str", "has no async method __call__"),
    "a call that is not async": (
        "def __call__(self) -> int: ...",
        "has no async method __call__",
    ),
    "no annotation": ("async def __call__(self, sku) -> int: ...", "'sku' has no annotation"),
    "no return annotation": ("async def __call__(self): ...", "it has no return annotation"),
    "a request value": (
        "async def __call__(self, user: Principal) -> int: ...",
        "sends 'user', which the kernel fills in",
    ),
}


@pytest.mark.parametrize("text, said", VIEWS.values(), ids=VIEWS.keys())
def test_rf112_a_view_that_is_no_view(tmp_path: Path, text: str, said: str) -> None:
    """A Protocol under @requires is one async call; the finding stands at the Protocol."""
    source = feature(f"""
        @requires("orders.one")
        class One(Protocol):
            {text}

        class Place(Plugin):
            one: One

            @service("orders.place")
            async def place(self) -> None: ...
    """)
    one = feature("""
        class One(Plugin):
            @service("orders.one")
            async def one(self) -> int:
                return 1
    """)
    findings = found(tmp_path, {FILE: source, "domains/orders/one.py": one})
    assert [f.rule for f in findings] == ["RF112"]
    assert said in findings[0].message
    assert findings[0].fix
    assert (findings[0].file, findings[0].line) == place(tmp_path, FILE, "class One")


def test_all_that_is_wrong_with_a_class_is_told_at_once(tmp_path: Path) -> None:
    """Each at its own line."""
    body = """\
    colour: str
    size: int

    @service("orders.a")
    async def a(self, sku, *more) -> None: ...

    @service("orders.b")
    async def b(self): ...
"""
    findings = found(tmp_path, {FILE: plugin(body)})
    lines = [place(tmp_path, FILE, t)[1] for t in ("colour", "size", "def a", "def a", "def b")]
    assert [(f.rule, f.line) for f in findings] == [
        (rule, line)
        for rule, line in zip(["RF110", "RF110", "RF112", "RF112", "RF112"], lines, strict=True)
    ]


def test_rf103_a_public_module_without_a_plugin(tmp_path: Path) -> None:
    """The fix says how to keep a helper."""
    findings = found(tmp_path, {FILE: "def helper(): ...\n"})
    assert [(f.rule, f.file, f.line) for f in findings] == [("RF103", FILE, 1)]
    assert "start with `_`" in findings[0].fix


def test_rf103_a_plugin_that_is_only_imported_is_another_modules(tmp_path: Path) -> None:
    """What counts is what the file declares."""
    files = {
        FILE: "from ._shared import Shared\n",
        "domains/orders/_shared.py": feature("class Shared(Plugin): ...\n"),
    }
    assert [f.rule for f in found(tmp_path, files)] == ["RF103"]


def test_rf104_two_plugins_in_one_file(tmp_path: Path) -> None:
    """The second one is where the finding stands."""
    source = plugin(GOOD) + "\n\nclass Second(Plugin): ...\n"
    findings = found(tmp_path, {FILE: source})
    assert [f.rule for f in findings] == ["RF104"]
    assert (findings[0].file, findings[0].line) == place(tmp_path, FILE, "class Second")
    assert "Place, Second" in findings[0].message


def test_a_plugin_may_build_on_a_class_of_its_domain(tmp_path: Path) -> None:
    """Fields and decorated methods of a base in a helper are the plugin's own."""
    files = {
        FILE: feature("""
            from ._shared import Shared

            class Place(Shared):
                clock: Clock
        """),
        "domains/orders/_shared.py": feature("""
            class Shared(Plugin):
                db: Database

                @service("orders.one")
                async def one(self) -> int:
                    return await self.db.fetch_value("SELECT 1", into=int)
        """),
    }
    assert found(tmp_path, files) == []


@pytest.mark.anyio
async def test_the_manifest_says_what_a_plugin_needs_and_offers(tmp_path: Path) -> None:
    """Fields by kind, methods with their parameters, request values left out."""
    async with running(tmp_path, {FILE: plugin(GOOD)}) as app:
        facts = app.manifest.plugins[0]
    assert facts.id == "orders.place"
    assert facts.domain == "orders"
    assert facts.file == FILE
    assert [type(need) for need in facts.needs] == [ToolNeed, SettingsNeed]
    assert [need.field for need in facts.needs] == ["db", "billing"]
    offers = {offer.method: offer for offer in facts.offers}
    assert set(offers) == {"place", "count", "mine"}
    assert [(p.name, p.default) for p in offers["count"].signature.parameters] == [
        ("sku", REQUIRED),
        ("least", 0),
    ]
    assert [value.parameter for value in offers["mine"].request_values] == ["ctx", "user", "tx"]
    assert offers["mine"].signature.parameters == ()
    assert (offers["place"].is_async, offers["count"].is_async) == (True, False)
    assert [d.line for d in offers["place"].declared] == [
        place(tmp_path, FILE, "async def place")[1]
    ]


@pytest.mark.anyio
async def test_one_method_may_be_declared_twice(tmp_path: Path) -> None:
    """Both names reach it."""
    text = feature("""
        class Place(Plugin):
            @service("orders.place")
            @service("orders.put")
            async def place(self) -> int:
                return 1
    """)
    async with running(tmp_path, {FILE: text}) as app:
        assert await app.call("orders.place") == await app.call("orders.put") == 1
        names = [d.declaration.key for d in app.manifest.declared]
        assert names == ["orders.place", "orders.put"]


@pytest.mark.anyio
async def test_a_written_constructor_is_as_good_as_fields(tmp_path: Path) -> None:
    """Its annotated parameters are what is injected."""
    text = feature("""
        class Billing(Settings, section="billing"):
            currency: str = "EUR"

        @requires("stock.level")
        class LevelOf(Protocol):
            async def __call__(self) -> int: ...

        class Place(Plugin):
            def __init__(self, level: LevelOf, *, db: Database, billing: Billing) -> None:
                self.answer = [billing.currency, db is not None]
                self.level = level

            @service("orders.place")
            async def place(self) -> Any:
                return [*self.answer, await self.level()]
    """)
    level = feature("""
        class Level(Plugin):
            @service("stock.level")
            async def level(self) -> int:
                return 7
    """)
    files = {FILE: text, "domains/stock/level.py": level}
    overrides = {"settings": {"billing": {"currency": "CHF"}}}
    async with running(tmp_path, files, overrides=overrides) as app:
        assert await app.call("orders.place") == ["CHF", True, 7]
        needs = app.manifest.plugins[0].needs
        assert [type(need) for need in needs] == [ServiceNeed, ToolNeed, SettingsNeed]


@pytest.mark.anyio
async def test_settings_that_do_not_fit_refuse_the_start(tmp_path: Path) -> None:
    """Every key that is wrong is told."""
    overrides = {"settings": {"billing": {"currency": 7}}}
    with pytest.raises(BootError) as refused:
        async with running(tmp_path, {FILE: plugin(GOOD)}, overrides=overrides):
            pass
    assert "currency" in str(refused.value)
