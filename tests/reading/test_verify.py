"""What is wrong between plugins, RF105 to RF109 and RF113 to RF115: it refuses the start."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.errors import BootError
from tests.kernel.apps import feature, found, place, running

ORDERS = "domains/orders/place.py"
STOCK = "domains/stock/level.py"


def provider(name: str, result: str = "int", parameters: str = "") -> str:
    """Return a feature that provides the service `name`."""
    return feature(f"""
        class Provide(Plugin):
            @service("{name}")
            async def provide(self, {parameters}) -> {result}: ...
    """)


def consumer(*names: str, provides: str = "orders.ask", result: str = "int") -> str:
    """Return a feature that requires the services `names` and provides one."""
    views = "\n\n".join(
        f'@requires("{name}")\nclass View{i}(Protocol):\n'
        f"    async def __call__(self) -> {result}: ..."
        for i, name in enumerate(names)
    )
    fields = "\n".join(f"    need{i}: View{i}" for i in range(len(names)))
    return f"""
{feature(views)}

class Ask(Plugin):
{fields}

    @service("{provides}")
    async def ask(self) -> int: ...
"""


GOOD = {STOCK: provider("stock.level"), ORDERS: consumer("stock.level")}


def test_an_application_that_fits_together_has_no_findings(tmp_path: Path) -> None:
    """A provider and its consumer."""
    assert found(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    "name, said",
    [
        ("stock.level", "orders.place declares stock.level, which belongs to domain stock"),
        ("place", "'place' is no service name; expected orders.some_word"),
        ("orders.", "'orders.' is no service name"),
        ("Orders.place", "'Orders.place' is no service name"),
        ("orders.place order", "'orders.place order' is no service name"),
        ("orders..place", "'orders..place' is no service name"),
        ("", "'' is no service name"),
    ],
)
def test_rf105_a_name_outside_its_domain(tmp_path: Path, name: str, said: str) -> None:
    """A domain declares names under its own name alone."""
    findings = found(tmp_path, {ORDERS: provider(name)})
    assert [f.rule for f in findings] == ["RF105"]
    assert said in findings[0].message
    where = place(tmp_path, ORDERS, "async def provide")
    assert (findings[0].file, findings[0].line) == where


def test_rf105_names_of_several_words_are_fine(tmp_path: Path) -> None:
    """Below its domain, a name may have as many words as it likes."""
    assert found(tmp_path, {ORDERS: provider("orders.lines.add_one2")}) == []


def test_rf106_two_providers_of_a_name(tmp_path: Path) -> None:
    """Both owners are named, with their places."""
    other = "domains/orders/other.py"
    findings = found(tmp_path, {ORDERS: provider("orders.x"), other: provider("orders.x")})
    assert [f.rule for f in findings] == ["RF106"]
    assert (findings[0].file, findings[0].line) == place(tmp_path, ORDERS, "async def provide")
    line = place(tmp_path, other, "async def provide")[1]
    assert f"orders.other ({other}:{line})" in findings[0].message
    assert "orders.place" in findings[0].message


def test_rf107_a_service_that_nobody_provides(tmp_path: Path) -> None:
    """With the nearest name, at the view."""
    findings = found(tmp_path, {**GOOD, ORDERS: consumer("stock.levle")})
    assert [f.rule for f in findings] == ["RF107"]
    assert "orders.place requires stock.levle, which no plugin provides" in findings[0].message
    assert "did you mean 'stock.level'?" in findings[0].message
    assert (findings[0].file, findings[0].line) == place(tmp_path, ORDERS, "class View0")


def test_rf107_a_name_in_calls_that_nobody_provides(tmp_path: Path) -> None:
    """As a requirement, at the method."""
    text = feature("""
        class Ask(Plugin):
            @service("orders.ask", calls=("stock.level", "stock.levle"))
            async def ask(self, ctx: Context) -> None: ...
    """)
    findings = found(tmp_path, {**GOOD, ORDERS: text})
    assert [f.rule for f in findings] == ["RF107"]
    assert "did you mean 'stock.level'?" in findings[0].message
    assert (findings[0].file, findings[0].line) == place(tmp_path, ORDERS, "async def ask")


def test_an_optional_requirement_may_be_unmet(tmp_path: Path) -> None:
    """`| None` says that nobody need provide it."""
    text = consumer("stock.gone").replace("need0: View0", "need0: View0 | None")
    assert found(tmp_path, {ORDERS: text}) == []


@pytest.mark.anyio
async def test_a_name_of_a_plugin_that_did_not_load_is_not_missing(tmp_path: Path) -> None:
    """Its names are known from its text."""
    broken = provider("stock.level") + "\n\nraise LookupError\n"
    findings = found(tmp_path, {**GOOD, STOCK: broken})
    assert [f.rule for f in findings] == ["RF102"]
    async with running(tmp_path, {}) as app:
        assert app.health.state == "degraded"


def test_a_name_of_an_unparsed_files_domain_is_not_missing(tmp_path: Path) -> None:
    """It counts as that file's; a name of another domain does not."""
    files = {
        ORDERS: consumer("stock.level", "elsewhere.level"),
        STOCK: "def broken(:\n",
    }
    findings = found(tmp_path, files)
    assert sorted(f.rule for f in findings) == ["RF102", "RF107"]
    assert "elsewhere.level" in next(f.message for f in findings if f.rule == "RF107")


def test_rf108_a_view_that_does_not_fit(tmp_path: Path) -> None:
    """Every misfit is a finding at the view, and names the provider's place."""
    files = {
        STOCK: provider("stock.level", "str", "*, sku: str"),
        ORDERS: consumer("stock.level", result="int"),
    }
    findings = found(tmp_path, files)
    assert [f.rule for f in findings] == ["RF108", "RF108"]
    where = place(tmp_path, STOCK, "async def provide")
    for finding in findings:
        assert (finding.file, finding.line) == place(tmp_path, ORDERS, "class View0")
        assert f"does not fit its provider ({where[0]}:{where[1]})" in finding.message
    said = "\n".join(f.message for f in findings)
    assert "it needs parameter 'sku', which the view does not send" in said
    assert "result: str does not fit int" in said


@pytest.mark.anyio
async def test_rf109_a_circle_of_requirements_is_printed(tmp_path: Path) -> None:
    """Plugin by plugin, with the service that leads from one to the next."""
    files = {
        f"domains/{mine}/x.py": consumer(f"{other}.ask", provides=f"{mine}.ask")
        for mine, other in (("a", "b"), ("b", "c"), ("c", "a"))
    }
    findings = found(tmp_path, files)
    assert [f.rule for f in findings] == ["RF109"]
    circle = findings[0].message.partition("circle: ")[2]
    steps = ["a.x → b.ask (b.x)", "b.x) → c.ask (c.x)", "c.x) → a.ask (a.x)"]
    turned = f"{circle} → {circle.partition(' → ')[2]}"
    assert all(step.replace("a.x →", "→", 1) in turned for step in steps)
    assert circle.count("→") == 3
    where = place(tmp_path, findings[0].file, "class Ask")
    assert findings[0].line == where[1]
    with pytest.raises(BootError, match="form a circle"):
        async with running(tmp_path, {}):
            pass


def test_rf109_every_circle_is_told(tmp_path: Path) -> None:
    """Two circles are two findings; a plugin that requires itself is one as well."""
    pairs = {"a": "b", "b": "a", "c": "d", "d": "c", "e": "e"}
    files = {
        f"domains/{mine}/x.py": consumer(f"{other}.ask", provides=f"{mine}.ask")
        for mine, other in pairs.items()
    }
    findings = found(tmp_path, files)
    assert [f.rule for f in findings] == ["RF109"] * 3
    assert any("e.x → e.ask (e.x)" in f.message for f in findings)


def test_calls_by_name_may_form_a_circle(tmp_path: Path) -> None:
    """They are made one at a time; the depth limit ends them."""
    files = {
        f"domains/{mine}/x.py": feature(f"""
            class Ask(Plugin):
                @service("{mine}.ask", calls=("{other}.ask",))
                async def ask(self, ctx: Context) -> None: ...
        """)
        for mine, other in (("a", "b"), ("b", "a"))
    }
    assert found(tmp_path, files) == []


def test_rf113_an_error_code_outside_its_domain(tmp_path: Path) -> None:
    """Codes are names of the domain, as services are."""
    text = (
        provider("orders.x")
        + """

class Good(Conflict, code="orders.good"): ...


class Bad(Conflict, code="stock.bad"): ...


class Worse(NotFound, code="worse"): ...


class NoCode(Conflict): ...
"""
    )
    findings = found(tmp_path, {ORDERS: text})
    assert [f.rule for f in findings] == ["RF113", "RF113"]
    assert [(f.file, f.line) for f in findings] == [
        place(tmp_path, ORDERS, "class Bad"),
        place(tmp_path, ORDERS, "class Worse"),
    ]
    assert "'stock.bad' is outside its domain; expected orders.*" in findings[0].message


def test_rf114_an_error_code_that_two_features_declare(tmp_path: Path) -> None:
    """Both files are named."""
    text = '\n\nclass Bad(Conflict, code="orders.bad"): ...\n'
    other = "domains/orders/other.py"
    files = {ORDERS: provider("orders.x") + text, other: provider("orders.y") + text}
    findings = found(tmp_path, files)
    assert [f.rule for f in findings] == ["RF114"]
    assert (findings[0].file, findings[0].line) == place(tmp_path, ORDERS, "class Bad")
    assert other in findings[0].message


def test_rf115_a_transaction_without_a_database(tmp_path: Path) -> None:
    """A parameter that a tool fills in needs a field for the tool."""
    text = provider("orders.x", parameters="tx: Transaction")
    findings = found(tmp_path, {ORDERS: text})
    assert [f.rule for f in findings] == ["RF115"]
    assert "no field for the db tool" in findings[0].message
    assert (findings[0].file, findings[0].line) == place(tmp_path, ORDERS, "async def provide")
    good = text.replace("class Provide(Plugin):", "class Provide(Plugin):\n    db: Database\n")
    assert found(tmp_path, {ORDERS: good}) == []


@pytest.mark.anyio
async def test_every_finding_is_told_before_anything_starts(tmp_path: Path) -> None:
    """All of them, sorted by place, whether or not the start is strict."""
    files = {
        ORDERS: consumer("stock.levle", provides="wrong.ask"),
        STOCK: provider("stock.level") + '\n\nclass Bad(Conflict, code="bad"): ...\n',
    }
    for strict in (False, True):
        with pytest.raises(BootError, match="3 findings") as refused:
            async with running(tmp_path, files, strict=strict):
                pass
        assert [f.rule for f in refused.value.findings] == ["RF107", "RF105", "RF113"]
        for finding in refused.value.findings:
            assert f"{finding.file}:{finding.line}: {finding.rule}" in str(refused.value)


@pytest.mark.anyio
async def test_providers_start_before_their_consumers(tmp_path: Path) -> None:
    """In whatever order their files come."""
    text = """
        class Start(Plugin):
            {field}

            async def start(self) -> None:
                {start}

            @service("{mine}.ask")
            async def ask(self) -> int:
                return self.answer
    """
    files = {
        "domains/a/x.py": feature(
            """
            @requires("b.ask")
            class B(Protocol):
                async def __call__(self) -> int: ...
            """
        )
        + feature(text.format(mine="a", field="b: B", start="self.answer = 1 + await self.b()")),
        "domains/b/x.py": feature(text.format(mine="b", field="pass", start="self.answer = 7")),
    }
    async with running(tmp_path, files) as app:
        assert app.findings == []
        assert await app.call("a.ask") == 8


@settings(max_examples=25, deadline=None)
@given(
    edges=st.sets(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), max_size=8),
)
def test_requirements_are_refused_exactly_when_they_form_a_circle(
    tmp_path_factory: pytest.TempPathFactory, edges: set[tuple[str, str]]
) -> None:
    """For any graph of plugins: a circle is a finding, and its absence is none."""
    root = tmp_path_factory.mktemp("graph")
    files = {
        f"domains/{mine}/x.py": consumer(
            *(f"{other}.ask" for me, other in sorted(edges) if me == mine), provides=f"{mine}.ask"
        )
        for mine in "abcd"
    }
    reached = {mine: {other for me, other in edges if me == mine} for mine in "abcd"}
    for _ in "abcd":
        for mine in "abcd":
            reached[mine] |= {far for near in reached[mine] for far in reached[near]}
    circular = any(mine in reached[mine] for mine in "abcd")
    rules = {f.rule for f in found(root, files)}
    assert rules == ({"RF109"} if circular else set())
