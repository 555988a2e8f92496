"""Names of files that lead elsewhere, or are no names, are refused; their neighbours serve."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.errors import BootError, NoSuchService, RingfenceError
from tests.kernel.apps import feature, found, running, write

from .bystander import BYSTANDER, ask, asked_throughout, logged

pytestmark = pytest.mark.anyio

FEATURE = feature(
    """
    class Odd(Plugin):
        @service("stock.odd")
        async def odd(self) -> int:
            return 1
    """
)
STOCK = "domains/stock"


def linked(root: Path, name: str, to: str | Path) -> None:
    (root / STOCK).mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(to)


BAD_NAMES = [
    "Upper.py",
    "two words.py",
    "dash-ed.py",
    "..py",
    "a..b.py",
    "class.py",
    "1st.py",
    "new\nline.py",
    "\x1b]0;owned\x07.py",
    "оrders.py",  # a Cyrillic о
    "%2e%2e%2fup.py",
    "back\\slash.py",
]


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_feature_with_a_bad_name_is_not_loaded(tmp_path: Path, name: str) -> None:
    """The finding names the file; nothing of it is imported."""
    async with running(tmp_path, {f"{STOCK}/{name}": FEATURE, **BYSTANDER}) as app:
        async with asked_throughout(app):
            with pytest.raises(NoSuchService):
                await app.call("stock.odd")
        if name.startswith("."):  # as any hidden file
            assert app.findings == []
            return
        (finding,) = app.findings
        assert (finding.rule, finding.file) == ("RF101", f"{STOCK}/{name}")
        assert "cannot be a name" in finding.message
        assert logged(app, "warning", "RF101")


@pytest.mark.parametrize("name", ["Upper", "dash-ed", "class", "a.b", "two words", "\x1b[2J"])
async def test_a_domain_with_a_bad_name_is_not_loaded(tmp_path: Path, name: str) -> None:
    """Nothing in it is read, its migrations neither."""
    files = {
        f"domains/{name}/odd.py": FEATURE,
        f"domains/{name}/migrations/20260101000000_odd.sql": "CREATE TABLE odd (id INTEGER);",
    }
    async with running(tmp_path, {**files, **BYSTANDER}) as app:
        await ask(app)
        (finding,) = app.findings
        assert (finding.rule, finding.file) == ("RF101", f"domains/{name}")


def out_of_the_application(root: Path) -> None:
    outside = write(root.parent / "outside", {"odd.py": FEATURE})
    linked(root, f"{STOCK}/odd.py", outside / "odd.py")


def relative_out(root: Path) -> None:
    write(root.parent / "outside", {"odd.py": FEATURE})
    linked(root, f"{STOCK}/odd.py", "../../../outside/odd.py")


def to_nothing(root: Path) -> None:
    linked(root, f"{STOCK}/odd.py", "gone.py")


def to_itself(root: Path) -> None:
    linked(root, f"{STOCK}/odd.py", "odd.py")


def pipe(root: Path) -> None:
    (root / STOCK).mkdir(parents=True, exist_ok=True)
    os.mkfifo(root / STOCK / "odd.py")


def to_a_device(root: Path) -> None:
    linked(root, f"{STOCK}/odd.py", "/dev/zero")


def helper_to_nothing(root: Path) -> None:
    linked(root, f"{STOCK}/_odd.py", "gone.py")


def helper_pipe(root: Path) -> None:
    (root / STOCK).mkdir(parents=True, exist_ok=True)
    os.mkfifo(root / STOCK / "_odd.py")


@pytest.mark.parametrize(
    "make", [out_of_the_application, relative_out, to_nothing, to_itself, pipe, to_a_device]
)
async def test_a_feature_that_is_no_file_of_the_application_is_not_loaded(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A link out of it, a link to nothing, a pipe: one finding, and the others serve."""
    root = tmp_path / "shop"
    write(root, BYSTANDER)
    make(root)
    async with running(root, {}) as app:
        async with asked_throughout(app):
            with pytest.raises(RingfenceError, match=r"stock\.odd"):
                await app.call("stock.odd")
        (finding,) = app.findings
        assert finding.file == f"{STOCK}/odd.py"
        assert logged(app, "warning", f"{STOCK}/odd.py")


@pytest.mark.parametrize("make", [helper_to_nothing, helper_pipe])
async def test_a_helper_that_is_no_file_harms_nobody(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """Whoever does not import it serves."""
    write(tmp_path, BYSTANDER)
    make(tmp_path)
    async with running(tmp_path, {}) as app:
        await ask(app)


async def test_a_domain_that_is_a_link_out_of_the_application_is_not_loaded(
    tmp_path: Path,
) -> None:
    """Nor one in a circle of links."""
    outside = write(tmp_path / "outside", {"odd.py": FEATURE})
    root = write(tmp_path / "shop", BYSTANDER)
    (root / STOCK).symlink_to(outside)
    (root / "domains/round").symlink_to(root / "domains/round")
    async with running(root, {}) as app:
        async with asked_throughout(app):
            with pytest.raises(NoSuchService):
                await app.call("stock.odd")
        (finding,) = app.findings
        assert (finding.rule, finding.file) == ("RF101", STOCK)
        assert "leads out of the application" in finding.message


BAD_MIGRATIONS = [
    "../20260101000000_up.sql",
    "20260101000000_Upper.sql",
    "20260101000000_two words.sql",
    "20260101000000_a..b.sql",
    "20261301000000_no_month.sql",
    "2026_short.sql",
    "20260101000000_.sql",
    "20260101000000_x.SQL",
    "20260101000000_new\nline.sql",
    "20260101000000_\x1b]0;x\x07.sql",
]


@pytest.mark.parametrize("name", BAD_MIGRATIONS)
async def test_a_migration_with_a_bad_name_refuses_the_start(tmp_path: Path, name: str) -> None:
    """A migration that is skipped would be worse than none: nothing is applied."""
    folder = f"{STOCK}/migrations"
    path = f"{folder}/{name}"
    files = {path: "CREATE TABLE odd (id INTEGER);", **BYSTANDER}
    if name.startswith("../"):  # stands where no migration is: it is none
        async with running(tmp_path, files) as app:
            await ask(app)
        return
    with pytest.raises(BootError) as refused:
        async with running(tmp_path, files):
            pass
    (finding,) = refused.value.findings
    assert finding.file.startswith(folder)
    assert "\x1b" not in str(refused.value)
    (tmp_path / path).unlink()
    async with running(tmp_path, {}) as app:
        await ask(app)


async def test_a_migration_that_is_a_link_refuses_the_start(tmp_path: Path) -> None:
    """Whether the file or its folder is one; the target is not read."""
    secret = tmp_path / "secret.sql"
    secret.write_text("CREATE TABLE canary (id INTEGER);")
    root = write(tmp_path / "shop", BYSTANDER)
    (root / STOCK / "migrations").mkdir(parents=True)
    (root / STOCK / "migrations/20260101000000_odd.sql").symlink_to(secret)
    (root / "domains/round").mkdir()
    (root / "domains/round/migrations").symlink_to(tmp_path)
    listed = found(root, {})
    assert [finding.file for finding in listed] == [
        "domains/round/migrations",
        f"{STOCK}/migrations/20260101000000_odd.sql",
    ]
    assert "canary" not in str(listed)
    with pytest.raises(BootError):
        async with running(root, {}):
            pass


@pytest.mark.parametrize(
    "name", ["../stock.odd", "stock.odd\x00", "stock/odd", "", ".", "__class__", "STOCK.ODD"]
)
async def test_a_call_by_such_a_name_finds_nothing(tmp_path: Path, name: str) -> None:
    """A name is looked up, never followed."""
    async with running(tmp_path, {f"{STOCK}/odd.py": FEATURE, **BYSTANDER}) as app:
        with pytest.raises(NoSuchService):
            await app.call(name)
        assert await app.call("stock.odd") == 1
        await ask(app)
