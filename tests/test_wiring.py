"""What `app.py` decides between configuration, features and tools."""

from pathlib import Path

import pytest

from ringfence.app import check
from ringfence.errors import Invalid, StartRefused
from tests.kernel.apps import feature, found, running, write

pytestmark = pytest.mark.anyio

HTTP = "from ringfence.tools.http import get, post\n"
PRICES = feature("""
    class Prices(Settings, section="shop"):
        currency: str = "EUR"

    class Show(Plugin):
        prices: Prices

        @service("prices.currency")
        async def currency(self) -> str:
            return self.prices.currency
""")
ORDERS = feature("""
    class Limits(Settings, section="shop"):
        most: int = 5

    class Count(Plugin):
        limits: Limits

        @service("orders.most")
        async def most(self) -> int:
            return self.limits.most

        @service("orders.double")
        async def double(self, number: int) -> int:
            return number * 2
""")
SHOP = {"domains/prices/show.py": PRICES, "domains/orders/count.py": ORDERS}


async def test_two_features_read_parts_of_one_section(tmp_path: Path) -> None:
    """A key of a section is known if any feature's class reads it."""
    files = {**SHOP, "ringfence.toml": '[settings.shop]\ncurrency = "CHF"\nmost = 7\n'}
    async with running(tmp_path, files) as app:
        assert await app.call("prices.currency") == "CHF"
        assert await app.call("orders.most") == 7


@pytest.mark.parametrize(
    "toml, line, said",
    [
        ("[settings.shop]\ncurency = 'CHF'\n", 2, "did you mean `currency`?"),
        ("[settings.shp]\nmost = 7\n", 1, "did you mean `shop`?"),
        ("[budgets.htpp]\ncalls = 7\n", 1, "did you mean `http`?"),
        ("[tools.http]\nprot = 7\n", 2, "did you mean `port`?"),
        ("[tools.db]\ndriver = 'sqlit'\n", 2, "did you mean 'sqlite'?"),
        ("[tools.cache]\ntool = 'dbb'\n", 1, "did you mean 'db'?"),
    ],
)
def test_check_finds_what_nothing_reads_in_the_configuration(
    tmp_path: Path, toml: str, line: int, said: str
) -> None:
    """The file is judged against the features and drivers that there are, not only by itself."""
    findings = found(tmp_path, {**SHOP, "ringfence.toml": toml})
    assert [(f.file, f.line) for f in findings] == [("ringfence.toml", line)]
    assert said in findings[0].fix


async def test_a_start_is_refused_with_all_of_it(tmp_path: Path) -> None:
    """What `check` finds in the configuration prevents the start, every fault at once."""
    toml = "[settings.shop]\ncurency = 'CHF'\nmst = 1\n[budgets.htpp]\ncalls = 7\n"
    with pytest.raises(StartRefused) as refused:
        async with running(tmp_path, {**SHOP, "ringfence.toml": toml}):
            pytest.fail("it started")
    assert len(refused.value.findings) == 3


async def test_a_route_that_is_wrong_quarantines_its_plugin_alone(tmp_path: Path) -> None:
    """A path parameter that the method does not take harms one feature; the others serve."""
    bad = feature(
        HTTP + "class Bad(Plugin):\n    @get('/bad/{id}')\n    async def bad(self) -> int:\n"
        "        return 1\n"
    )
    async with running(tmp_path, {**SHOP, "domains/orders/bad.py": bad}) as app:
        assert await app.call("orders.most") == 5
        assert [f.rule for f in app.findings] == ["RF303"]
        answer = await app.http.get("/bad/7")
        assert (answer.status, answer.json()["code"]) == (503, "plugin_quarantined")  # type: ignore[index]


def test_a_decorator_without_its_parentheses_is_a_finding(tmp_path: Path) -> None:
    """A method under a bare `@get` would be served by nobody; it is said."""
    bare = feature(
        HTTP + "class Bare(Plugin):\n    @get\n    async def bare(self) -> int:\n        return 1\n"
    )
    findings = found(tmp_path, {"domains/orders/bare.py": bare})
    assert [f.rule for f in findings] == ["RF116"]
    bare = feature("class Bare(Plugin):\n    @service\n    async def bare(self) -> int: ...\n")
    (finding,) = found(tmp_path, {"domains/orders/bare.py": bare})
    assert finding.fix == 'write its arguments: @service("orders.place")'


async def test_a_name_typed_by_hand_is_not_dropped(tmp_path: Path) -> None:
    """An unknown parameter of a call by name is refused, with what was probably meant."""
    async with running(tmp_path, SHOP) as app:
        with pytest.raises(Invalid) as refused:
            await app.call("orders.double", number=1, nmber=2)
    assert [f.path for f in refused.value.faults] == ["$.nmber"]
    assert "did you mean 'number'?" in refused.value.faults[0].message


async def test_a_request_that_does_not_fit_has_a_trace(tmp_path: Path) -> None:
    """A request refused before its handler is recorded, and its answer says under which trace."""
    doubled = feature(
        HTTP + "class Twice(Plugin):\n    @get('/twice/{n}', calls=('orders.double',))\n"
        "    async def twice(self, n: int, ctx: Context) -> object:\n"
        "        return await ctx.call('orders.double', {'number': n})\n"
    )
    async with running(tmp_path, {**SHOP, "domains/orders/twice.py": doubled}) as app:
        assert (await app.http.get("/twice/4")).json() == 8
        refused: dict[str, object] = (await app.http.get("/twice/four")).json()  # type: ignore[assignment]
        spans = [s for s in app.spans if s.trace_id == refused["trace_id"]]
    assert [s.origin for s in spans] == ["GET /twice/{n}"]
    assert spans[0].failure is not None


def test_check_of_no_application_is_refused(tmp_path: Path) -> None:
    """A folder without domains/ is no application, and nothing is made of it."""
    with pytest.raises(StartRefused, match="domains"):
        check(tmp_path)
    assert check(write(tmp_path, SHOP)) == []
