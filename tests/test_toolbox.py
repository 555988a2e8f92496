"""Where tools and drivers come from, and what is said of those that are broken."""

from pathlib import Path
from textwrap import dedent

import pytest

from ringfence.errors import StartRefused
from tests.kernel.apps import feature, found, running

pytestmark = pytest.mark.anyio

INIT = """
    from ringfence.kernel.ports import ToolSpec
    from .contract import Scale

    SPEC = ToolSpec("scale", Scale, __name__, "brass")
"""
CONTRACT = """
    from typing import Protocol
    from ringfence.kernel.ports import contract, operation

    @contract("scale")
    class Scale(Protocol):
        @operation()
        async def weigh(self, sku: str) -> int: ...
"""
BRASS = """
    from msgspec import Struct

    class Config(Struct, frozen=True, forbid_unknown_fields=True):
        grams: int = 7

    class Driver:
        Config = Config

        def __init__(self, config, env):
            self.grams = config.grams

        async def start(self): ...
        async def stop(self): ...

        def handle(self, grant):
            return self

        async def weigh(self, sku):
            return self.grams
"""
TOOL = {
    "tools/scale/__init__.py": INIT,
    "tools/scale/contract.py": CONTRACT,
    "tools/scale/drivers/brass.py": BRASS,
}
WEIGH = """
    class Weigh(Plugin):
        scale: Scale

        @service("orders.weigh")
        async def weigh(self) -> int:
            return await self.scale.weigh("tea")
"""
OWN = {
    **TOOL,
    "domains/orders/weigh.py": feature("from tools.scale.contract import Scale\n" + dedent(WEIGH)),
}


def package(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    files: dict[str, str],
    points: str,
) -> None:
    """Put an installed package in the way of imports: its files, and what it announces."""
    installed = folder / f"of {name}"
    for file, text in files.items():
        path = installed / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"))
    info = installed / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(dedent(points))
    monkeypatch.syspath_prepend(installed)


def scale_package(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **changed: str
) -> dict[str, str]:
    """Install a package that brings the tool `scale`; return a feature that uses it."""
    files = {f"{name}/{file.removeprefix('tools/scale/')}": text for file, text in TOOL.items()}
    files |= {f"{name}/{file}.py": text for file, text in changed.items()}
    package(folder, monkeypatch, name, files, f"[ringfence.tools]\nscale = {name}\n")
    text = feature(f"from {name}.contract import Scale\n" + dedent(WEIGH))
    return {"domains/orders/weigh.py": text}


async def test_a_feature_finds_an_own_tool_however_it_imports_it(tmp_path: Path) -> None:
    """Also where the contract is no name of the feature's module, and no table configures it."""
    text = dedent(WEIGH).replace("scale: Scale", "scale: contract.Scale")
    files = {
        **TOOL,
        "domains/orders/weigh.py": feature("from tools.scale import contract\n" + text),
    }
    async with running(tmp_path, files) as app:
        assert app.findings == []
        assert await app.call("orders.weigh") == 7


async def test_an_own_tool_may_be_configured_before_anything_uses_it(tmp_path: Path) -> None:
    """Its folder says that it is there."""
    files = {**TOOL, "ringfence.toml": "[tools.scale]\ngrams = 8\n"}
    assert found(tmp_path, files) == []


async def test_two_applications_have_each_their_own_tool_of_one_name(tmp_path: Path) -> None:
    """What they are called is the same; contract and driver are not."""
    other = {**OWN, "tools/scale/drivers/brass.py": BRASS.replace("= 7", "= 99")}
    async with (
        running(tmp_path / "one", OWN) as one,
        running(tmp_path / "two", other) as two,
    ):
        assert await one.call("orders.weigh") == 7
        assert await two.call("orders.weigh") == 99


async def test_an_own_tool_fills_in_its_request_values(tmp_path: Path) -> None:
    """Its SPEC says which operation yields a parameter's value."""
    files = {
        **TOOL,
        "tools/scale/__init__.py": """
            from ringfence.kernel.ports import ToolSpec
            from .contract import Pan, Scale

            SPEC = ToolSpec("scale", Scale, __name__, "brass", {Pan: "pan"})
        """,
        "tools/scale/contract.py": """
            from typing import Protocol
            from ringfence.kernel.ports import contract, operation

            class Pan(Protocol):
                async def weigh(self, sku: str) -> int: ...

            @contract("scale")
            class Scale(Protocol):
                @operation(yields=Pan)
                def pan(self): ...
        """,
        "tools/scale/drivers/brass.py": dedent(BRASS)
        + dedent(
            """
            from contextlib import asynccontextmanager

            @asynccontextmanager
            async def pan(self):
                yield self

            Driver.pan = pan
            """
        ),
        "domains/orders/weigh.py": feature("""
            from tools.scale.contract import Pan, Scale

            class Weigh(Plugin):
                scale: Scale

                @service("orders.weigh")
                async def weigh(self, pan: Pan) -> int:
                    return await pan.weigh("tea")
        """),
    }
    async with running(tmp_path, files) as app:
        assert await app.call("orders.weigh") == 7


SPEC = 'SPEC = ToolSpec("scale", Scale, __name__, "brass")'
BROKEN = {
    "nothing announced": (INIT.replace(SPEC, ""), 0, "expected SPEC to be a ToolSpec, got none"),
    "another thing": (
        INIT.replace(SPEC, "SPEC = {}"),
        0,
        "expected SPEC to be a ToolSpec, got dict",
    ),
    "another name": (
        INIT.replace('"scale"', '"scales"'),
        0,
        "says name='scales'; expected 'scale'",
    ),
    "another package": (INIT.replace("__name__", '"tools.scale"'), 0, "says package='tools.scale'"),
    "an import that fails": (
        "from json import loads\nfrom json import lods\n",
        2,
        "its import has failed: ImportError",
    ),
    "a mistake of grammar": ("x = (\n", 1, "its import has failed: SyntaxError"),
    "an end of the process": ("raise SystemExit(3)\n", 1, "its import has failed: SystemExit: 3"),
}


@pytest.mark.parametrize("init, line, said", BROKEN.values(), ids=BROKEN.keys())
async def test_a_folder_that_is_no_tool_is_a_finding(
    tmp_path: Path, init: str, line: int, said: str
) -> None:
    """It says what is wrong, where; what does not use the folder serves."""
    good = feature(
        "class Good(Plugin):\n    @service('stock.good')\n    async def good(self) -> int:\n"
        "        return 1\n"
    )
    files = {**TOOL, "tools/scale/__init__.py": init, "domains/stock/good.py": good}
    (finding,) = found(tmp_path, files)
    assert (finding.file, finding.rule) == ("tools/scale/__init__.py", "RF120")
    assert finding.message.startswith("tool scale: ")
    assert said in finding.message
    assert finding.fix
    assert finding.line >= line
    async with running(tmp_path, files) as app:
        assert await app.call("stock.good") == 1
        assert finding in app.findings


@pytest.mark.parametrize("mark", ["", '@contract("scales")'])
async def test_a_contract_that_is_not_marked_as_the_tools_is_a_finding(
    tmp_path: Path, mark: str
) -> None:
    """Without its mark no field would be given the tool, and nobody would know why."""
    text = CONTRACT.replace('@contract("scale")', mark)
    (finding,) = found(tmp_path, {**TOOL, "tools/scale/contract.py": text})
    assert (finding.file, finding.rule) == ("tools/scale/__init__.py", "RF120")
    assert "expected @contract('scale')" in finding.message


@pytest.mark.parametrize("hang", ["time.sleep(60)"])
async def test_a_tool_whose_import_hangs_is_given_up(tmp_path: Path, hang: str) -> None:
    """At the deadline of every import; the rest is looked at."""
    files = {**TOOL, "tools/scale/__init__.py": f"import time\n{hang}\n"}
    files["ringfence.toml"] = "[kernel]\nimport_timeout = '200ms'\n"
    (finding,) = found(tmp_path, files)
    assert "tool scale: its import has not ended within 0.2 s" in finding.message


async def test_a_feature_that_uses_a_broken_tool_refuses_the_start(tmp_path: Path) -> None:
    """The finding is at the feature, beside the one at the tool."""
    files = {**OWN, "tools/scale/__init__.py": INIT.replace("SPEC =", "SPECS =")}
    with pytest.raises(StartRefused) as refused:
        async with running(tmp_path, files):
            pytest.fail("it started")
    assert [(f.rule, f.file) for f in refused.value.findings] == [
        ("RF121", "domains/orders/weigh.py"),
        ("RF120", "tools/scale/__init__.py"),
    ]
    assert "orders.weigh: field 'scale' is for the tool scale" in refused.value.findings[0].message
    assert refused.value.findings[0].fix == "mend tools/scale/"


async def test_an_own_tool_cannot_take_the_name_of_another(tmp_path: Path) -> None:
    """`db` stays what it is, for everybody; a feature that imports the other one is told."""
    files = {
        file.replace("scale", "db"): text.replace('"scale"', '"db"') for file, text in OWN.items()
    }
    files["domains/orders/weigh.py"] = OWN["domains/orders/weigh.py"].replace(
        "tools.scale.contract", "tools.db.contract"
    )
    taken, mixed_up = sorted(found(tmp_path, files), key=lambda f: f.rule)
    assert (taken.rule, taken.file) == ("RF120", "tools/db/__init__.py")
    assert "tool db: there is another one of that name" in taken.message
    assert (mixed_up.rule, mixed_up.file) == ("RF121", "domains/orders/weigh.py")
    assert "expected a contract of ringfence.tools.db" in mixed_up.message


DRIVERS = {
    "no drivers": ({}, "tool scale has no driver 'brass'; expected one of a module in"),
    "no class": ({"brass": "x = 1\n"}, "driver 'brass' has no class Driver in "),
    "no Config": ({"brass": "class Driver: ...\n"}, "has no Config in "),
    "a Config of another kind": ({"brass": "class Driver:\n    Config = dict\n"}, "has no Config"),
    "no hooks": (
        {"brass": dedent(BRASS).replace("async def stop(self): ...", "")},
        "driver 'brass' has no stop in ",
    ),
    "a library that is not there": (
        {"brass": "import nowhere_at_all\n"},
        "driver 'brass' needs nowhere_at_all, which is not installed",
    ),
    "a module that fails": ({"brass": "1 / 0\n"}, "has failed: ZeroDivisionError"),
    "a constructor that fails": (
        {"brass": dedent(BRASS).replace("self.grams = config.grams", "self.grams = {}['g']")},
        "its driver could not be made: KeyError: 'g'",
    ),
}


@pytest.mark.parametrize("drivers, said", DRIVERS.values(), ids=DRIVERS.keys())
async def test_a_driver_that_cannot_be_used_refuses_the_start(
    tmp_path: Path, drivers: dict[str, str], said: str
) -> None:
    """With the table of the configuration that is about it, and the next step."""
    files = {name: text for name, text in OWN.items() if "drivers" not in name}
    files |= {f"tools/scale/drivers/{name}.py": text for name, text in drivers.items()}
    files["ringfence.toml"] = "[tools.scale]\n"
    with pytest.raises(StartRefused) as refused:
        async with running(tmp_path, files):
            pytest.fail("it started")
    (finding,) = refused.value.findings
    assert (finding.file, finding.line) == ("ringfence.toml", 1)
    assert said in finding.message


async def test_a_driver_that_lacks_a_method_of_the_contract_quarantines_its_user(
    tmp_path: Path,
) -> None:
    """The error names the method; what does not use the tool serves."""
    text = dedent(BRASS).replace("async def weigh", "async def wiegh")
    async with running(tmp_path, {**OWN, "tools/scale/drivers/brass.py": text}) as app:
        (finding,) = app.findings
        assert (finding.file, finding.rule) == ("domains/orders/weigh.py", "RF102")
        assert "'Driver' object has no attribute 'weigh'" in finding.message
        assert (await app.http.get("/health/ready")).status == 200


# ---- tools of packages


async def test_a_packaged_tool_serves_where_the_configuration_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry point says where it is; its table has the options of its driver."""
    files = scale_package(tmp_path, monkeypatch, "named_scale")
    files["ringfence.toml"] = "[tools.scale]\ngrams = 5\n"
    async with running(tmp_path / "app", files) as app:
        assert await app.call("orders.weigh") == 5


def test_a_packaged_tool_that_the_configuration_does_not_name_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To install something is not to use it; a feature that asks for it is told what to write."""
    (finding,) = found(tmp_path / "app", scale_package(tmp_path, monkeypatch, "unnamed_scale"))
    assert (finding.rule, finding.file) == ("RF121", "domains/orders/weigh.py")
    assert finding.fix.startswith("write [tools.scale] into ringfence.toml")


def test_an_installed_package_is_not_even_imported_unless_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it runs."""
    sign = tmp_path / "it ran"
    init = f"open({str(sign)!r}, 'w').close()\n" + dedent(INIT)
    scale_package(tmp_path, monkeypatch, "quiet_scale", __init__=init)
    assert found(tmp_path / "app", {}) == []
    assert not sign.exists()
    assert found(tmp_path / "app", {"ringfence.toml": "[tools.scale]\n"}) == []
    assert sign.exists()


@pytest.mark.parametrize(
    "init, said",
    [
        ("1 / 0\n", "broken_scale (of broken_scale) is no tool: its import has failed: ZeroDiv"),
        ("x = 1\n", "broken_scale (of broken_scale) is no tool: it announces nothing"),
    ],
)
def test_a_broken_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, init: str, said: str
) -> None:
    """At the table that names it, with the distribution that it is of."""
    monkeypatch.delitem(__import__("sys").modules, "broken_scale", raising=False)
    scale_package(tmp_path, monkeypatch, "broken_scale", __init__=init)
    (finding,) = found(tmp_path / "app", {"ringfence.toml": "[tools.scale]\n"})
    assert (finding.file, finding.line) == ("ringfence.toml", 1)
    assert said in finding.message


def test_two_packages_with_one_tool_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is taken: which one was meant, nobody can know."""
    scale_package(tmp_path, monkeypatch, "first_scale")
    scale_package(tmp_path, monkeypatch, "second_scale")
    (finding,) = found(tmp_path / "app", {"ringfence.toml": "[tools.scale]\n"})
    assert "first_scale (of first_scale)" in finding.message
    assert "second_scale (of second_scale)" in finding.message


# ---- drivers of others

KEEPER = """
    from ringfence.tools.log.drivers.memory import Config, Driver as Memory

    class Driver(Memory):
        pass
"""
NOTE = feature(
    """
    from ringfence.tools.log import Log

    class Note(Plugin):
        log: Log

        @service("orders.note")
        async def note(self) -> None:
            self.log.info("noted")
    """
)


async def test_a_packaged_driver_serves_a_tool_of_ringfence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is announced under the tool's name and its own."""
    points = "[ringfence.drivers]\nlog.keeper = keeper_package.log\n"
    files = {"keeper_package/__init__.py": "", "keeper_package/log.py": KEEPER}
    package(tmp_path, monkeypatch, "keeper_package", files, points)
    overrides = {"tools": {"log": {"driver": "keeper"}}}
    application = {"domains/orders/note.py": NOTE}
    async with running(tmp_path / "app", application, overrides=overrides) as app:
        await app.call("orders.note")
        driver = app.driver("log")
        assert type(driver).__module__ == "keeper_package.log"
        assert [r.message for r in driver.records] == ["noted"]  # type: ignore[attr-defined]


async def test_an_application_brings_a_driver_in_its_tools_folder(tmp_path: Path) -> None:
    """In a folder of the tool's name that has no `__init__.py`."""
    files = {"domains/orders/note.py": NOTE, "tools/log/drivers/keeper.py": KEEPER}
    overrides = {"tools": {"log": {"driver": "keeper"}}}
    async with running(tmp_path, files, overrides=overrides) as app:
        await app.call("orders.note")
        assert type(app.driver("log")).__module__.endswith("tools.log.drivers.keeper")
        assert app.findings == []


def test_an_unknown_driver_is_refused_with_all_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the tool, of packages and of the application."""
    points = "[ringfence.drivers]\ndb.duck = x\nlog.keeper = x\n"
    package(tmp_path, monkeypatch, "duck_package", {}, points)
    files = {
        "tools/db/drivers/goose.py": "",
        "tools/db/drivers/_wing.py": "",
        "ringfence.toml": "[tools.db]\ndriver = 'duk'\n",
    }
    (finding,) = found(tmp_path / "app", files)
    assert finding.message.endswith(
        "tool db has no driver 'duk'; expected one of duck, goose, sqlite"
    )
    assert finding.fix == "did you mean 'duck'?"


@pytest.mark.parametrize("name", ["sqlite", "duck"])
def test_a_driver_that_is_there_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also one that would take the place of Ringfence's own."""
    package(tmp_path, monkeypatch, "duck_twice", {}, f"[ringfence.drivers]\ndb.{name} = x.y\n")
    files = {
        f"tools/db/drivers/{name}.py": "",
        "ringfence.toml": f"[tools.db]\ndriver = '{name}'\n",
    }
    (finding,) = found(tmp_path / "app", files)
    assert f"driver {name!r} is there more than once" in finding.message
    assert f", tools.db.drivers.{name}" in finding.message


def test_a_packaged_driver_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry point that leads nowhere is the package's fault, not a library that is missing."""
    package(tmp_path, monkeypatch, "gone", {}, "[ringfence.drivers]\ndb.gone = gone_away.db\n")
    toml = "[tools.db]\ndriver = 'gone'\n"
    (finding,) = found(tmp_path / "app", {"ringfence.toml": toml})
    assert "driver 'gone' cannot be imported: gone_away.db has failed: ModuleNot" in finding.message


# ---- what only decorators use

DIAL = {
    "tools/dial/__init__.py": """
        from ringfence.kernel.ports import ToolSpec
        from .contract import Dial

        SPEC = ToolSpec("dial", Dial, __name__, "plain")
    """,
    "tools/dial/contract.py": """
        from ringfence.kernel.ports import Declaration, declare

        class Dial:
            pass

        class Mark(Declaration, frozen=True):
            tool = "dial"
            kind = "mark"
            name: str

            @property
            def key(self):
                return self.name

        def mark(name):
            return declare(Mark(name))
    """,
    "tools/dial/drivers/plain.py": dedent(BRASS)
    + """
    async def open(self):
        self.read = {e.declared.declaration.name: await e.open(()) for e in self.endpoints}

    async def close(self, grace_s): ...

    def bind(self, endpoints, absent):
        self.endpoints = endpoints
""",
    "domains/orders/show.py": feature("""
        from tools.dial.contract import mark

        class Show(Plugin):
            @mark("weight")
            async def weight(self) -> int:
                return 12
    """),
}


async def test_a_tool_that_only_decorators_name_is_started_and_serves_them(tmp_path: Path) -> None:
    """Though no plugin has a field of it, and no table configures it."""
    async with running(tmp_path, DIAL) as app:
        assert app.driver("dial").read == {"weight": 12}  # type: ignore[attr-defined]


def test_a_driver_that_does_not_serve_what_is_declared_is_refused(tmp_path: Path) -> None:
    """What is declared would be served by nobody."""
    (finding,) = found(tmp_path, {**DIAL, "tools/dial/drivers/plain.py": BRASS})
    assert "driver 'plain' has no bind, open, close in " in finding.message


def test_a_decorator_of_a_tool_that_is_not_known_is_a_finding(tmp_path: Path) -> None:
    """As a field of it is."""
    init = DIAL["tools/dial/__init__.py"].replace("SPEC =", "SPECS =")
    findings = found(tmp_path, {**DIAL, "tools/dial/__init__.py": init})
    assert [f.rule for f in findings] == ["RF121", "RF120"]
    assert "orders.show: @mark on weight is for the tool dial" in findings[0].message
