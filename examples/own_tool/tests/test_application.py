"""An application on our own tool, and our own driver for each other one that it uses."""

import shutil
from base64 import b64decode
from pathlib import Path

import pytest

from acme_tools.http.function import Driver as Function
from ringfence.app import boot, check, load
from ringfence.testing import boot as boot_for_test

pytestmark = pytest.mark.anyio
APP = Path(__file__).parents[1] / "app"
PLACE = "domains/orders/place_order.py"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The application, where it may write."""
    for item in ("domains", "ringfence.toml"):
        source = APP / item
        if source.is_dir():
            shutil.copytree(source, tmp_path / item)
        else:
            shutil.copy(source, tmp_path / item)
    return tmp_path


async def test_it_runs_on_drivers_of_ours_alone(app: Path) -> None:
    """A request comes as an event, is stored by threads, counted, logged, and timed."""
    application = await boot(load(app, {}), strict=True)
    driver = application.driver("http")
    assert isinstance(driver, Function)
    request = {
        "rawPath": "/orders",
        "requestContext": {"http": {"method": "POST"}},
        "headers": {"content-type": "application/json"},
        "body": '{"sku":"tea"}',
    }
    answers = [await driver.answer(request) for _ in range(2)]
    await application.stop()
    assert [answer["statusCode"] for answer in answers] == [201, 201]
    assert [b64decode(str(answer["body"])) for answer in answers] == [b"1", b"2"]
    figures = (app / "metrics.prom").read_text()
    assert 'orders_placed_total{sku="tea"} 2\n' in figures
    assert "orders_place_seconds_count 2\n" in figures
    assert "orders_open 2\n" in figures
    assert (app / "log.jsonl").read_text().count('"message":"order placed"') == 2
    modules = {type(application.driver(n)).__module__ for n in ("clock", "db", "http", "log")}
    assert {module.partition(".")[0] for module in modules} == {"acme_tools"}


def test_nothing_is_wrong_with_it() -> None:
    """`ringfence check` has no findings."""
    assert check(APP) == []


async def test_a_test_puts_memory_in_the_place_of_files(app: Path) -> None:
    """As for any tool: a test says which driver it wants."""
    overrides = {"tools": {"metrics": {"driver": "memory"}, "db": {"driver": "sqlite"}}}
    async with boot_for_test(app, overrides=overrides) as running:
        await running.call("orders.place", sku="tea")
        assert "orders_open 1\n" in await running.driver("metrics").exposed()  # type: ignore[attr-defined]


WRONG = {
    "a name of another domain": ('"orders_open"', '"stock_open"', "ACME101"),
    "a name that is none": ('"orders_open"', '"orders-open"', "ACME101"),
    "a parameter": ("open_orders(self)", "open_orders(self, sku: str)", "ACME102"),
    "no number": ("def open_orders(self) -> int", "def open_orders(self) -> str", "ACME102"),
}


@pytest.mark.parametrize("good, bad, rule", WRONG.values(), ids=WRONG.keys())
def test_a_gauge_that_is_wrong_is_a_finding(app: Path, good: str, bad: str, rule: str) -> None:
    """At the line of its method, with what to do."""
    text = (app / PLACE).read_text().replace(good, bad)
    (app / PLACE).write_text(text)
    (finding,) = check(app)
    assert (finding.file, finding.rule) == (PLACE, rule)
    assert "def open_orders" in text.splitlines()[finding.line - 1]
    assert finding.fix


def test_two_gauges_of_one_name_are_a_finding(app: Path) -> None:
    """Nobody could tell whose figure it is."""
    (app / "domains/orders/again.py").write_text(
        "from acme_tools.metrics import gauge\n"
        "from ringfence import Plugin\n\n\n"
        "class Again(Plugin):\n"
        '    @gauge("orders_open")\n'
        "    async def again(self) -> int:\n"
        "        return 1\n"
    )
    assert [finding.rule for finding in check(app)] == ["ACME103"]
