"""A feature that cannot be imported is quarantined with its reason; the rest boots."""

import time
from pathlib import Path

import pytest

from ringfence.errors import BootError, PluginQuarantined
from tests.kernel.apps import feature, found, place, running

from .bystander import BYSTANDER, ask, asked_throughout, logged
from .stage import Stage

pytestmark = pytest.mark.anyio

PROVIDER = """
    class Provider(Plugin):
        @service("stock.level")
        async def level(self, sku: str) -> int:
            return 3
    """
CONSUMER = feature(
    """
    @requires("stock.level")
    class LevelOf(Protocol):
        async def __call__(self, *, sku: str) -> int: ...


    class Consumer(Plugin):
        level: LevelOf

        @service("orders.check")
        async def check(self, sku: str) -> int:
            return await self.level(sku=sku)

        @service("orders.greet")
        def greet(self) -> str:
            return "good morning"
    """
)
FILE = "domains/stock/provider.py"
BROKEN = {
    "a missing module": ("import no_such_module_here", "No module named 'no_such_module_here'"),
    "an exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "a real exit": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "a bug": ("1 / 0", "ZeroDivisionError: division by zero"),
    "an interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "a syntax error": ("def (:", "the file cannot be parsed"),
    "an endless recursion": ("def f(): f()\nf()", "RecursionError"),
    "an error that cannot be shown": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "Mute",
    ),
    "an error with a control sequence": ("raise OSError('\\x1b]0;owned\\x07')", "OSError"),
}


def files(broken: str) -> dict[str, str]:
    """An application whose provider says `broken` before it declares anything."""
    provider = feature(PROVIDER)
    provider = provider.replace("\n\nclass Provider", f"\n\n{broken}\n\n\nclass Provider")
    return {FILE: provider, "domains/orders/consumer.py": CONSUMER, **BYSTANDER}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_fails_at_import_is_quarantined(tmp_path: Path, case: str) -> None:
    """Its consumer serves; only calls of its names are refused; status and log say why."""
    broken, said = BROKEN[case]
    async with running(tmp_path, files(broken)) as app, asked_throughout(app):
        assert await app.call("orders.greet") == "good morning"
        for name in ("orders.check", "stock.level"):
            with pytest.raises(PluginQuarantined, match=r"stock\.provider") as refused:
                await app.call(name, sku="tea")
            assert said not in str(refused.value)  # the reason is for whoever may know
        (finding,) = app.findings
        last = broken.rpartition("\n")[2]
        assert (finding.file, finding.line) == place(tmp_path, FILE, last)
        assert "stock.provider" in finding.message
        assert said in finding.message
        assert app.health.state == "degraded"
        (stock,) = [domain for domain in app.status.domains if domain.name == "stock"]
        assert (stock.plugins[0].id, stock.plugins[0].state) == ("stock.provider", "quarantined")
        assert said in stock.plugins[0].reason
        assert logged(app, "warning", "stock.provider", said)


@pytest.mark.parametrize("case", BROKEN)
async def test_strict_refuses_what_fails_at_import(tmp_path: Path, case: str) -> None:
    """With the same finding."""
    broken, said = BROKEN[case]
    with pytest.raises(BootError) as refused:
        async with running(tmp_path, files(broken), strict=True):
            pass
    assert [finding.file for finding in refused.value.findings] == [FILE]
    assert said in str(refused.value)


async def test_an_import_that_hangs_is_left_behind(tmp_path: Path, stage: Stage) -> None:
    """Two of them cost their deadlines, and no more."""
    hangs = feature("import stage\n\nstage.hang()\n")
    application = {
        **files("import stage\n\nstage.hang()"),
        "domains/stock/another.py": hangs,
        "domains/stock/lately.py": feature(PROVIDER).replace("stock.level", "stock.later"),
    }
    began = time.monotonic()
    async with running(tmp_path, application, import_timeout=0.2) as app:
        assert time.monotonic() - began < 5
        async with asked_throughout(app):
            assert await app.call("stock.later", sku="tea") == 3
            with pytest.raises(PluginQuarantined, match=r"stock\.provider"):
                await app.call("orders.check", sku="tea")
        assert [(f.file, f.message) for f in app.findings] == [
            (f"domains/stock/{name}.py", f"stock.{name}: its import has not ended within 0.2 s")
            for name in ("another", "provider")
        ]
        assert logged(app, "warning", "stock.another: its import has not ended within 0.2 s")


async def test_an_import_that_ends_too_late_changes_nothing(tmp_path: Path, stage: Stage) -> None:
    """What was given up stays in quarantine, whatever it does later."""
    application = files("import stage\n\nstage.hang()")
    async with running(tmp_path, application, import_timeout=0.2) as app:
        stage.release()
        async with asked_throughout(app):
            with pytest.raises(PluginQuarantined):
                await app.call("stock.level", sku="tea")


async def test_a_helper_that_fails_takes_its_users_along_and_nobody_else(tmp_path: Path) -> None:
    """Each feature that imports it is quarantined, with the helper's fault as the reason."""
    uses = feature(PROVIDER).replace("import asyncio", "from domains.stock._shelf import LEVEL")
    application = {
        **files(""),
        FILE: uses,
        "domains/stock/_shelf.py": "LEVEL = 1 / 0\n",
        "domains/stock/lately.py": feature(PROVIDER).replace("stock.level", "stock.later"),
    }
    async with running(tmp_path, application) as app:
        await ask(app)
        assert await app.call("stock.later", sku="tea") == 3
        (finding,) = app.findings
        assert "stock.provider: its import has failed: ZeroDivisionError" in finding.message


async def test_check_finds_what_boot_would_quarantine(tmp_path: Path) -> None:
    """`check` starts nothing, and outlives whatever a module does at its import."""
    for case, (broken, said) in BROKEN.items():
        root = tmp_path / case.replace(" ", "_")
        (finding,) = found(root, files(broken))
        assert (finding.file, said in finding.message) == (FILE, True)
