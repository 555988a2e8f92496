"""Links in an application: configured, injected, used by features, and replaced in a test."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.app import check
from ringfence.errors import DeadlineExceeded, TransactionHeld
from ringfence.testing import TestApplication, boot
from ringfence.tools.fetch import LinkUnavailable, RefusedTarget
from ringfence.tools.fetch.conformance import OtherSide, answer
from ringfence.tools.fetch.doubles import Recorded, Reply, served
from ringfence.tools.fetch.drivers import http, memory
from tests.kernel.apps import feature, found, running, write

pytestmark = pytest.mark.anyio
CANARY = "canary-9c51"
PAY = feature(
    """
    from ringfence.tools.fetch import Fetch


    class Charge(Struct):
        id: str


    class Pay(Plugin):
        payments: Fetch
        db: Database
        other: Fetch

        @service("orders.pay")
        async def pay(self, amount: int) -> str:
            charge = await self.payments.post("charges", json={"amount": amount}, into=Charge)
            return charge.id

        @service("orders.look")
        async def look(self, path: str) -> int:
            return (await self.payments.get(path)).status

        @service("orders.look_up")
        def look_up(self, path: str) -> str:
            got = wait(self.payments.get(path)).text()
            with wait(self.payments.stream("GET", path)) as download:
                return got + b"".join(wait(download.chunks())).decode()

        @service("orders.export")
        async def export(self) -> int:
            async with self.payments.stream("GET", "export") as download:
                return sum([len(piece) async for piece in download.chunks()])

        @service("orders.pay_inside")
        async def pay_inside(self, tx: Transaction, streamed: bool) -> None:
            if not streamed:
                await self.payments.post("charges")
            async with self.payments.stream("GET", "export"):
                pass

        @service("orders.notify")
        async def notify(self) -> int:
            return (await self.other.post("notice")).status

        @service("orders.many", budget=Budget(queries=3))
        async def many(self) -> None:
            for _ in range(10):
                await self.payments.get("it")

        @service("orders.hang", timeout_s=1)
        async def hang(self) -> None:
            await self.payments.get("it")
    """
)
TABLES = """
[tools.payments]
tool = "fetch"
base_url = "{payments}"
token = "canary-9c51"
private = true

[tools.other]
tool = "fetch"
base_url = "{other}"
"""
ELSEWHERE = "https://other.test/"
FILES = {
    "domains/orders/pay.py": PAY,
    "ringfence.toml": TABLES.format(payments="https://pay.test/", other=ELSEWHERE),
}


def files(base_url: str, other: str = ELSEWHERE) -> dict[str, str]:
    return {**FILES, "ringfence.toml": TABLES.format(payments=base_url, other=other)}


async def test_a_feature_uses_the_link_of_its_fields_name(tmp_path: Path) -> None:
    """With its base URL, its credential, and the ids of the trace."""
    other = OtherSide(answer({"id": "ch_1"}))
    async with served(other) as base_url, running(tmp_path, files(base_url)) as app:
        assert await app.call("orders.pay", amount=5) == "ch_1"
        span = next(span for span in app.spans if span.operation == "orders.pay")
    (request,) = other.requests
    assert (request.path, request.json()) == ("charges", {"amount": 5})
    assert request.headers["authorization"] == f"Bearer {CANARY}"
    assert request.headers["traceparent"] == f"00-{span.trace_id}-{span.span_id}-01"


async def test_a_def_handler_waits_for_it(tmp_path: Path) -> None:
    """An answer, and a stream with its pieces."""
    other = OtherSide(Reply(200, {}, b"twice "))
    async with served(other) as base_url, running(tmp_path, files(base_url)) as app:
        assert await app.call("orders.look_up", path="it") == "twice twice "


async def test_a_stream_shows_in_the_trace(tmp_path: Path) -> None:
    """As any block of a tool that has a context of its own."""
    other = OtherSide(Reply(200, {}, bytes(100_000)))
    async with served(other) as base_url, running(tmp_path, files(base_url)) as app:
        assert await app.call("orders.export") == 100_000
        assert "payments.stream" in [span.operation for span in app.spans]


@pytest.mark.parametrize("streamed", [False, True])
async def test_inside_a_transaction_there_is_only_the_database(
    tmp_path: Path, streamed: bool
) -> None:
    """A request there would hold the writer until a stranger answers; both are named."""
    async with running(tmp_path, FILES, overrides=stand_ins()) as app:
        with pytest.raises(TransactionHeld) as held:
            await app.call("orders.pay_inside", streamed=streamed)
        assert link(app).requests == []
    assert "orders.pay" in str(held.value)
    assert "payments" in str(held.value)


async def test_requests_are_spent_from_the_budget(tmp_path: Path) -> None:
    """As whatever else reaches a backend."""
    async with running(tmp_path, FILES, overrides=stand_ins()) as app:
        link(app).answer("GET", "it")
        with pytest.raises(Exception, match="queries"):
            await app.call("orders.many")
        assert len(link(app).requests) == 3


async def test_a_deadline_ends_a_request(tmp_path: Path) -> None:
    """The context's own, well before the link's."""
    asked = asyncio.Event()

    async def silent(_: Recorded) -> Reply:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with served(silent) as base_url, running(tmp_path, files(base_url)) as app:
        calling = asyncio.ensure_future(app.call("orders.hang"))
        await asked.wait()
        await app.clock.elapse(1.5)
        with pytest.raises(DeadlineExceeded):
            await calling


async def test_a_pause_is_never_past_the_deadline(tmp_path: Path) -> None:
    """What would have to wait longer ends at once, and says when to come back."""
    async with running(tmp_path, FILES, overrides=stand_ins()) as app:
        link(app).answer("GET", "it", status=503, headers={"retry-after": "2"})
        with pytest.raises(LinkUnavailable) as gone:
            await app.call("orders.hang")
        assert len(link(app).requests) == 1
    assert gone.value.retry_after_s == 2


def stand_ins() -> dict[str, object]:
    return {"tools": {"payments": {"driver": "memory"}, "other": {"driver": "memory"}}}


def link(app: TestApplication) -> memory.Driver:
    driver = app.driver("payments")
    assert isinstance(driver, memory.Driver)
    return driver


async def test_a_test_declares_the_answers(tmp_path: Path) -> None:
    """In order, the last one for ever; each request is there to be looked at."""
    async with running(tmp_path, FILES, overrides=stand_ins()) as app:
        link(app).answer("POST", "charges", json={"id": "ch_1"}, status=201)
        link(app).answer("POST", "charges", json={"id": "ch_2"}, status=201)
        said = [await app.call("orders.pay", amount=n) for n in range(3)]
        assert [request.json() for request in link(app).requests] == [
            {"amount": 0},
            {"amount": 1},
            {"amount": 2},
        ]
    assert said == ["ch_1", "ch_2", "ch_2"]


async def test_a_request_that_no_answer_is_declared_for_is_named(tmp_path: Path) -> None:
    """With what was declared, and what to write."""
    async with running(tmp_path, FILES, overrides=stand_ins()) as app:
        link(app).answer("GET", "this")
        with pytest.raises(memory.NotDeclared, match=r"GET this.*answer\('GET', 'that'"):
            await app.call("orders.look", path="that")


async def test_the_trace_is_for_the_links_own_side_alone(tmp_path: Path) -> None:
    """Where it is sent at all, an absolute URL does not get it; nor does a stranger by default."""
    hook = "https://hooks.test/x"
    keys: dict[str, object] = {"driver": "memory", "private": False, "absolute": ["https://*"]}
    for trace in (False, True):
        if trace:
            keys["trace"] = True
        overrides = {"tools": {"payments": keys}}
        async with running(tmp_path, FILES, overrides=overrides) as app:
            for path in (hook, "it"):
                link(app).answer("GET", path)
                await app.call("orders.look", path=path)
            sent = ["traceparent" in request.headers for request in link(app).requests]
        assert sent == [False, trace]


async def test_a_link_is_real_in_a_test_unless_it_says_otherwise(tmp_path: Path) -> None:
    """Nothing is replaced behind its back."""
    async with boot(write(tmp_path, FILES)) as app:
        assert isinstance(app.driver("payments"), http.Driver)


def test_a_link_that_is_not_configured_refuses_the_start(tmp_path: Path) -> None:
    """Even where another is: a request must not go to whoever happens to be there."""
    toml = '[tools.fetch]\nbase_url = "https://a.test/"\n[tools.other]\ntool = "db"\n'
    findings = found(tmp_path, {"domains/orders/pay.py": PAY, "ringfence.toml": toml})
    absent, wrong = sorted(findings, key=lambda f: f.message, reverse=True)
    assert "tools.payments" in absent.message
    assert "`payments: Fetch`" in absent.message
    assert '[tools.payments] with `tool = "fetch"`' in absent.fix
    assert "tools.other" in wrong.message
    assert "of the tool db" in wrong.message


async def test_a_field_called_fetch_is_the_link_of_that_name(tmp_path: Path) -> None:
    """Which needs its table like any other."""
    source = PAY.replace("payments", "fetch").replace("    other: Fetch\n", "")
    source = source.replace("self.other", "self.fetch")
    (finding,) = found(tmp_path, {"domains/orders/pay.py": source})
    assert finding.fix.startswith("write [tools.fetch];")
    write(tmp_path, {"ringfence.toml": '[tools.fetch]\nbase_url = "https://a.test/"\n'})
    assert check(tmp_path) == []


@pytest.mark.parametrize(
    "toml, said",
    [
        ('base_url = "http://localhost:8000/"', "`private = true`"),
        ('base_url = "http://127.0.0.1:8000/"', "`private = true`"),
        ('base_url = "https://[::1]/"', "`private = true`"),
        ('base_url = "https://169.254.169.254/"\nprivate = true', "`allow` that names it"),
        ('base_url = "http://pay.test/"\ntoken = "canary-9c51"', "unencrypted"),
        ('base_url = "pay.test"', "https://host/path/"),
        ("retries = 1", "no base_url"),
        ('base_url = "https://a.test/"\ntoken = "canary-9c51\\n"', "end of a line"),
        ('base_url = "https://a.test/"\ntoken = ""', "empty"),
        (
            'base_url = "https://a.test/"\ntoken = "a-canary"\nbasic = {user="u", password="p"}',
            "one of",
        ),
        ('base_url = "https://a.test/"\nheaders = {Host = "canary-9c51"}', "'Host'"),
        ('base_url = "https://a.test/"\nallow = ["localhost"]', "'localhost'"),
        ('base_url = "https://a.test/"\nabsolute = ["https://b.test/x"]', "takes origins"),
        ('absolute = ["https://*"]\nprivate = true', "second link"),
        ('base_url = "https://a.test/"\ntimout = "5s"', "timout"),
    ],
)
def test_a_table_that_is_wrong_is_refused_in_words(tmp_path: Path, toml: str, said: str) -> None:
    """Before anything starts, with the key, and without a secret, though the table has one."""
    text = f'[tools.fetch]\n{toml}\n[tools.fetch2]\ntool = "fetch"\nbase_url = "https://b.test"\n'
    (finding,) = found(tmp_path, {"domains/.keep": "", "ringfence.toml": text})
    assert said in f"{finding.message} {finding.fix}"
    assert finding.message.startswith("tools.fetch")
    assert CANARY not in str(finding)


async def test_a_start_that_is_refused_says_what_to_write(tmp_path: Path) -> None:
    """Exit code 2, one finding, no traceback."""
    files = {"domains/orders/pay.py": PAY, "ringfence.toml": "[tools.http]\nport = 0\n"}
    command = [sys.executable, "-m", "ringfence", "run", str(write(tmp_path, files))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "write [tools.payments]" in done.stderr


async def test_the_credential_is_in_no_output(tmp_path: Path) -> None:
    """Not in the log, the spans, an error, a status or the manifest: a canary is looked for."""
    other = OtherSide(Reply(500), Reply(403, {}, CANARY.encode()), Reply(200, {}, b"{}"))
    async with served(other) as base_url, running(tmp_path, files(base_url)) as app:
        errors: list[BaseException] = []
        for name, payload in (("orders.pay", {"amount": 1}),) * 3 + (
            ("orders.look", {"path": "../x"}),
        ):
            with pytest.raises(Exception) as failed:  # noqa: PT011 - each kind is looked through
                await app.call(name, **payload)
            errors.append(failed.value)
        assert any(isinstance(error, RefusedTarget) for error in errors)
        seen = [repr(app.spans), repr(app.status), repr(app.manifest), repr(app.driver("payments"))]
        log = app.driver("log")
        seen.append(repr(getattr(log, "records")))
        seen += [text for e in errors for text in (str(e), repr(e), repr(vars(e)))]
    assert other.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert [text for text in seen if CANARY in text] == []


def test_an_application_without_links_imports_no_client(tmp_path: Path) -> None:
    """What is not used costs neither time nor memory."""
    code = (
        "import asyncio, sys\n"
        "from ringfence.testing import boot\n"
        "async def start():\n"
        "    async with boot(sys.argv[1]):\n"
        "        assert 'ringfence.tools.fetch.contract' in sys.modules\n"
        "        names = ('h11', 'ringfence.tools.fetch.service')\n"
        "        print([name for name in names if name in sys.modules])\n"
        "asyncio.run(start())\n"
    )
    write(tmp_path, {"domains/.keep": ""})
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
