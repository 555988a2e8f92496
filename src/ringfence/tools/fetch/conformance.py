"""The executable contract of `fetch`: what every driver does, run against each of them.

    @pytest.mark.anyio
    class TestMyDriver(FetchConformance):
        @pytest.fixture
        def subject(self) -> Subject: ...

A driver for the network takes `served(respond)` of `doubles.py` for the other side.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date

import pytest
from msgspec import Struct, json

from ringfence.kernel.ports import Clock
from ringfence.settings import Secret
from ringfence.tools.fetch.contract import (
    BadResponse,
    Fetch,
    InvalidRequest,
    LinkUnavailable,
    OutcomeUnknown,
    Params,
    RefusedTarget,
    UnexpectedStatus,
)
from ringfence.tools.fetch.doubles import Recorded, Reply, Respond, StandingClock
from ringfence.tools.fetch.options import Config

TOKEN = "canary-6e1f"  # noqa: S105 - it is looked for, never used
JSON = {"content-type": "application/json"}
PROBLEM = {"content-type": "application/problem+json"}


class Subject(Struct, frozen=True):
    """How a link of a driver is made: `async with subject.open(respond, clock, config) as link`.

    Args:
        open: Takes what the other side does (None: nobody is there), a clock, and the keys of
            the link's table, as a function of the base URL that the driver needs.
    """

    open: Callable[
        [Respond | None, Clock, Callable[[str], Config]], AbstractAsyncContextManager[Fetch]
    ]


class Charge(Struct):
    """What a feature reads of an answer."""

    id: str
    amount: int


class OtherSide:
    """Answers with the replies given, one after the other, the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[Recorded] = []
        self._replies = list(replies) or [Reply()]

    async def __call__(self, request: Recorded) -> Reply:
        self.requests.append(request)
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and path of each request."""
        return [(request.method, request.path) for request in self.requests]


def link(
    subject: Subject, other: Respond | None, **keys: object
) -> AbstractAsyncContextManager[Fetch]:
    """Open a link on a clock that stands still."""

    def configured(base_url: str) -> Config:
        return Config(base_url=base_url, private=True, **keys)  # type: ignore[arg-type]

    return subject.open(other, StandingClock(), configured)


def answer(value: object, status: int = 200) -> Reply:
    """Return a reply with a body of JSON."""
    return Reply(status, JSON, json.encode(value))


class FetchConformance:
    """Derive it with a `subject` fixture."""

    async def test_a_request_arrives_as_it_was_meant(self, subject: Subject) -> None:
        """Method, path below the base, query and headers; the answer comes back whole."""
        other = OtherSide(Reply(200, {"x-kind": "plain"}, b"hello"))
        async with link(subject, other) as it:
            query: Params = {"a": 1, "b": ["x y", True], "c": None}
            got = await it.get("charges", "ch 1", params=query, headers={"X-Mine": "Zoë"})
        (request,) = other.requests
        assert (request.method, request.path) == ("GET", "charges/ch%201")
        assert request.query == "a=1&b=x%20y&b=true"
        assert request.headers["x-mine"] == "Zoë"
        assert (got.status, got.headers["x-kind"], got.body) == (200, "plain", b"hello")

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def test_every_method_is_answered(self, subject: Subject, method: str) -> None:
        """HEAD has no body, whatever the headers promise."""
        other = OtherSide(Reply(200, {}, b"body"))
        async with link(subject, other) as it:
            for _ in range(2):
                got = await it.request(method, "it")
                assert got.body == (b"" if method == "HEAD" else b"body")
        assert other.asked == [(method, "it")] * 2

    async def test_json_goes_out_and_comes_in_typed(self, subject: Subject) -> None:
        """A Struct is the body; the answer is read as the type that is asked for."""
        other = OtherSide(answer({"id": "ch_1", "amount": 5, "more": 1}, 201))
        async with link(subject, other) as it:
            charge = await it.post("charges", json=Charge("new", 5), into=Charge)
        assert charge == Charge("ch_1", 5)
        (request,) = other.requests
        assert request.json() == {"id": "new", "amount": 5}
        assert request.headers["content-type"] == "application/json"

    async def test_a_form_and_bytes_are_bodies_as_well(self, subject: Subject) -> None:
        """Each with its type; several bodies in one request are a mistake."""
        other = OtherSide()
        async with link(subject, other) as it:
            await it.post("a", form={"x": "1 2", "y": ["é", 3]})
            await it.put("b", content=b"\x00\x01", headers={"content-type": "image/png"})
            await it.post("c")
            with pytest.raises(InvalidRequest, match="several"):
                await it.post("d", form={}, json=1)
            with pytest.raises(InvalidRequest, match="a bytes"):
                await it.post("d", form={"x": b"1"})
            with pytest.raises(InvalidRequest, match="neither bytes"):
                await it.post("d", content="text")  # type: ignore[call-overload]
            with pytest.raises(InvalidRequest, match="as JSON"):
                await it.post("d", json=object())
        form, raw, empty = other.requests
        assert form.body == b"x=1%202&y=%C3%A9&y=3"
        assert form.headers["content-type"] == "application/x-www-form-urlencoded"
        assert (raw.body, raw.headers["content-type"]) == (b"\x00\x01", "image/png")
        assert empty.body == b""

    async def test_a_body_is_sent_in_pieces_once(self, subject: Subject) -> None:
        """What cannot be read twice is not sent twice, idempotent or not."""
        other = OtherSide(Reply(200), Reply(503))

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                yield bytes([65 + number]) * 70_000

        async with link(subject, other) as it:
            await it.put("blob", content=pieces())
            with pytest.raises(LinkUnavailable):
                await it.put("blob", content=pieces())
        assert [len(request.body) for request in other.requests] == [210_000, 210_000]

    async def test_an_answer_that_does_not_fit_is_refused_with_all_its_faults(
        self, subject: Subject
    ) -> None:
        """Also what is no JSON at all, and what has no body."""
        other = OtherSide(answer({"amount": "5"}), Reply(200, {}, b"<html>"), Reply(204))
        async with link(subject, other) as it:
            with pytest.raises(BadResponse) as refused:
                await it.get("charges/1", into=Charge)
            assert "$.id" in str(refused.value)
            assert "$.amount" in str(refused.value)
            for _ in range(2):
                with pytest.raises(BadResponse, match="no JSON"):
                    await it.get("charges/1", into=Charge)

    async def test_what_the_other_side_refuses_is_an_error_with_its_answer(
        self, subject: Subject
    ) -> None:
        """A 4xx is not tried again; `expect` makes it an answer."""
        body = json.encode({"title": "No such charge", "code": "gone"})
        other = OtherSide(Reply(404, PROBLEM, body))
        async with link(subject, other) as it:
            with pytest.raises(UnexpectedStatus) as refused:
                await it.get("charges/1")
            assert (await it.get("charges/1", expect={200, 404})).status == 404
        assert refused.value.response.status == 404
        assert refused.value.problem is not None
        assert refused.value.problem.code == "gone"
        assert "No such charge" in str(refused.value)
        assert len(other.requests) == 2

    @pytest.mark.parametrize("reply", [Reply(503), Reply(500), Reply(429), Reply(broken="lost")])
    async def test_what_may_be_repeated_is_tried_again(
        self, subject: Subject, reply: Reply
    ) -> None:
        """After an answer that says so, and after none."""
        other = OtherSide(reply, reply, answer("at last"))
        async with link(subject, other, retries=2) as it:
            assert await it.get("it", into=str) == "at last"
        assert len(other.requests) == 3

    async def test_retries_end_and_say_when_to_come_back(self, subject: Subject) -> None:
        """The other side's Retry-After is kept."""
        other = OtherSide(Reply(503, {"retry-after": "7"}))
        async with link(subject, other, retries=1) as it:
            with pytest.raises(LinkUnavailable, match="503; 2 attempts") as gone:
                await it.get("it")
        assert gone.value.retry_after_s == 7
        assert len(other.requests) == 2

    @pytest.mark.parametrize("reply", [Reply(500), Reply(504), Reply(broken="lost")])
    async def test_what_must_not_be_repeated_is_sent_once(
        self, subject: Subject, reply: Reply
    ) -> None:
        """Nobody knows whether it was done, and the error says so."""
        other = OtherSide(reply)
        async with link(subject, other, retries=5) as it:
            with pytest.raises(OutcomeUnknown, match="may have been done"):
                await it.post("charges", json=1)
        assert len(other.requests) == 1

    async def test_a_request_that_was_turned_away_was_not_done(self, subject: Subject) -> None:
        """A 503 to a POST is no unknown outcome, and is not repeated all the same."""
        other = OtherSide(Reply(503))
        async with link(subject, other, retries=5) as it:
            with pytest.raises(LinkUnavailable):
                await it.post("charges", json=1)
        assert len(other.requests) == 1

    async def test_with_a_key_it_may_be_repeated(self, subject: Subject) -> None:
        """Each attempt carries the same key."""
        other = OtherSide(Reply(broken="lost"), Reply(201))
        async with link(subject, other) as it:
            assert (await it.post("charges", json=1, idempotency_key="k-1")).status == 201
        assert [request.headers["idempotency-key"] for request in other.requests] == ["k-1"] * 2

    async def test_nobody_there_is_unavailable_for_everything(self, subject: Subject) -> None:
        """Nothing was sent, so a POST is none that may have been done."""
        async with link(subject, None) as it:
            for method in ("GET", "POST"):
                with pytest.raises(LinkUnavailable, match="3 attempts"):
                    await it.request(method, "it")

    @pytest.mark.parametrize(
        "path",
        [
            "../admin",
            "a/../../admin",
            "a/./b",
            "/admin",
            "//evil.example/x",
            "\\\\evil.example",
            "a\\..\\b",
            "%2e%2e/admin",
            "%252e%252e/admin",
            "a//b",
            "a?admin=1",
            "a#b",
            "http://evil.example/",
            "HTTPS://evil.example/",
            "a\r\nX: y",
            "a\x00b",
            "\ud800",
        ],
    )
    async def test_a_path_stays_below_the_base(self, subject: Subject, path: str) -> None:
        """Whatever could lead out of it, in whatever form, is refused, and nothing is sent."""
        other = OtherSide()
        async with link(subject, other) as it:
            with pytest.raises(RefusedTarget):
                await it.get(path)
        assert other.requests == []

    @pytest.mark.parametrize(
        "name", ["..", ".", "", "a/b", "a\\b", "%2e%2e", "..%2f", "%252e%252e", "a\nb"]
    )
    async def test_a_segment_is_one_name(self, subject: Subject, name: str) -> None:
        """What comes from outside cannot become a path."""
        other = OtherSide()
        async with link(subject, other) as it:
            with pytest.raises(RefusedTarget):
                await it.get("charges", name)
        assert other.requests == []

    async def test_the_credential_is_sent_and_told_to_nobody(self, subject: Subject) -> None:
        """It is in the request, and in no error and no repr."""
        other = OtherSide(Reply(200), Reply(403, {}, TOKEN.encode()), Reply(500), Reply(200))
        keys = {"token": Secret(TOKEN), "headers": {"X-Key": Secret(TOKEN)}, "retries": 0}
        said: list[object] = []
        async with link(subject, other, **keys) as it:
            said += [await it.get("it"), it]
            for _ in range(2):
                with pytest.raises((UnexpectedStatus, LinkUnavailable)) as failed:
                    await it.get("it")
                said += [failed.value, failed.value.args]
            with pytest.raises(InvalidRequest) as failed_early:
                await it.get("it", headers={"Authorization": "mine"})
            said.append(failed_early.value)
            with pytest.raises(InvalidRequest) as failed_late:
                await it.get("it", headers={"X-Other": f"{TOKEN}\r\nX: y"})
            said.append(failed_late.value)
        assert other.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
        assert other.requests[0].headers["x-key"] == TOKEN
        assert len(other.requests) == 3
        assert [text for thing in said for text in (str(thing), repr(thing)) if TOKEN in text] == []

    @pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "a b", "é"])
    async def test_what_frames_a_message_is_not_the_features_to_set(
        self, subject: Subject, name: str
    ) -> None:
        """Neither is what is no header."""
        other = OtherSide()
        async with link(subject, other) as it:
            with pytest.raises(InvalidRequest):
                await it.get("it", headers={name: "x"})
        assert other.requests == []

    @pytest.mark.parametrize(
        "options",
        [
            {"timeout": 3},
            {"expect": 404},
            {"expect": "404"},
            {"params": [("a", "1")]},
            {"params": {"a": date(2030, 1, 1)}},
            {"params": {"a": {"b": 1}}},
            {"form": None},
            {"headers": {"X-A": 5}},
            {"headers": {b"X-A": "5"}},
            {"idempotency_key": " "},
            {"idempotency_key": 5},
        ],
        ids=str,
    )
    async def test_what_no_request_can_have_is_refused_before_it_is_sent(
        self, subject: Subject, options: dict[str, object]
    ) -> None:
        """A misspelt option is as good as none, and a key of nothing protects nothing."""
        other = OtherSide()
        async with link(subject, other) as it:
            with pytest.raises(InvalidRequest):
                await it.post("charges", **options)  # type: ignore[call-overload]
            with pytest.raises(RefusedTarget, match="got int"):
                await it.post("charges", 5)  # type: ignore[call-overload]
        assert other.requests == []

    async def test_a_compressed_answer_is_its_content(self, subject: Subject) -> None:
        """Also in several members; what breaks off or is none is refused."""
        packed = gzip.compress(b"hello ") + gzip.compress(b"world")
        encoded = {"content-encoding": "gzip"}
        other = OtherSide(
            Reply(200, encoded, packed), Reply(200, encoded, packed[:-4]), Reply(200, encoded, b"?")
        )
        async with link(subject, other) as it:
            assert (await it.get("it")).body == b"hello world"
            for _ in range(2):
                with pytest.raises(BadResponse):
                    await it.get("it")

    async def test_an_answer_is_as_large_as_the_link_allows(self, subject: Subject) -> None:
        """By what it unpacks to, and not a byte more is kept of a bomb."""
        bomb = Reply(200, {"content-encoding": "gzip"}, gzip.compress(bytes(50 << 20)))
        other = OtherSide(Reply(200, {}, bytes(1000)), Reply(200, {}, bytes(1001)), bomb)
        async with link(subject, other, max_bytes=1000) as it:
            assert len((await it.get("it")).body) == 1000
            for _ in range(2):
                with pytest.raises(BadResponse, match="max_bytes"):
                    await it.get("it")

    async def test_a_large_answer_is_streamed(self, subject: Subject) -> None:
        """Beyond the link's limit, in bounded pieces, with its head at hand."""
        body = gzip.compress(bytes(3 << 20))
        other = OtherSide(Reply(200, {"content-encoding": "gzip"}, body))
        async with (
            link(subject, other, max_bytes=1000) as it,
            it.stream("GET", "export") as download,
        ):
            assert download.head().status == 200
            sizes = [len(piece) async for piece in download.chunks()]
        assert sum(sizes) == 3 << 20
        assert max(sizes) <= 64 << 10

    async def test_a_stream_that_was_left_early_is_closed(self, subject: Subject) -> None:
        """With one connection, the next request has it, or a new one."""
        other = OtherSide(Reply(200, {}, bytes(3 << 20)), answer("next"))
        async with link(subject, other, connections=1) as it:
            async with it.stream("GET", "export") as download:
                async for _ in download.chunks():
                    break
            assert await it.get("it", into=str) == "next"

    async def test_a_stream_that_breaks_off_says_so(self, subject: Subject) -> None:
        """What came before is not taken for the whole; nor is a body that is read at once."""
        other = OtherSide(Reply(200, {}, b"half", cut=True))
        async with link(subject, other, retries=0) as it:
            with pytest.raises(LinkUnavailable):
                async with it.stream("GET", "export") as download:
                    assert [piece async for piece in download.chunks()] == [b"half"]
            with pytest.raises(LinkUnavailable):
                await it.get("export")

    async def test_a_stream_is_judged_by_its_status_first(self, subject: Subject) -> None:
        """An error is raised before the block begins."""
        other = OtherSide(Reply(404, {}, b"no"))
        async with link(subject, other) as it:
            with pytest.raises(UnexpectedStatus):
                async with it.stream("GET", "export"):
                    pytest.fail("it began")

    async def test_a_redirect_is_an_error_unless_the_link_follows(self, subject: Subject) -> None:
        """Then it follows within the link, as often as it may."""
        moved = Reply(302, {"location": "there"})
        other = OtherSide(moved, moved, answer("here"), moved)
        async with link(subject, other) as it:
            with pytest.raises(UnexpectedStatus, match="redirects"):
                await it.get("it")
        async with link(subject, other, redirects=2) as it:
            assert await it.get("it", params={"a": 1}, into=str) == "here"
            with pytest.raises(UnexpectedStatus, match="302"):
                await it.post("it")
            with pytest.raises(UnexpectedStatus, match="302"):
                await it.get("it")
        assert other.asked[1:3] == [("GET", "it"), ("GET", "there")]
        assert [request.query for request in other.requests[1:3]] == ["a=1", ""]
        assert len(other.requests) == 1 + 2 + 1 + 3

    @pytest.mark.parametrize(
        "location",
        [
            "/admin",
            "../admin",
            "http://169.254.169.254/latest",
            "//evil.example/",
            "%2e%2e/x",
            "\\x",
        ],
    )
    async def test_a_redirect_never_leads_out_of_the_link(
        self, subject: Subject, location: str
    ) -> None:
        """Nothing is sent there."""
        other = OtherSide(Reply(302, {"location": location}))
        async with link(subject, other, redirects=3) as it:
            with pytest.raises(RefusedTarget):
                await it.get("it")
        assert len(other.requests) == 1

    async def test_an_answer_that_does_not_come_is_not_waited_for(self, subject: Subject) -> None:
        """The link's timeout counts for each attempt; the connection is given up."""
        clock, silent = StandingClock(), asyncio.Event()
        asked: list[Recorded] = []

        async def respond(request: Recorded) -> Reply:
            asked.append(request)
            if len(asked) < 2:
                silent.set()
                await asyncio.Event().wait()
            return answer("second")

        def configured(base_url: str) -> Config:
            return Config(base_url=base_url, private=True, connections=1)

        async with subject.open(respond, clock, configured) as it:
            asking = asyncio.ensure_future(it.get("it", into=str))
            await silent.wait()
            await clock.elapse(11)
            assert await asking == "second"

    async def test_a_cancelled_request_leaves_the_link_usable(self, subject: Subject) -> None:
        """Its connection is not given to the next one."""
        silent = asyncio.Event()
        asked: list[Recorded] = []

        async def respond(request: Recorded) -> Reply:
            asked.append(request)
            if len(asked) == 1:
                silent.set()
                await asyncio.Event().wait()
            return answer(request.path)

        async with link(subject, respond, connections=1) as it:
            asking = asyncio.ensure_future(it.get("first"))
            await silent.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert await it.get("second", into=str) == "second"

    async def test_many_requests_get_their_own_answers(self, subject: Subject) -> None:
        """However they share connections."""

        async def respond(request: Recorded) -> Reply:
            await asyncio.sleep(0)
            return answer(request.path)

        names: Sequence[str] = [f"it-{number}" for number in range(40)]
        async with link(subject, respond, connections=4) as it:
            got = await asyncio.gather(*(it.get(name, into=str) for name in names))
        assert got == names
