"""Pages: where each begins and ends, and what a cursor is good for."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, field, json

from ringfence.errors import Invalid
from ringfence.testing.http import HttpClient
from ringfence.tools.http import Page, Paged
from ringfence.tools.http.conformance import endpoint

pytestmark = pytest.mark.anyio
Serve = Callable[..., HttpClient]
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1)


class Product(Struct):
    id: int
    price: int


class Search(Paged):
    max_price: int | None = None
    tag: list[str] = field(default_factory=list)
    sort: Literal["id", "-price"] = "id"


def pages(search: Search, rows: list[Product]) -> list[list[Product]]:
    """Follow `next` through rows, as a database would answer."""
    found: list[list[Product]] = []
    while True:
        last = search.after(tuple[int, int])
        asked = [row for row in rows if last is None or (row.price, row.id) > last]
        page = search.page(asked[: search.limit + 1], key=lambda row: (row.price, row.id))
        found.append(page.items)
        if page.next is None:
            return found
        search = Search(limit=search.limit, cursor=page.next, sort=search.sort)


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 10))
def test_following_the_cursors_gives_every_row_once_in_order(prices: list[int], limit: int) -> None:
    """Also where many have the same price; only the last page has no next one."""
    rows = sorted((Product(n, price) for n, price in enumerate(prices)), key=lambda r: r.price)
    found = pages(Search(limit=limit), rows)
    assert [row for page in found for row in page] == rows
    assert all(len(page) == limit for page in found[:-1])
    assert len(found[-1]) > 0 or not rows


MOMENT = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "kind, key",
    [
        (int, 7),
        (str, "é/+\n"),
        (UUID, UUID(int=7)),
        (datetime, MOMENT),
        (tuple[Decimal, int], (Decimal("1.10"), 3)),
        (tuple[str, datetime, UUID], ("", MOMENT, UUID(int=1))),
    ],
)
def test_a_cursor_gives_back_the_key(kind: type[object], key: object) -> None:
    """As a value of the type that was asked for."""
    page = Search(limit=1).page(["row", "more"], key=lambda _: key)
    position = Search(cursor=page.next).after(kind)
    assert (type(position), position) == (type(key), key)


def cursor(key: object, **fields: object) -> str:
    made = Search(limit=1, **fields).page([0, 0], key=lambda _: key).next  # type: ignore[arg-type]
    assert made is not None
    return made


def refusal(search: Search, kind: type[object]) -> str:
    with pytest.raises(Invalid) as caught:
        search.after(kind)
    (fault,) = caught.value.faults
    assert fault.path == "query.cursor"
    return fault.message


@pytest.mark.parametrize(
    "fields", [{"max_price": 3}, {"tag": ["a"]}, {"sort": "-price"}, {"max_price": None}]
)
def test_a_cursor_is_good_for_its_own_filters_alone(fields: dict[str, object]) -> None:
    """And for its order; how many items a page has is no part of it."""
    made = cursor(7, **fields)
    same = Search(cursor=made, limit=5, **fields)  # type: ignore[arg-type]
    assert same.after(int) == 7
    assert "other filters" in refusal(Search(cursor=made, max_price=1), int)


@pytest.mark.parametrize(
    "text, said",
    [
        ("*", "no cursor"),
        ("é", "no cursor"),
        ("A", "no cursor"),
        ("A" * 3000, "too long"),
        (urlsafe_b64encode(b"[" * 1000).decode(), "no cursor"),
        (urlsafe_b64encode(b'["x", 7]').decode(), "other filters"),
        (cursor("seven"), "no cursor"),
        (cursor(1 << 63), "no cursor"),
        (cursor([7, 7]), "no cursor"),
    ],
)
def test_a_cursor_that_no_answer_gave_is_a_fault(text: str, said: str) -> None:
    """Malformed, of another type, or a number that no database takes."""
    assert said in refusal(Search(cursor=text), int)


def test_an_empty_cursor_is_the_first_page() -> None:
    """As a form's empty field sends it."""
    assert Search(cursor="").after(int) is None


@given(st.text() | st.binary().map(lambda raw: urlsafe_b64encode(raw).decode()))
def test_no_cursor_is_worse_than_invalid(text: str) -> None:
    """Whatever a client sends."""
    with suppress(Invalid):
        Search(cursor=text).after(tuple[int, str])


@given(st.recursive(st.none() | st.text() | st.floats() | st.integers(), st.lists))
def test_no_forged_position_is_worse_than_invalid(key: object) -> None:
    """With the right fingerprint in front of it, which is no secret."""
    made_for, _ = json.decode(_padded(cursor(7)))
    text = urlsafe_b64encode(json.encode((made_for, key))).decode()
    for kind in (int, str, Decimal, datetime, tuple[float, int]):
        with suppress(Invalid):
            Search(cursor=text).after(kind)


def _padded(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")


@given(NUMBERS, st.text(max_size=100))
def test_what_a_cursor_was_made_of_is_what_it_says(number: int, text: str) -> None:
    """For any key that databases have."""
    assert Search(cursor=cursor((number, text))).after(tuple[int, str]) == (number, text)


def test_a_key_that_no_cursor_holds_is_said_where_it_is_made() -> None:
    """To the author, who orders by it."""
    with pytest.raises(ValueError, match="too long for a cursor"):
        Search(limit=1).page([0, 0], key=lambda _: "x" * 3000)


async def test_a_page_is_asked_for_by_query(serve: Serve) -> None:
    """Its limit is bounded, a field that it does not have is a fault, as is a foreign cursor."""
    rows = [Product(n, n % 3) for n in range(5)]

    async def products(search: Search) -> Page[Product]:
        last = search.after(int)
        asked = [row for row in rows if last is None or row.id > last]
        return search.page(asked, key=lambda row: row.id)

    client = serve(endpoint("GET", "/products", products))
    first = (await client.get("/products?limit=3")).json()
    assert isinstance(first, dict)
    assert [item["id"] for item in first["items"]] == [0, 1, 2]
    rest = await client.get("/products", params={"limit": 3, "cursor": first["next"]})
    assert rest.json() == {"items": [{"id": 3, "price": 0}, {"id": 4, "price": 1}], "next": None}
    for query, place in [
        ("limit=101", "query.limit"),
        ("limit=0", "query.limit"),
        ("max_prize=1", "query.max_prize"),
        (f"sort=-price&cursor={first['next']}", "query.cursor"),
    ]:
        response = await client.get(f"/products?{query}")
        assert response.status == 422
        assert [fault["path"] for fault in json.decode(response.body)["errors"]] == [place]
    message = json.decode((await client.get("/products?max_prize=1")).body)["errors"][0]["message"]
    assert message == "unknown field; did you mean 'max_price'?"
