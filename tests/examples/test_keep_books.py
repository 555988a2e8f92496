"""CRUD with filters and pages."""

import pytest
from msgspec import Raw, Struct

from ringfence.testing import TestApplication

pytestmark = pytest.mark.anyio
NEW = {"isbn": "9780596007973", "title": "Learning Python", "author": "Lutz", "year": 2005}
UNKNOWN = [0, -1, 2**63, "x", "%00", "1%2F2"]


class Book(Struct):
    id: int
    title: str
    author: str
    year: int
    version: int


class Books(Struct):
    items: list[Book]
    next: str | None


class Problem(Struct):
    status: int
    code: str


class Operation(Struct):
    responses: dict[str, Raw]


class Document(Struct):
    paths: dict[str, dict[str, Operation]]


async def _pages(app: TestApplication, **params: object) -> list[list[Book]]:
    found: list[list[Book]] = []
    cursor: str | None = ""
    while cursor is not None:
        given = {**params, "cursor": cursor} if cursor else params
        page = (await app.http.get("/books", params=given)).json(into=Books)
        found.append(page.items)
        cursor = page.next
    return found


async def test_a_book_is_added_read_changed_and_removed(app: TestApplication) -> None:
    """Each answer carries the version that the next change is for."""
    added = await app.http.post("/books", json=NEW)
    assert (added.status, added.headers["etag"]) == (201, '"1"')
    place = added.headers["location"]
    assert (await app.http.get(place)).json() == added.json()
    changed = await app.http.patch(place, json={"year": 2006}, headers={"If-Match": '"1"'})
    assert (changed.status, changed.headers["etag"]) == (200, '"2"')
    assert changed.json(into=Book) == (await app.http.get(place)).json(into=Book)
    assert changed.json(into=Book).title == "Learning Python"
    assert changed.json(into=Book).year == 2006
    removed = await app.http.delete(place, headers={"If-Match": '"2"'})
    assert (removed.status, removed.body) == (204, b"")
    gone = await app.http.get(place)
    assert gone.json(into=Problem) == Problem(404, "books.no_such_book")


async def test_what_a_client_has_is_not_sent_again(app: TestApplication) -> None:
    """A GET with the ETag of the book as it is has no body."""
    etag = (await app.http.get("/books/1")).headers["etag"]
    known = await app.http.get("/books/1", headers={"If-None-Match": etag})
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", etag)


@pytest.mark.parametrize(
    "headers, status, code",
    [({}, 428, "precondition_required"), ({"If-Match": '"7"'}, 412, "precondition_failed")],
)
async def test_nobody_overwrites_what_he_has_not_read(
    app: TestApplication, headers: dict[str, str], status: int, code: str
) -> None:
    """A change for no version, or for another one, changes nothing."""
    refused = await app.http.patch("/books/1", json={"title": "x"}, headers=headers)
    assert refused.json(into=Problem) == Problem(status, code)
    assert (await app.http.get("/books/1")).json(into=Book).version == 1


async def test_of_two_changes_to_one_version_one_is_refused(app: TestApplication) -> None:
    """The second client reads what the first has written before it writes."""
    first = await app.http.patch("/books/1", json={"year": 1978}, headers={"If-Match": '"1"'})
    second = await app.http.patch("/books/1", json={"year": 1979}, headers={"If-Match": '"1"'})
    assert (first.status, second.status) == (200, 412)
    assert (await app.http.get("/books/1")).json(into=Book).year == 1978


async def test_nobody_removes_what_has_changed_since(app: TestApplication) -> None:
    """A removal for another version removes nothing; one that names none removes what is there."""
    refused = await app.http.delete("/books/1", headers={"If-Match": '"7"'})
    assert refused.json(into=Problem) == Problem(412, "precondition_failed")
    assert (await app.http.get("/books/1")).status == 200
    assert (await app.http.delete("/books/1")).status == 204


async def test_an_isbn_is_there_once(app: TestApplication) -> None:
    """Adding a book again is a conflict with a code of its own."""
    await app.http.post("/books", json=NEW)
    again = await app.http.post("/books", json=NEW)
    assert again.json(into=Problem) == Problem(409, "books.book_exists")


@pytest.mark.parametrize("sort", ["title", "-year"])
async def test_pages_hold_each_book_once_and_in_order(app: TestApplication, sort: str) -> None:
    """Also where several books have the same title and year."""
    for last in range(10, 30):
        copy = {"isbn": f"97805960079{last}", "title": "Same", "author": "Twin", "year": 1994}
        assert (await app.http.post("/books", json=copy)).status == 201
    pages = await _pages(app, sort=sort, limit=4)
    books = [book for page in pages for book in page]
    assert {len(page) for page in pages[:-1]} == {4}
    assert len({book.id for book in books}) == len(books) == 25
    keys = [(book.title, book.id) if sort == "title" else (-book.year, -book.id) for book in books]
    assert keys == sorted(keys)


async def test_filters_hold_on_every_page(app: TestApplication) -> None:
    """A cursor is good only for the filters that it was made with."""
    pages = await _pages(app, since=1995, limit=1)
    assert sorted(book.year for page in pages for book in page) == [1995, 1996, 1999]
    first = (await app.http.get("/books?since=1995&limit=1")).json(into=Books)
    other = await app.http.get("/books", params={"since": 1990, "cursor": first.next})
    assert other.json(into=Problem) == Problem(422, "invalid")


async def test_a_change_is_checked_like_a_new_book(app: TestApplication) -> None:
    """All faults are told; what was left out is none of them."""
    change = {"title": "", "year": None, "isbn": "9780596007973"}
    refused = await app.http.patch("/books/1", json=change, headers={"If-Match": "*"})
    told = refused.json(into=dict[str, object])["errors"]
    assert isinstance(told, list)
    assert {fault["path"] for fault in told} == {"$.title", "$.year", "$.isbn"}


@pytest.mark.parametrize("book_id", UNKNOWN)
async def test_an_id_that_is_none_is_refused(app: TestApplication, book_id: object) -> None:
    """Whatever stands in the path, the answer says that it is wrong."""
    assert (await app.http.get(f"/books/{book_id}")).status in (404, 422)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "sort=isbn", "cursor=x", "cursor=WyIiLDFd", "q=1", "since=x"]
)
async def test_a_query_that_does_not_fit_is_refused(app: TestApplication, query: str) -> None:
    """Nothing of a query is ignored, and no order reaches the SQL that was not declared."""
    assert (await app.http.get(f"/books?{query}")).json(into=Problem) == Problem(422, "invalid")


async def test_text_is_no_sql(app: TestApplication) -> None:
    """A filter is a value, whatever it looks like."""
    page = (await app.http.get("/books", params={"author": "' OR 1=1 --"})).json(into=Books)
    assert page == Books([], None)


async def test_the_document_tells_of_the_version_that_a_change_is_for(app: TestApplication) -> None:
    """A client that is generated from it knows of 412 and 428."""
    document = (await app.http.get("/openapi.json")).json(into=Document)
    assert {"412", "428"} <= document.paths["/books/{book_id}"]["patch"].responses.keys()
    assert "412" not in document.paths["/books"]["post"].responses
