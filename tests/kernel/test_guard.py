"""Who may import what: forbidden forms are refused, and each application finds its own modules."""

import builtins
import importlib
import sys
import types
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.errors import PluginFailed
from ringfence.kernel.guard import objection
from tests.kernel.apps import feature, found, place, running

STOCK = feature("""
    class Stock(Struct):
        available: int

    class Level(Plugin):
        @service("inventory.level")
        async def level(self) -> int:
            return 7
""")
OTHER = feature("""
    class Other(Plugin):
        @service("orders.other")
        async def other(self) -> int:
            return 7
""")
PLACE = """
class Place(Plugin):
    @service("orders.place")
    async def place(self) -> int:
        return 1
"""


def files(text: str) -> dict[str, str]:
    """Return an application whose feature orders.place begins with `text`."""
    return {
        "domains/inventory/stock.py": STOCK,
        "domains/inventory/_private.py": "SECRET = 1\n",
        "domains/orders/other.py": OTHER,
        "domains/orders/place.py": feature("") + text + "\n" + PLACE,
    }


WRITTEN = [
    "import domains.inventory.stock",
    "import domains.inventory.stock as stock",
    "import domains.inventory",
    "import json, domains.inventory.stock",
    "from domains.inventory import stock",
    "from domains.inventory.stock import Stock",
    "from domains.inventory.stock import Stock as Mine",
    "from domains.inventory.stock import *",
    "from domains.inventory._private import SECRET",
    "from domains import inventory",
    "from domains import *",
    "from ..inventory import stock",
    "from ..inventory.stock import Stock",
    "from .. import inventory",
    "def later():\n    from domains.inventory import stock",
    "class Inner:\n    import domains.inventory.stock",
    "try:\n    from domains.inventory import stock\nexcept ImportError:\n    stock = None",
    "if False:\n    import domains.inventory.stock",
    "import domains",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_an_import_of_another_domain_is_found_where_it_is_written(
    tmp_path: Path, text: str
) -> None:
    """File and line, before anything runs, and what to use instead."""
    findings = found(tmp_path, files(text))
    where = place(tmp_path, "domains/orders/place.py", "domains" if "domains" in text else "..")
    if "\n" not in text:
        where = place(tmp_path, "domains/orders/place.py", text)
    assert [(f.file, f.line) for f in findings] == [where]
    assert findings[0].rule == "RF001"
    if text != "import domains":
        assert "domain orders may not import domain" in findings[0].message
    if "inventory" in text:
        assert "domain orders may not import domain inventory" in findings[0].message
        assert "@requires on one of its services (inventory.level)" in findings[0].fix


DYNAMIC = [
    'importlib.import_module("domains.inventory.stock")',
    'import_module("domains.inventory.stock")',
    'import_module(name="domains.inventory.stock")',
    'import_module("..inventory.stock", __package__)',
    'import_module("..inventory.stock", package="domains.orders")',
    'import_module(".stock", "domains.inventory")',
    'getattr(importlib, "import_" + "module")("domains." + "inventory.stock")',
    'import_module(__name__.partition(".")[0] + ".domains.inventory.stock")',
    '__import__("domains.inventory.stock")',
    '__import__("domains.inventory", fromlist=["stock"])',
    '__import__("inventory", globals(), locals(), ["stock"], 2)',
    'builtins.__import__("domains.inventory.stock")',
    '__import__(__name__.partition(".")[0] + ".domains.inventory.stock")',
    'importlib.__import__("domains.inventory.stock")',
    '__import__("domains.inventory.stock", {"__name__": "domains.inventory.level"})',
    'list(map(import_module, ["domains.inventory.stock"]))',
]


@pytest.mark.parametrize("text", DYNAMIC)
def test_an_import_at_run_time_is_refused_where_it_is_made(tmp_path: Path, text: str) -> None:
    """The plugin does not load: file and line, and what to use instead."""
    before = "import builtins, importlib\nfrom importlib import import_module\n"
    findings = found(tmp_path, files(before + text))
    where = place(tmp_path, "domains/orders/place.py", text)
    assert [(f.file, f.line) for f in findings] == [where]
    assert findings[0].rule == "RF102"
    assert f"{where[0]}:{where[1]}: domain orders may not import domain inventory" in (
        findings[0].message
    )
    assert "@requires on one of its services (inventory.level)" in findings[0].message


@pytest.mark.parametrize("text", DYNAMIC[:4])
@pytest.mark.anyio
async def test_an_import_inside_a_handler_is_refused_when_it_is_made(
    tmp_path: Path, text: str
) -> None:
    """The guard stays while the application runs."""
    asking = feature(f"""
        import builtins, importlib
        from importlib import import_module

        class Place(Plugin):
            @service("orders.place")
            async def place(self) -> None:
                {text}
    """)
    async with running(tmp_path, {**files(""), "domains/orders/place.py": asking}) as app:
        with pytest.raises(PluginFailed) as failed:
            await app.call("orders.place")
        assert type(failed.value.__cause__).__name__ == "ForbiddenImport"
        assert "domain orders may not import domain inventory" in str(failed.value.__cause__)


def test_a_name_that_is_assigned_fools_nobody(tmp_path: Path) -> None:
    """Who imports is decided by the file of the code, not by what it calls itself."""
    text = '__name__ = "domains.inventory.level"\n__import__("domains.inventory.stock")'
    findings = found(tmp_path, files(text))
    assert [f.rule for f in findings] == ["RF102"]
    assert "domain orders may not import domain inventory" in findings[0].message


def test_a_package_that_is_made_up_fools_nobody(tmp_path: Path) -> None:
    """A relative import starts from where the file stands."""
    text = """
inventory = __package__.replace("orders", "inventory")
__import__("_private", {"__package__": inventory}, None, ["SECRET"], 1)
"""
    findings = found(tmp_path, files(text))
    assert [f.rule for f in findings] == ["RF102"]
    assert "_private" in findings[0].message


@pytest.mark.parametrize(
    "text",
    ["from . import other", "from .other import Other", "from domains.orders.other import Other"],
)
def test_a_feature_does_not_import_a_feature_of_its_own_domain(tmp_path: Path, text: str) -> None:
    """What they share belongs in a helper."""
    findings = found(tmp_path, files(text))
    assert [(f.rule, f.file) for f in findings] == [("RF001", "domains/orders/place.py")]
    assert "move what they share to domains/orders/_other.py" in findings[0].fix


def test_a_re_export_through_a_helper_is_found_in_the_helper(tmp_path: Path) -> None:
    """The domain's own helper is watched as its features are."""
    written = files("from ._help import Stock")
    written["domains/orders/_help.py"] = "from domains.inventory.stock import Stock\n"
    findings = found(tmp_path, written)
    assert [(f.rule, f.file, f.line) for f in findings if f.rule == "RF001"] == [
        ("RF001", "domains/orders/_help.py", 1)
    ]
    assert [f.file for f in findings if f.rule == "RF102"] == ["domains/orders/place.py"]


@pytest.mark.parametrize("target", ["domains.inventory.stock", "domains.orders._help", "tools.x"])
def test_lib_is_pure(tmp_path: Path, target: str) -> None:
    """Shared code imports no domain and no tool."""
    written = files("from lib.shared import thing")
    written["lib/shared.py"] = f"thing = 1\nimport {target}\n"
    written["domains/orders/_help.py"] = ""
    written["tools/x/__init__.py"] = ""
    findings = found(tmp_path, written)
    assert ("RF001", "lib/shared.py", 2) in [(f.rule, f.file, f.line) for f in findings]
    assert any("lib/ is shared and pure" in f.message for f in findings)


ALLOWED = [
    "from ._help import name",
    "from . import _help\nname = _help.name",
    "from domains.orders._help import name",
    "from domains.orders import _help\nname = _help.name",
    "import domains.orders._help as _help\nname = _help.name",
    'from importlib import import_module\nname = import_module("._help", __package__).name',
    'import importlib\nname = importlib.import_module("domains.orders._help").name',
    "from ._deep.more import name",
    "from lib.shared import name",
    "from lib import shared\nname = shared.name",
    "import lib.shared\nname = lib.shared.name",
    "import lib.shared as shared\nname = shared.name",
    "import lib.deep.more\nname = lib.deep.more.name",
]
HELP = "from lib.shared import name as other\n\ndef name():\n    return __name__\n"
HELPERS = {
    "domains/orders/_help.py": HELP,
    "domains/orders/_deep/more.py": "from .._help import name as other\n" + HELP,
    "lib/shared.py": "def name():\n    return __name__\n",
    "lib/deep/more.py": "from ..shared import name as other\n" + HELP,
}


@pytest.mark.anyio
@pytest.mark.parametrize("inside", [False, True], ids=["in the module", "in a function"])
@pytest.mark.parametrize("text", ALLOWED)
async def test_what_is_allowed_is_found_in_the_same_generation(
    tmp_path: Path, text: str, inside: bool
) -> None:
    """Helpers and lib/, in every form, at import and later: always this application's own."""
    answer = "return [name(), __name__]"
    body = f"{text}\n{answer}" if inside else answer
    asking = (
        feature("")
        + f"""
{"" if inside else text}

class Place(Plugin):
    @service("orders.place")
    def place(self) -> Any:
{indent(body, " " * 8)}
"""
    )
    written = {**HELPERS, "domains/orders/place.py": asking}
    async with running(tmp_path, written) as first, running(tmp_path, {}) as second:
        assert first.findings == second.findings == []
        seen: list[str] = []
        for app in (first, second, first):
            names = await app.call("orders.place")
            assert isinstance(names, list)
            prefixes = {name.partition(".")[0] for name in names}
            assert len(prefixes) == 1
            seen.append(prefixes.pop())
        assert seen[0] == seen[2] != seen[1]


@pytest.mark.anyio
async def test_an_application_leaves_nothing_behind(tmp_path: Path) -> None:
    """After the last one has stopped, modules and the guard are gone."""
    before = set(sys.modules)
    hooks = builtins.__import__, importlib.import_module, list(sys.meta_path)
    async with running(tmp_path, {**files(""), **HELPERS}) as app:
        assert await app.call("orders.place") == 1
        mine = {name for name in sys.modules if ".domains.orders" in name}
        assert mine - before
        async with running(tmp_path, {}) as second:
            assert await second.call("orders.place") == 1
        assert mine <= set(sys.modules)
    assert not {name for name in set(sys.modules) - before if ".domains" in name or "@" in name}
    assert hooks == (builtins.__import__, importlib.import_module, list(sys.meta_path))


@pytest.mark.anyio
async def test_two_applications_live_side_by_side(tmp_path: Path) -> None:
    """The same names in both, and each call stays in its own."""

    def app_files(word: str) -> dict[str, str]:
        return {
            "lib/words.py": f"WORD = '{word}'\n",
            "domains/orders/say.py": feature("""
                @requires("stock.word")
                class Word(Protocol):
                    async def __call__(self) -> str: ...

                class Say(Plugin):
                    word: Word

                    @service("orders.say")
                    async def say(self) -> str:
                        return await self.word()
            """),
            "domains/stock/word.py": feature("""
                class Word(Plugin):
                    @service("stock.word")
                    async def word(self) -> str:
                        from lib.words import WORD
                        return WORD
            """),
        }

    async with (
        running(tmp_path / "tea", app_files("tea")) as tea,
        running(tmp_path / "pot", app_files("pot")) as pot,
    ):
        assert [await app.call("orders.say") for app in (tea, pot, tea)] == ["tea", "pot", "tea"]
        assert {s.plugin for s in tea.spans} == {s.plugin for s in pot.spans}
        assert not {s.trace_id for s in tea.spans} & {s.trace_id for s in pot.spans}


@pytest.mark.anyio
async def test_code_outside_every_application_imports_as_ever(tmp_path: Path) -> None:
    """The guard is about files of an application alone."""
    async with running(tmp_path, files("")):
        assert importlib.import_module("json") is sys.modules["json"]
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("domains.nowhere.at_all")


@pytest.mark.anyio
async def test_what_somebody_else_has_replaced_since_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop puts back what was there before only where the guard itself still is."""
    monkeypatch.setattr(builtins, "__import__", builtins.__import__)  # undone by the test's end
    async with running(tmp_path, files("")):
        guarded = builtins.__import__

        def theirs(*args: Any, **named: Any) -> types.ModuleType:
            return guarded(*args, **named)

        builtins.__import__ = theirs
    assert builtins.__import__ is theirs
    assert __import__("json") is sys.modules["json"]


def test_a_domain_as_a_whole_may_be_asked_about() -> None:
    """The importer may be a package, which has no word of its own below the domain."""
    reason = objection("domains.orders", "domains.orders.place", {})
    assert "a feature may not import another feature" in str(reason)
    assert objection("domains.orders", "domains.orders._help", {}) is None


words = st.sampled_from(["orders", "inventory", "_help", "place"])
tops = st.sampled_from(["domains", "lib", "tools"])


def modules(least: int) -> st.SearchStrategy[str]:
    """Return names with at least so many words below `domains`, `lib` or `tools`."""
    rest = st.lists(words, min_size=least, max_size=3)
    return st.builds(lambda top, below: ".".join([top, *below]), tops, rest)


@given(modules(1), modules(1))
def test_a_domain_reaches_only_itself_lib_and_tools(importer: str, target: str) -> None:
    """Whatever the modules are called, no import crosses into another domain."""
    mine, theirs = importer.split("."), target.split(".")
    crosses = theirs[0] == "domains" and (mine[0] != "domains" or mine[1] != theirs[1])
    impure = mine[0] == "lib" and theirs[0] != "lib"
    refused = bool(objection(importer, target, {}))
    if crosses or impure:
        assert refused
    elif theirs[0] != "domains" or len(theirs) < 3 or theirs[2].startswith("_"):
        assert not refused
