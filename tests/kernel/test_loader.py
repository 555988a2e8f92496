"""Finding an application's files, reading them and importing them; what is wrong with one file."""

from pathlib import Path

import pytest

from ringfence.errors import BootError, Finding, StartRefused
from ringfence.testing import boot
from tests.kernel.apps import feature, found, place, running, write

pytestmark = pytest.mark.anyio

GOOD = feature("""
    class Place(Plugin):
        @service("orders.place")
        async def place(self) -> int:
            return 1
""")
FILE = "domains/orders/place.py"


def rules(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.rule, finding.file) for finding in findings]


def test_a_good_application_has_no_findings(tmp_path: Path) -> None:
    """Helpers, migrations, tests and folders of other things are not features."""
    files = {
        FILE: GOOD,
        "domains/orders/_help.py": "x = 1\n",
        "domains/orders/_more/deep.py": "x = 1\n",
        "domains/orders/__init__.py": "",
        "domains/orders/migrations/20260101000000_first.sql": "CREATE TABLE o (id INTEGER);",
        "domains/orders/tests/test_place.py": "assert False\n",
        "domains/orders/README.md": "words",
        "domains/orders/pages/index.html": "words",
        "domains/_drafts/broken.py": "def broken(:\n",
        "domains/notes.txt": "words",
        "lib/words.py": "x = 1\n",
    }
    assert found(tmp_path, files) == []


@pytest.mark.parametrize(
    "file, said",
    [
        ("domains/Orders/place.py", "'Orders' cannot be a name"),
        ("domains/orders/PlaceOrder.py", "'PlaceOrder' cannot be a name"),
        ("domains/orders/place-order.py", "'place-order' cannot be a name"),
        ("domains/orders/2place.py", "'2place' cannot be a name"),
        ("domains/orders/class.py", "'class' cannot be a name"),
        ("domains/orders/place order.py", "'place order' cannot be a name"),
        ("domains/orders/commandes_passées.py", "'commandes_passées' cannot be a name"),
        ("domains/import/place.py", "'import' cannot be a name"),
    ],
)
def test_rf101_a_name_that_is_no_word(tmp_path: Path, file: str, said: str) -> None:
    """Files and folders of features are words that Python can import."""
    findings = found(tmp_path, {file: GOOD})
    assert [f.rule for f in findings] == ["RF101"]
    assert findings[0].file in file
    assert said in findings[0].message
    assert findings[0].fix == "rename it"


def test_rf101_a_folder_of_features_inside_a_domain(tmp_path: Path) -> None:
    """A domain is flat; the fix says how to keep helpers."""
    findings = found(tmp_path, {FILE: GOOD, "domains/orders/more/other.py": GOOD})
    assert rules(findings) == [("RF101", "domains/orders/more")]


def test_rf101_an_init_with_content(tmp_path: Path) -> None:
    """It would never be run, so it is told."""
    findings = found(tmp_path, {FILE: GOOD, "domains/orders/__init__.py": "x = 1\n"})
    assert rules(findings) == [("RF101", "domains/orders/__init__.py")]
    assert "never run" in findings[0].message


def test_rf101_a_link_that_leads_out_of_the_application(tmp_path: Path) -> None:
    """Neither a file nor a folder may come from elsewhere."""
    outside = write(tmp_path / "outside", {"domains/stock/level.py": GOOD, "place.py": GOOD})
    root = write(tmp_path / "app", {FILE: GOOD})
    (root / "domains/stock").symlink_to(outside / "domains/stock")
    (root / "domains/orders/linked.py").symlink_to(outside / "place.py")
    findings = found(root, {})
    assert rules(findings) == [
        ("RF101", "domains/orders/linked.py"),
        ("RF101", "domains/stock"),
    ]
    assert all("leads out of the application" in f.message for f in findings)


def test_rf101_a_link_inside_the_application_is_a_file_like_any_other(tmp_path: Path) -> None:
    """What it leads to counts."""
    root = write(tmp_path, {FILE: GOOD, "domains/orders/_help.py": "x = 1\n"})
    (root / "domains/orders/_alias.py").symlink_to(root / "domains/orders/_help.py")
    assert found(root, {}) == []


def test_a_link_to_nothing_is_a_finding(tmp_path: Path) -> None:
    """It stops nobody else."""
    root = write(tmp_path, {FILE: GOOD})
    (root / "domains/orders/gone.py").symlink_to(root / "domains/orders/nowhere.py")
    (root / "domains/orders/_gone.py").symlink_to(root / "domains/orders/nowhere.py")
    (root / "domains/orders/__init__.py").symlink_to(root / "domains/orders/nowhere.py")
    findings = found(root, {})
    assert ("RF102", "domains/orders/gone.py") in rules(findings)


FAILING = {
    "a file that cannot be parsed": ("def broken(:", "cannot be parsed: SyntaxError"),
    "an exception": ("raise LookupError('no shelf')", "failed: LookupError: no shelf"),
    "an exception without a text": ("raise LookupError", "failed: LookupError"),
    "an exit": ("raise SystemExit(3)", "failed: SystemExit: 3"),
    "an import that is not there": ("import nowhere_at_all", "ModuleNotFoundError"),
    "an interrupt": ("raise KeyboardInterrupt", "failed: KeyboardInterrupt"),
}


@pytest.mark.parametrize("text, said", FAILING.values(), ids=FAILING.keys())
async def test_rf102_a_module_that_does_not_load_is_quarantined(
    tmp_path: Path, text: str, said: str
) -> None:
    """With its line and its reason; the others serve."""
    files = {FILE: GOOD, "domains/orders/broken.py": f"x = 1\n\n{text}\n"}
    findings = found(tmp_path, files)
    assert rules(findings) == [("RF102", "domains/orders/broken.py")]
    assert findings[0].line == 3
    assert findings[0].message.startswith("orders.broken: ")
    assert said in findings[0].message
    async with running(tmp_path, {}) as app:
        assert await app.call("orders.place") == 1
        assert app.findings == findings


def test_rf102_a_package_that_is_not_there_is_to_be_installed(tmp_path: Path) -> None:
    """By its name."""
    (finding,) = found(tmp_path, {"domains/orders/broken.py": "import nowhere_at_all.deep\n"})
    assert finding.fix.startswith("install nowhere_at_all where this runs")


async def test_rf102_the_line_is_the_features_own(tmp_path: Path) -> None:
    """Where a helper raises, the finding stands where the feature called it."""
    files = {
        FILE: "from ._help import fail\n\nfail()\n" + GOOD,
        "domains/orders/_help.py": "def fail():\n    raise LookupError('no shelf')\n",
    }
    findings = found(tmp_path, files)
    assert [(f.file, f.line) for f in findings] == [place(tmp_path, FILE, "fail()")]


async def test_every_finding_is_told_at_once(tmp_path: Path) -> None:
    """One broken file hides no other, in the order of files and lines."""
    files = {
        "domains/a/one.py": "def broken(:\n",
        "domains/a/Two.py": GOOD,
        "domains/b/three.py": "from domains.a import one\nfrom domains.orders import place\n",
        "domains/c/four.py": "raise LookupError\n",
        FILE: GOOD,
    }
    findings = found(tmp_path, files)
    assert [(f.rule, f.file, f.line) for f in findings] == [
        ("RF101", "domains/a/Two.py", 0),
        ("RF102", "domains/a/one.py", 1),
        ("RF001", "domains/b/three.py", 1),
        ("RF001", "domains/b/three.py", 2),
        ("RF102", "domains/c/four.py", 1),
    ]


async def test_strict_refuses_what_would_be_quarantined(tmp_path: Path) -> None:
    """Every finding is in the error."""
    files = {FILE: GOOD, "domains/orders/broken.py": "raise LookupError\n"}
    with pytest.raises(BootError) as refused:
        async with running(tmp_path, files, strict=True):
            pass
    assert rules(list(refused.value.findings)) == [("RF102", "domains/orders/broken.py")]


async def test_what_has_no_domains_is_no_application(tmp_path: Path) -> None:
    """A folder without domains/, and no folder at all, are told apart."""
    with pytest.raises(StartRefused, match=r"has no domains/ folder"):
        async with boot(tmp_path):
            pass
    with pytest.raises(StartRefused, match="is no folder"):
        async with boot(tmp_path / "nowhere"):
            pass


async def test_an_empty_application_runs(tmp_path: Path) -> None:
    """No feature yet: nothing to serve, and nothing wrong."""
    async with running(tmp_path, {}) as app:
        assert app.health.state == "ready"


async def test_postponed_annotations_are_of_their_own_generation(tmp_path: Path) -> None:
    """`from __future__ import annotations` finds the classes of this load, not of another."""
    text = """
        from __future__ import annotations
        from msgspec import Struct
        from ringfence import Plugin, service

        class Order(Struct):
            sku: {kind}

        class Place(Plugin):
            @service("orders.place")
            async def place(self, order: Order) -> str:
                return type(order.sku).__name__
    """
    async with (
        running(tmp_path, {FILE: text.format(kind="str")}) as first,
        running(tmp_path, {FILE: text.format(kind="int")}) as second,
    ):
        assert await second.call("orders.place", sku=1) == "int"
        assert await first.call("orders.place", sku="a") == "str"


TOOL = {
    "tools/scale/__init__.py": """
        from ringfence.kernel.ports import ToolSpec
        from .contract import Scale

        SPEC = ToolSpec("scale", Scale, __name__, "brass")
    """,
    "tools/scale/contract.py": """
        from typing import Protocol
        from ringfence.kernel.ports import contract, operation

        @contract("scale")
        class Scale(Protocol):
            @operation(spends="queries")
            async def weigh(self, sku: str) -> int: ...
    """,
    "tools/scale/drivers/brass.py": """
        from msgspec import Struct

        class Config(Struct, frozen=True):
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
    """,
    FILE: """
        from ringfence import Plugin, service
        from tools.scale.contract import Scale

        class Place(Plugin):
            scale: Scale

            @service("orders.weigh")
            async def weigh(self, sku: str) -> int:
                return await self.scale.weigh(sku)
    """,
}


async def test_an_applications_own_tool_is_found_in_its_tools_folder(tmp_path: Path) -> None:
    """By the contract that a feature asks for; configured as any other."""
    async with running(tmp_path, TOOL, overrides={"tools": {"scale": {"grams": 9}}}) as app:
        assert await app.call("orders.weigh", sku="tea") == 9
        assert [s.queries for s in app.spans if s.operation == "orders.weigh"] == [1]


async def test_a_package_of_helpers_runs_its_init(tmp_path: Path) -> None:
    """In lib/ and below a domain's private folders, as anywhere in Python."""
    files = {
        "lib/__init__.py": "NAME = 'lib'\n",
        "lib/words/__init__.py": "from .. import NAME\nfrom .more import MORE\n",
        "lib/words/more.py": "MORE = 'more'\n",
        "domains/orders/_parts/__init__.py": "from .one import ONE\n",
        "domains/orders/_parts/one.py": "ONE = 'one'\n",
        "domains/orders/place/page.html": "a folder beside the feature of that name",
        FILE: """
            from ringfence import Plugin, service
            from lib.words import MORE, NAME
            from ._parts import ONE

            class Place(Plugin):
                @service("orders.place")
                async def place(self) -> list[str]:
                    return [NAME, MORE, ONE]
        """,
    }
    async with running(tmp_path, files) as app:
        assert app.findings == []
        assert await app.call("orders.place") == ["lib", "more", "one"]


def test_rf001_in_the_init_of_a_package(tmp_path: Path) -> None:
    """Its imports are watched as those of any other helper."""
    files = {
        FILE: GOOD,
        "lib/__init__.py": "from domains.orders import place\n",
        "tools/scale/__init__.py": "x = 1\nfrom domains.orders import place\n",
        "domains/orders/_parts/__init__.py": "from .. import place\nfrom ...stock import level\n",
    }
    findings = [f for f in found(tmp_path, files) if f.rule == "RF001"]
    assert [(f.rule, f.file, f.line) for f in findings] == [
        ("RF001", "domains/orders/_parts/__init__.py", 1),
        ("RF001", "domains/orders/_parts/__init__.py", 2),
        ("RF001", "lib/__init__.py", 1),
        ("RF001", "tools/scale/__init__.py", 2),
    ]
