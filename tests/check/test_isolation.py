"""The corpus: every way into another domain is refused or listed, and nothing honest is either."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from ringfence.app import check
from ringfence.check.examination import examine
from tests.check.corpus import AT_START, BY_CHECK, BY_NOBODY, HONEST
from tests.kernel.apps import write

ROOT = Path(__file__).parents[2]
WAYS = {**AT_START, **BY_CHECK, **BY_NOBODY}
Found = Mapping[str, set[str]]


def file_of(name: str) -> str:
    """Return the file that a case is written into."""
    return f"domains/orders/case_{re.sub('[^a-z]+', '_', name.lower())}.py"


def feature(name: str, text: str) -> str:
    word = re.sub("[^a-z]+", "_", name.lower())
    return (
        f"{text}\n\n\nfrom ringfence import Plugin, service\n\n\nclass Case(Plugin):\n"
        f'    @service("orders.{word}")\n    async def case(self) -> int:\n        return 1\n'
    )


def by_file(root: Path, cases: Mapping[str, str]) -> tuple[Found, Found]:
    """Write all cases into one application; return what the start and what `check` find of each."""
    helpers = {
        "domains/inventory/stock.py": feature("stock", "Stock = 1\nSECRET = 1").replace(
            "orders.stock", "inventory.stock"
        ),
        "domains/inventory/_shelf.py": "SECRET = 1\n",
        "domains/inventory/migrations/20260101000000_stock.sql": "CREATE TABLE stock (sku TEXT);\n",
        "domains/orders/migrations/20260101000001_orders.sql": "CREATE TABLE orders (sku TEXT);\n",
        "domains/orders/_shelf.py": "NAME = 1\n",
        "domains/orders/_reexport.py": "from domains.inventory.stock import Stock\n"
        if cases is WAYS
        else "",
        "lib/money.py": "def cents(euros: float) -> int:\n    return round(euros * 100)\n",
    }
    written = {file_of(name): feature(name, text) for name, text in cases.items()}
    write(root, {**helpers, **written})
    started: dict[str, set[str]] = {}
    for finding in check(root):
        started.setdefault(finding.file, set()).add(finding.rule)
    read: dict[str, set[str]] = {}
    for finding in examine(root).findings:
        read.setdefault(finding.file, set()).add(finding.rule)
    return started, read


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    return by_file(tmp_path_factory.mktemp("ways"), WAYS)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    return by_file(tmp_path_factory.mktemp("honest"), HONEST)


def test_the_corpus_is_as_large_as_it_says() -> None:
    """And no case hides another one in its file."""
    for cases in (WAYS, HONEST):
        assert len({file_of(name) for name in cases}) == len(cases) >= 40


@pytest.mark.parametrize("name", [*WAYS, *(f"honest: {name}" for name in HONEST)])
def test_guard_and_check_agree_on_the_corpus(
    ways: tuple[Found, Found], honest: tuple[Found, Found], name: str
) -> None:
    """A way in is refused at the start, or found by `check` and listed, or listed as open; what is
    honest passes both."""
    if name.startswith("honest: "):
        started, read = honest
        case = file_of(name.removeprefix("honest: "))
        assert (started.get(case, set()), read.get(case, set())) == (set(), set())
        return
    started, read = ways
    case = file_of(name)
    refused = bool(started.get(case, set()) & {"RF001", "RF102"})
    assert (refused, bool(read.get(case))) == (name in AT_START, name in BY_CHECK) or (
        name in AT_START and refused
    )
    if not refused:
        assert f"| {name} |" in listed("found by" if name in BY_CHECK else "not stopped")


def listed(heading: str) -> str:
    """Return a section of the published list."""
    document = (ROOT / "docs/isolation.md").read_text("utf-8").lower()
    return next(part for part in document.split("\n## ") if part.startswith(heading.lower()))


def test_the_published_list_names_no_other_way() -> None:
    """What is listed is in the corpus, so that it is tried."""
    for heading, cases in (("found by", BY_CHECK), ("not stopped", BY_NOBODY)):
        rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", listed(heading), re.MULTILINE)
        assert set(rows) - {"way", "---"} == {name.lower() for name in cases}
