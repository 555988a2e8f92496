"""Results as they are declared: no more of them leaves, and what does not fit is a bug."""

import dataclasses
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, ValidationError, json

from ringfence.tools.http import EventStream, File, Header, Page, Reply, Stream
from ringfence.tools.http.answers.narrowing import narrowing, nothing_but
from ringfence.tools.http.doubles import Operation, endpoint
from tests.tools.http.conftest import Serve

pytestmark = pytest.mark.anyio


class Public(Struct):
    name: str


class Row(Public):
    password_hash: str = "HASH"


class Held(Struct):
    owner: Public
    tags: list[str] = []


class Node(Struct):
    below: "list[Node]" = []


class Secret(Node):
    key: str = "HASH"


class Cat(Struct, tag="cat"):
    name: str


class Tiger(Cat, tag="cat"):
    claws: str = "HASH"


class Dog(Struct, tag="dog"):
    name: str


@dataclasses.dataclass
class Card:
    number: int


@dataclasses.dataclass
class Full(Card):
    code: str = "HASH"


class Keys(TypedDict):
    name: str


RESULTS: list[tuple[Any, Any]] = [
    (Public, Row("a")),
    (Public | None, Row("a")),
    (Annotated[Public, Meta(description="d")], Row("a")),
    (list[Public], [Public("a"), Row("b")]),
    (list[Public] | None, [Row("b")]),
    (tuple[Public, ...], (Row("b"),)),
    (tuple[Public, int], (Row("b"), 1)),
    (dict[str, Public], {"a": Row("b")}),
    (Page[Public], Page([Row("a")])),
    (Held, Held(Row("a"))),
    (list[Held], [Held(Row("a"))]),
    (Node, Node([Node([Secret()])])),
    (Cat | Dog, Tiger("a")),
    (Card, Full(1)),
    (Keys, {"name": "a", "code": "HASH"}),
]


@pytest.mark.parametrize("declared, result", RESULTS)
async def test_what_a_result_knows_more_of_does_not_leave(
    serve: Serve, declared: Any, result: Any
) -> None:
    """By itself, in a Reply, and as an event."""

    async def plain() -> object:
        return result

    async def reply() -> object:
        return Reply(result)

    async def source() -> Any:
        yield result

    async def events() -> object:
        return EventStream(source(), heartbeat_s=0)

    plain.__annotations__["return"] = declared
    reply.__annotations__["return"] = Reply[declared]
    events.__annotations__["return"] = EventStream[declared]
    client = serve(
        endpoint("GET", "/plain", plain),
        endpoint("GET", "/reply", reply),
        endpoint("GET", "/events", events),
    )
    for path in ("/plain", "/reply", "/events"):
        answer = await client.get(path)
        assert answer.status == 200
        assert b"HASH" not in answer.body
        assert answer.body


async def test_a_result_of_another_class_is_read_as_the_declared_one(serve: Serve) -> None:
    """Data that fits is answered; data that does not is a bug, and none of it is told."""

    async def fits() -> Public:
        return {"name": "a", "more": 1}  # type: ignore[return-value]

    async def unfit() -> Public:
        return {"name": 7}  # type: ignore[return-value]

    client = serve(endpoint("GET", "/fits", fits), endpoint("GET", "/unfit", unfit))
    assert (await client.get("/fits")).json() == {"name": "a"}
    answer = await client.get("/unfit")
    assert (answer.status, answer.json(dict)["code"]) == (500, "internal")


@pytest.mark.parametrize("declared", [Stream, File, Stream | None, File | Stream])
async def test_a_result_that_is_none_of_its_answers_is_a_bug(serve: Serve, declared: Any) -> None:
    """Its annotation promised a stream or a file, and JSON is neither."""

    async def wrong() -> Any:
        return {"path": "HASH"}

    wrong.__annotations__["return"] = declared
    answer = await serve(endpoint("GET", "/", wrong)).get("/")
    assert (answer.status, answer.json(dict)["code"]) == (500, "internal")
    assert b"HASH" not in answer.body


@pytest.mark.parametrize("declared", [int, str, list[int], dict[str, float], object, Any, bytes])
def test_what_cannot_be_more_is_not_looked_at(declared: object) -> None:
    """It costs nothing."""
    assert narrowing(declared) is None


def test_a_flat_class_is_one_comparison() -> None:
    """What a route asks of most results."""
    made = narrowing(Public)
    assert made is not None
    assert made.cls is Public
    value = Public("a")
    assert made.narrow(value) is value


@given(st.sampled_from(RESULTS), st.sampled_from(RESULTS))
def test_a_narrowed_result_is_what_it_is_declared(
    wanted: tuple[Any, Any], given_: tuple[Any, Any]
) -> None:
    """Whatever is returned: it reads as declared, with no field more, or it is refused."""
    made = narrowing(wanted[0])
    assert made is not None
    try:
        value = made.narrow(given_[1])
    except ValidationError:
        return
    assert b"HASH" not in json.encode(value)
    assert json.encode(json.decode(json.encode(value), type=wanted[0])) == json.encode(value)


async def test_none_is_a_bug_where_a_value_is_declared(serve: Serve) -> None:
    """The document promises one; it is no 204 that clients have not heard of."""

    async def row() -> Public:
        return None  # type: ignore[return-value]

    async def rows(channel: Header[str] = "") -> list[Public]:
        return None  # type: ignore[return-value]

    async def file() -> File:
        return None  # type: ignore[return-value]

    async def maybe() -> Public | None:
        return None

    async def maybe_wide(channel: Header[str] = "") -> Annotated[Public | None, Meta()]:
        return None

    async def replied() -> Reply[Public]:
        return Reply(None, status=303)  # type: ignore[arg-type]

    functions: list[Operation] = [row, rows, file, maybe, maybe_wide, replied]
    client = serve(*(endpoint("GET", f"/{n}", each) for n, each in enumerate(functions)))
    told = [(await client.get(f"/{n}")).status for n, _ in enumerate(functions)]
    assert told == [500, 500, 500, 204, 204, 303]


def test_a_none_that_is_not_declared_is_named() -> None:
    """With what is declared instead."""
    with pytest.raises(TypeError, match=r"returned None, and declares list\["):
        nothing_but(list[Public])()
    with pytest.raises(TypeError, match="returned None, and declares Public"):
        nothing_but(Public)()


def test_a_result_that_nobody_awaited_is_called_that() -> None:
    """And no second message follows from wherever it is dropped."""

    async def fetched() -> Public:
        return Public("a")

    made = narrowing(Public)
    assert made is not None
    with pytest.raises(TypeError, match=r"fetched\(\) was called without `await`"):
        made.narrow(fetched())


@pytest.mark.anyio
async def test_a_result_that_does_not_fit_is_named() -> None:
    """The error says that it is the result, of what class, and what was declared."""
    narrowed = narrowing(Public)
    assert narrowed is not None
    with pytest.raises(ValidationError, match=r"the result, a dict, does not fit .* Public: "):
        narrowed.narrow({"nam": 1})
