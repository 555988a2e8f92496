"""What is found wrong with routes before anything starts."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypedDict

import pytest
from msgspec import Struct, structs

from ringfence.errors import Finding
from ringfence.kernel.ports import Declaration, Facts
from ringfence.tools.http import (
    SPEC,
    BodyStream,
    Cookie,
    Form,
    Header,
    Request,
    UploadFile,
    delete,
    get,
    patch,
    post,
    put,
    websocket,
)
from ringfence.tools.http.answers.files import File
from ringfence.tools.http.doubles import Served, endpoint
from ringfence.tools.http.live.sockets import WebSocket
from ringfence.tools.http.live.streams import EventStream, Stream


class _Named(Declaration, frozen=True):
    """What a plugin offers to others by name, as the kernel declares it."""

    kind = "service"

    @property
    def key(self) -> str:
        return "orders.take"


class Line(Struct):
    sku: str


class Nested(Struct):
    line: Line


class Opaque:
    """Nothing that msgspec knows."""


class Holder(TypedDict):
    opaque: Opaque


def found(*endpoints: Served) -> list[Finding]:
    assert SPEC.check is not None
    return SPEC.check(Facts([e.declared for e in endpoints], {}, Path()))


async def plain() -> None: ...
async def by_id(order_id: int) -> Line | None: ...
async def by_list(order_id: list[int]) -> None: ...
async def by_line(order_id: Line) -> None: ...
async def two(a: Line, b: Line) -> None: ...
async def many(lines: list[Line]) -> None: ...
async def nested(query: Nested) -> None: ...
async def opaque(what: Opaque) -> None: ...
async def anything(what: object) -> None: ...
async def raw(what: bytes) -> None: ...
async def mixed(what: int | str) -> None: ...
async def holder() -> Holder | None: ...
async def several(photo: UploadFile, order: Line) -> None: ...
async def bytes_too(order: Line, raw: bytes) -> None: ...
async def streamed_too(title: Form[str], body: BodyStream) -> None: ...
async def two_forms(a: Form[Line], b: Form[Line]) -> None: ...
async def uploaded(photo: UploadFile, line: Form[Line], note: Form[str] = "") -> None: ...
async def in_form(line: Form[Nested]) -> None: ...
async def by_header(line: Header[Line]) -> None: ...
async def by_headers(n: Header[int], sid: Cookie[str] = "", r: Header[list[int]] = []) -> None: ...  # noqa: B006
async def by_cookies(ids: Cookie[list[int]]) -> None: ...
async def marked(order_id: Header[str]) -> None: ...
async def live(socket: WebSocket, request: Request, q: Line) -> None: ...
async def twice_live(one: WebSocket, two: WebSocket) -> None: ...
async def told(socket: WebSocket) -> Line:
    raise NotImplementedError


async def maybe_file() -> File | None: ...
async def streamed() -> Stream:
    raise NotImplementedError


async def fed() -> EventStream[Line]:
    raise NotImplementedError


async def fed_badly() -> EventStream[Opaque]:
    raise NotImplementedError


async def listed(a: list[int], q: str | None = None) -> dict[str, list[Line]] | None: ...


def test_what_is_right_is_not_found() -> None:
    """Routes that differ in method or in text are different."""
    assert (
        found(
            endpoint("GET", "/orders/{order_id}", by_id),
            endpoint("DELETE", "/orders/{order_id}", by_id),
            endpoint("GET", "/orders/all", listed),
            endpoint("POST", "/orders", many),
            endpoint("GET", "/", plain, 202),
            endpoint("POST", "/raw", raw),
            endpoint("PUT", "/photo", uploaded, 201),
            endpoint("GET", "/header", by_headers),
            endpoint("WEBSOCKET", "/", live),
            endpoint("GET", "/file", maybe_file),
            endpoint("GET", "/stream", streamed, 201),
            endpoint("GET", "/feed", fed),
        )
        == []
    )


@pytest.mark.parametrize(
    "method, path, function, status, rule, said",
    [
        ("GET", "orders", plain, 200, "RF301", "does not begin with '/'"),
        ("GET", "/o/{order_id}/", by_id, 200, "RF301", "a segment is empty"),
        ("GET", "/o/{order_id:int}", by_id, 200, "RF301", "segment '{order_id:int}'"),
        ("GET", "/o/{id}", plain, 200, "RF303", "no parameter 'id'"),
        ("GET", "/o/{order_id}", by_list, 200, "RF304", "list[int]"),
        ("GET", "/o/{order_id}", by_line, 200, "RF304", "Line"),
        ("POST", "/o", two, 200, "RF305", "'a' and 'b'"),
        ("GET", "/o", two, 200, "RF305", "'a' and 'b'"),
        ("GET", "/o", many, 200, "RF306", "GET has no body"),
        ("DELETE", "/o", nested, 200, "RF306", "field 'line'"),
        ("POST", "/o", opaque, 200, "RF307", "Opaque"),
        ("POST", "/o", anything, 200, "RF307", "object"),
        ("GET", "/o", raw, 200, "RF306", "GET has no body"),
        ("GET", "/o", mixed, 200, "RF307", "int | str"),
        ("GET", "/o/{order_id}", marked, 200, "RF304", "marked as a header"),
        ("POST", "/o", several, 200, "RF305", "'photo' and 'order'"),
        ("POST", "/o", bytes_too, 200, "RF305", "'order' and 'raw'"),
        ("POST", "/o", streamed_too, 200, "RF305", "'title' and 'body'"),
        ("POST", "/o", two_forms, 200, "RF305", "'a' and 'b'"),
        ("DELETE", "/o", several, 200, "RF306", "'photo' is UploadFile"),
        ("POST", "/o", in_form, 200, "RF311", "field 'line' of form 'line'"),
        ("GET", "/o", by_header, 200, "RF311", "header 'line' is Line"),
        ("GET", "/o", by_cookies, 200, "RF311", "expected a scalar"),
        ("GET", "/o", live, 200, "RF313", "GET opens none"),
        ("WEBSOCKET", "/o", plain, 200, "RF313", "0 parameters"),
        ("WEBSOCKET", "/o", twice_live, 200, "RF313", "2 parameters"),
        ("WEBSOCKET", "/o", told, 200, "RF313", "reach nobody"),
        ("GET", "/o", fed_badly, 200, "RF309", "Opaque"),
        ("POST", "/o", maybe_file, 201, "RF310", "200, 206 or 304"),
        ("POST", "/o", streamed, 204, "RF310", "has no body"),
        ("GET", "/health/live", plain, 200, "RF308", "answers itself"),
        ("POST", "/openapi.json", plain, 200, "RF308", "answers itself"),
        ("GET", "/o", holder, 200, "RF309", "Opaque"),
        ("GET", "/o", plain, 404, "RF310", "status 404"),
        ("GET", "/o/{order_id}", by_id, 204, "RF310", "has no body"),
    ],
)
def test_each_fault_has_its_rule(
    method: str,
    path: str,
    function: Callable[..., object],
    status: int,
    rule: str,
    said: str,
) -> None:
    """With its place, its cause and a fix."""
    (finding,) = found(endpoint(method, path, function, status))  # type: ignore[arg-type]
    assert (finding.rule, finding.file, finding.line) == (rule, "domains/orders/feature.py", 1)
    assert said in finding.message
    assert finding.fix


@pytest.mark.parametrize(
    "package, name, said",
    [
        ("starlette.background", "BackgroundTasks", "ctx.spawn"),
        ("starlette.responses", "Response", "Reply"),
        ("sqlalchemy.ext.asyncio.session", "AsyncSession", "db: Database"),
        ("django.http.request", "HttpRequest", "ringfence.tools.http"),
        ("elsewhere", "Response", "use a scalar"),
    ],
)
def test_what_another_framework_hands_in_is_told_where_to_get(
    package: str, name: str, said: str
) -> None:
    """Its name is known; what stands for it here is another thing."""

    async def asked(it: object) -> None: ...

    asked.__annotations__["it"] = type(name, (), {"__module__": package})
    (finding,) = found(endpoint("POST", "/o", asked))
    assert finding.rule == "RF307"
    assert said in finding.fix


@pytest.mark.parametrize("decorator", [get, post, put, patch, delete, websocket])
@pytest.mark.parametrize(
    "given, said", [("status_code", "write `status=`"), ("response_model", "annotate")]
)
def test_a_decorator_tells_those_who_know_another_one(
    decorator: Callable[..., object], given: str, said: str
) -> None:
    """What it does not take, and what to write."""
    with pytest.raises(TypeError, match=rf"{decorator.__name__}\(\) takes no `{given}`: {said}"):
        decorator("/o", **{given: 201})
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        decorator("/o", stauts=201)


def test_arguments_of_a_decorator_have_their_types() -> None:
    """What a type checker would have refused is found, and nothing else trips over it."""
    wrong: list[tuple[object, object]] = [(5, 200), ("/o", "201"), (None, 200)]
    for path, status in wrong:
        (finding,) = found(endpoint("GET", path, plain, status))  # type: ignore[arg-type]
        assert finding.rule == "RF301"


def test_a_path_that_cannot_be_read_is_nobodys() -> None:
    """Two that are written alike are two mistakes, and no quarrel about one route."""
    wrong = endpoint("GET", "orders", plain), endpoint("GET", "orders", plain)
    assert [finding.rule for finding in found(*wrong)] == ["RF301", "RF301"]


def test_a_route_has_one_owner() -> None:
    """Names of path parameters do not tell routes apart, and both owners are named."""
    (finding,) = found(
        endpoint("GET", "/orders/{order_id}", by_id), endpoint("GET", "/orders/{other}", other)
    )
    assert finding.rule == "RF302"
    assert "by_id.Plugin.by_id" in finding.message
    assert "other.Plugin.other" in finding.message


async def other(other: int) -> None: ...


def test_all_faults_of_a_route_are_found_at_once() -> None:
    """Nobody fixes them one start at a time."""

    async def bad(a: Opaque, b: Line, c: Line) -> Opaque | None: ...

    rules = [finding.rule for finding in found(endpoint("POST", "/{x}", bad, 500))]
    assert sorted(rules) == ["RF303", "RF305", "RF307", "RF309", "RF310"]


@pytest.mark.parametrize(
    "function, said",
    [
        (uploaded, "parameter 'photo'"),
        (streamed, "its result is Stream"),
        (maybe_file, "its result is File"),
    ],
)
def test_a_service_that_only_http_could_call_is_found(
    function: Callable[..., Coroutine[object, None, object]], said: str
) -> None:
    """Another plugin has no upload to give, and nobody to send a file to."""
    declared = structs.replace(endpoint("POST", "/", function).declared, declaration=_Named())
    assert SPEC.check is not None
    (finding,) = SPEC.check(Facts([declared], {}, Path()))
    assert (finding.rule, said in finding.message) == ("RF312", True)


def test_a_service_may_take_what_a_route_takes_from_headers() -> None:
    """A marked parameter is a plain value to whoever calls the service, raw bytes as well."""
    for function in (by_headers, raw):
        declared = structs.replace(endpoint("POST", "/", function).declared, declaration=_Named())
        assert SPEC.check is not None
        assert SPEC.check(Facts([declared], {}, Path())) == []


def test_a_misfit_of_one_plugin_stays_with_it() -> None:
    """All but a route that two claim, of whom either may be the one that is meant."""
    rules = {f"RF3{n:02}" for n in range(1, 17)}
    assert rules - SPEC.contained == {"RF302"}


async def exemplified(line: Line) -> None:
    """Take a line.

    Example: {"sku": 5}
    """


def test_an_example_that_would_be_refused_is_found() -> None:
    """What the document shows works."""
    (finding,) = found(endpoint("POST", "/a", exemplified))
    assert finding.rule == "RF314"
    assert "example 1 does not fit: $.sku" in finding.message


def test_the_page_that_describes_an_application_has_its_path() -> None:
    """No feature takes it."""
    (finding,) = found(endpoint("GET", "/docs", plain))
    assert finding.rule == "RF308"
