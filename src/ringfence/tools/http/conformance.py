"""The executable contract of HTTP ingress drivers: what each does, run against every one of them.

    @pytest.mark.anyio
    class TestMyDriver(HttpConformance):
        @pytest.fixture
        def subject(self) -> Subject: ...

Operations are plain coroutine functions here, made into endpoints by `endpoint`; the fixture says
how the driver is made, and how a request reaches it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Protocol, cast

from msgspec import Meta, Struct, json

from ringfence.errors import Invalid, NotFound, RingfenceError
from ringfence.kernel.ports import (
    Endpoint,
    Health,
    Inbound,
    Principal,
    StaticName,
    ToolEnv,
)
from ringfence.tools.http.answers.reply import Reply
from ringfence.tools.http.binding.markers import Cookie, Header
from ringfence.tools.http.contract import Method, Route
from ringfence.tools.http.doubles import TRACE, Operation, Served, endpoint
from ringfence.tools.http.doubles import LoopClock as LoopClock
from ringfence.tools.http.doubles import environment as environment
from ringfence.tools.http.live.streams import Stream


class Ingress(Protocol):
    """An HTTP driver, from making to stopping."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def bind(self, endpoints: Sequence[Endpoint], absent: Sequence[StaticName]) -> None: ...
    async def open(self) -> None: ...
    async def close(self, grace_s: float) -> None: ...


class Answered(Struct, frozen=True):
    """What a client got. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def problem(self) -> dict[str, object]:
        """The body of an answer that is an error."""
        assert self.headers["content-type"] == "application/problem+json"
        return json.decode(self.body, type=dict[str, object])


class Client(Protocol):
    """Sends one request to a driver. Raises OSError when nothing takes it."""

    async def __call__(
        self,
        driver: Ingress,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes,
    ) -> Answered: ...


class Subject(Struct, frozen=True):
    """How a driver is made, from keys of its Config and an environment; how it is reached."""

    make: Callable[[Mapping[str, object], ToolEnv], Ingress]
    client: Client


class NewOrder(Struct):
    """A body."""

    sku: str
    quantity: Annotated[int, Meta(gt=0, le=1000)]


class Order(Struct):
    """An answer."""

    id: int
    sku: str
    quantity: int


async def _place(order: NewOrder) -> Order:
    assert type(order) is NewOrder
    return Order(7, order.sku, order.quantity)


async def _order(order_id: int, verbose: bool = False) -> Order:
    return Order(order_id, "verbose" if verbose else "terse", 1)


async def _named(name: str) -> str:
    return name


async def _nothing() -> None:
    return None


async def _absent() -> None:
    raise NotFound("no such order")


async def _broken() -> None:
    raise RingfenceError("the password is hunter2")


async def _invalid() -> None:
    raise Invalid("these do not go together")


ENDPOINTS = (
    endpoint("POST", "/orders", _place, 201),
    endpoint("GET", "/orders/{order_id}", _order),
    endpoint("GET", "/names/{name}", _named),
    endpoint("DELETE", "/nothing", _nothing),
    endpoint("GET", "/absent", _absent),
    endpoint("GET", "/broken", _broken),
    endpoint("GET", "/invalid", _invalid),
)
JSON = {"content-type": "application/json"}
NO_HEADERS: Mapping[str, str] = {}
OUTSIDE = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"  # a trace and a span of somebody else


class Watched(Served):
    """An endpoint that keeps what came in with each request."""

    def __init__(self, method: Method, path: str, function: Operation) -> None:
        super().__init__(Route(method, path), function)
        self.inbound: list[Inbound | None] = []

    async def open(
        self,
        args: tuple[object, ...],
        principal: Principal | None = None,
        tenant: str | None = None,
        inbound: Inbound | None = None,
    ) -> object:
        self.inbound.append(inbound)
        return await super().open(args, principal, tenant, inbound)


class Site:
    """A driver that serves, and a client for it."""

    def __init__(self, subject: Subject, driver: Ingress) -> None:
        self.driver = driver
        self._client = subject.client

    async def get(
        self, target: str, method: str = "GET", headers: Mapping[str, str] = NO_HEADERS
    ) -> Answered:
        """Send a request without a body."""
        return await self._client(self.driver, method, target, headers, b"")

    async def post(
        self, content: bytes, target: str = "/orders", headers: Mapping[str, str] = JSON
    ) -> Answered:
        """Send a request with a body."""
        return await self._client(self.driver, "POST", target, headers, content)


@asynccontextmanager
async def serving(
    subject: Subject,
    endpoints: Sequence[Endpoint] = ENDPOINTS,
    absent: Sequence[StaticName] = (),
    env: ToolEnv | None = None,
    **config: object,
) -> AsyncIterator[Site]:
    """Serve `endpoints` while the block runs."""
    driver = subject.make(config, env or environment())
    try:
        await driver.start()
        driver.bind(endpoints, absent)
        await driver.open()
        yield Site(subject, driver)
        await driver.close(1.0)
    finally:
        await driver.stop()


class HttpConformance:
    """Derive it with a `subject` fixture."""

    async def test_a_value_is_answered_as_json(self, subject: Subject) -> None:
        """Status, type and length are those of the value."""
        async with serving(subject) as site:
            answered = await site.get("/orders/12?verbose=true")
        assert answered.status == 200
        assert answered.headers["content-type"] == "application/json"
        assert answered.body == b'{"id":12,"sku":"verbose","quantity":1}'
        assert answered.headers["content-length"] == str(len(answered.body))

    async def test_a_body_is_read_into_its_declared_class(self, subject: Subject) -> None:
        """A valid body reaches the operation; the route's status is the answer's."""
        async with serving(subject) as site:
            answered = await site.post(b'{"sku":"a","quantity":3}')
        assert (answered.status, answered.body) == (201, b'{"id":7,"sku":"a","quantity":3}')

    async def test_none_is_answered_without_a_body(self, subject: Subject) -> None:
        """None is 204."""
        async with serving(subject) as site:
            answered = await site.get("/nothing", "DELETE")
        assert (answered.status, answered.body) == (204, b"")

    async def test_head_answers_as_get_without_the_body(self, subject: Subject) -> None:
        """Only the body is left out."""
        async with serving(subject) as site:
            whole, head = await site.get("/orders/1"), await site.get("/orders/1", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.body))

    async def test_an_encoded_slash_leads_nowhere(self, subject: Subject) -> None:
        """What a parameter stands for is one name; anything else in it is only text."""
        async with serving(subject) as site:
            answered = await site.get("/names/a%20%C3%A9")
            assert answered.body == '"a é"'.encode()
            assert (await site.get("/names/a%2Fb")).status == 404

    async def test_a_path_that_nothing_serves_is_404(self, subject: Subject) -> None:
        """It says so by its code, and where the paths are listed."""
        async with serving(subject) as site:
            answered = await site.get("/nowhere")
        assert (answered.status, answered.problem()["code"]) == (404, "no_such_route")
        assert "/openapi.json" in str(answered.problem()["detail"])

    async def test_a_query_comes_as_it_was_sent(self, subject: Subject) -> None:
        """Names that are there several times, escapes, and plus signs, in their order."""

        async def echo(word: list[str]) -> list[str]:
            return word

        async with serving(subject, [endpoint("GET", "/echo", echo)]) as site:
            answered = await site.get("/echo?word=b&word=a+c&word=%C3%A9%26&word=")
        assert json.decode(answered.body) == ["b", "a c", "é&", ""]

    async def test_headers_and_cookies_come_as_they_were_sent(self, subject: Subject) -> None:
        """Whatever the case of their names."""

        async def echo(x_word: Header[str], sid: Cookie[str]) -> list[str]:
            return [x_word, sid]

        sent = {"X-Word": "a, b", "Cookie": "other=1; sid=two"}
        async with serving(subject, [endpoint("GET", "/echo", echo)]) as site:
            answered = await site.get("/echo", headers=sent)
        assert json.decode(answered.body) == ["a, b", "two"]

    async def test_bytes_come_and_go_unchanged(self, subject: Subject) -> None:
        """A body that is no text, and one of a megabyte; neither is taken for JSON."""

        async def turn(body: bytes) -> Reply[bytes]:
            return Reply(body[::-1], headers={"content-type": "application/octet-stream"})

        every, long = bytes(range(256)), bytes(range(256)) * 4096
        async with serving(subject, [endpoint("POST", "/turn", turn)]) as site:
            for content in (every, long):
                answered = await site.post(content, "/turn", {"content-type": "image/png"})
                assert answered.body == content[::-1]
        assert answered.headers["content-type"] == "application/octet-stream"

    async def test_an_answer_in_parts_comes_whole(self, subject: Subject) -> None:
        """Each part waits for the one before it to be on its way."""

        async def parts() -> AsyncIterator[bytes]:
            for number in range(100):
                yield b"%d\n" % number

        async def answer() -> Stream:
            return Stream(parts(), media_type="text/plain")

        async with serving(subject, [endpoint("GET", "/parts", answer)]) as site:
            answered = await site.get("/parts")
        assert answered.body.split() == [b"%d" % number for number in range(100)]

    async def test_a_host_that_is_not_served_is_421(self, subject: Subject) -> None:
        """`allowed_hosts` counts, whatever the transport; a port in it does not matter."""
        async with serving(subject, allowed_hosts=("shop.example.com",)) as site:
            served = await site.get("/orders/1", headers={"host": "shop.example.com:8000"})
            other = await site.get("/orders/1", headers={"host": "evil.example.com"})
        assert (served.status, other.status) == (200, 421)

    async def test_a_strangers_trace_is_linked_and_no_more(self, subject: Subject) -> None:
        """What `traceparent` says is kept beside our own trace; nobody outside names that."""
        watched = Watched("GET", "/orders/{order_id}", _order)
        async with serving(subject, [watched]) as site:
            await site.get("/orders/1", headers={"traceparent": f"00-{OUTSIDE}-01"})
            await site.get("/orders/1", headers={"traceparent": "nonsense"})
            await site.get("/orders/1")
        told, *untold = watched.inbound
        assert told == Inbound(link=OUTSIDE, trace=None)
        assert {each.link if each else "" for each in untold} == {""}

    async def test_a_method_that_nothing_serves_is_405(self, subject: Subject) -> None:
        """The header Allow says which are served."""
        async with serving(subject) as site:
            answered = await site.get("/orders/1", "DELETE")
        assert (answered.status, answered.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        assert answered.problem()["detail"] == "expected GET, HEAD at this path, got DELETE"

    async def test_every_fault_of_a_request_is_listed(self, subject: Subject) -> None:
        """A body with three faults is answered with three."""
        async with serving(subject) as site:
            answered = await site.post(b'{"quantity":0,"qantity":1}')
        problem = answered.problem()
        assert (answered.status, problem["code"]) == (422, "invalid")
        errors = cast("list[dict[str, str]]", problem["errors"])
        assert sorted(e["path"] for e in errors) == ["$.qantity", "$.quantity", "$.sku"]

    async def test_what_is_not_json_is_400(self, subject: Subject) -> None:
        """The position of the fault is told."""
        async with serving(subject) as site:
            answered = await site.post(b'{"sku": oops}')
        assert (answered.status, answered.problem()["code"]) == (400, "malformed_json")
        assert "byte 8" in str(answered.problem()["detail"])

    async def test_deep_nesting_is_400(self, subject: Subject) -> None:
        """100,000 brackets end neither the process nor the connection's answer."""
        async with serving(subject) as site:
            answered = await site.post(b'{"x":' + b"[" * 100_000)
        assert answered.status == 400

    async def test_a_body_that_is_too_long_is_413(self, subject: Subject) -> None:
        """One byte more than the limit is too much."""
        async with serving(subject, max_body_bytes=32) as site:
            fits = await site.post(b'{"sku":"a","quantity":3}'.ljust(32))
            over = await site.post(b'{"sku":"a","quantity":3}'.ljust(33))
        assert (fits.status, over.status) == (201, 413)

    async def test_a_body_of_another_type_is_415(self, subject: Subject) -> None:
        """A form, or a body without a type, is not read as JSON."""
        async with serving(subject) as site:
            form = {"content-type": "application/x-www-form-urlencoded"}
            assert (await site.post(b"{}", headers=form)).status == 415

    async def test_a_target_that_is_too_long_is_414(self, subject: Subject) -> None:
        """Path and query count together."""
        async with serving(subject, max_target_bytes=64) as site:
            assert (await site.get("/orders/1?verbose=" + "1" * 60)).status == 414
            assert (await site.get("/" + "a" * 64)).status == 414

    async def test_an_expected_error_is_told(self, subject: Subject) -> None:
        """Its code, message and trace id are in the answer."""
        async with serving(subject) as site:
            answered = await site.get("/absent")
        assert answered.problem() == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "code": "not_found",
            "detail": "no such order",
            "trace_id": TRACE,
        }

    async def test_a_fault_of_the_server_is_not_told(self, subject: Subject) -> None:
        """Strangers get the trace id, and nothing of the message."""
        async with serving(subject) as site:
            answered = await site.get("/broken")
        assert (answered.status, answered.problem()["code"]) == (500, "internal")
        assert answered.problem()["trace_id"] == TRACE
        assert b"hunter2" not in answered.body

    async def test_health_is_told_without_reasons(self, subject: Subject) -> None:
        """Degraded serves; starting and stopping do not; nobody learns why."""
        states: list[Health] = []
        env = environment(health=lambda: states[-1])
        async with serving(subject, env=env) as site:
            seen: list[tuple[int, bytes]] = []
            for state in ("ready", "degraded", "starting", "stopping"):
                states.append(Health(state, ("the database is down",)))
                answered = await site.get("/health/ready")
                seen.append((answered.status, answered.body))
            live = await site.get("/health/live")
        assert seen == [
            (200, b'{"status":"ready"}'),
            (200, b'{"status":"degraded"}'),
            (503, b'{"status":"starting"}'),
            (503, b'{"status":"stopping"}'),
        ]
        assert live.status == 200

    async def test_a_quarantined_route_is_503(self, subject: Subject) -> None:
        """It is known, but not served; its reason stays inside."""
        absent = [StaticName("post", "/refunds/{id}", "refunds.Refund", "SyntaxError: secret")]
        async with serving(subject, absent=absent) as site:
            answered = await site.get("/refunds/1", "POST")
        assert (answered.status, answered.problem()["code"]) == (503, "plugin_quarantined")
        assert b"secret" not in answered.body

    async def test_requests_are_served_side_by_side(self, subject: Subject) -> None:
        """A request that waits holds up no other."""
        met = asyncio.Barrier(2)

        async def meet() -> str:
            await met.wait()
            return "met"

        async with serving(subject, [endpoint("GET", "/meet", meet)]) as site:
            both = await asyncio.gather(site.get("/meet"), site.get("/meet"))
        assert [answered.body for answered in both] == [b'"met"', b'"met"']

    async def test_closing_lets_requests_in_progress_end(self, subject: Subject) -> None:
        """A request that began before `close` is answered in full."""
        entered, released = asyncio.Event(), asyncio.Event()

        async def wait() -> str:
            entered.set()
            await released.wait()
            return "done"

        async with serving(subject, [endpoint("GET", "/wait", wait)]) as site:
            request = asyncio.ensure_future(site.get("/wait"))
            await entered.wait()
            closing = asyncio.ensure_future(site.driver.close(10.0))
            await asyncio.sleep(0)
            released.set()
            await closing
            assert (await request).body == b'"done"'

    async def test_closing_cancels_what_outlives_the_grace(self, subject: Subject) -> None:
        """The operation is cancelled, its client told that the application is stopping."""
        entered, cancelled = asyncio.Event(), asyncio.Event()

        async def hang() -> None:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with serving(subject, [endpoint("GET", "/hang", hang)]) as site:
            request = asyncio.ensure_future(site.get("/hang"))
            await entered.wait()
            await site.driver.close(0.01)
            assert cancelled.is_set()
            answered = await request
        assert (answered.status, answered.problem()["code"]) == (503, "stopping")

    async def test_nothing_is_served_after_closing(self, subject: Subject) -> None:
        """A new request finds nobody, or is told that the application is stopping."""
        async with serving(subject) as site:
            await site.driver.close(0)
            try:
                answered = await site.get("/orders/1")
            except OSError:
                return
        assert answered.status == 503

    async def test_an_application_describes_itself(self, subject: Subject) -> None:
        """The OpenAPI document lists what is served."""
        async with serving(subject) as site:
            answered = await site.get("/openapi.json")
        document = json.decode(answered.body, type=dict[str, object])
        assert document["openapi"] == "3.1.0"
        assert "/orders/{order_id}" in cast("dict[str, object]", document["paths"])


__all__ = [
    "Answered",
    "Client",
    "HttpConformance",
    "Ingress",
    "LoopClock",
    "Served",
    "Subject",
    "endpoint",
    "environment",
    "serving",
]
