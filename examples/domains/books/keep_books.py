"""Keep books: list them by filter and page, add, read, change and remove one.

A change says which version it is for, so that nobody overwrites what somebody else has written.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from ringfence import Conflict, NotFound, Plugin
from ringfence.tools.db import Database, Transaction, UniqueViolation
from ringfence.tools.http import IfMatch, Page, Paged, Reply, delete, get, patch, post

BookId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Isbn = Annotated[str, Meta(pattern="^97[89][0-9]{10}$")]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Year = Annotated[int, Meta(ge=1450, le=2100)]


class NewBook(Struct):
    isbn: Isbn
    title: Text
    author: Text
    year: Year


class BookChange(Struct):
    """What is to be different; what is left out stays."""

    title: Text | UnsetType = UNSET
    author: Text | UnsetType = UNSET
    year: Year | UnsetType = UNSET


class Book(Struct):
    id: int
    isbn: str
    title: str
    author: str
    year: int
    version: int


class Search(Paged):
    """Which books, and in which order; `-year` is the latest first."""

    author: Text | None = None
    since: Year | None = None
    sort: Literal["title", "-year"] = "title"


class NoSuchBook(NotFound, code="books.no_such_book"):
    """No book has that id."""


class BookExists(Conflict, code="books.book_exists"):
    """Another book has that ISBN."""


class KeepBooks(Plugin):
    db: Database

    @get("/books")
    async def search(self, search: Search) -> Page[Book]:
        """List books, a page at a time."""
        if search.sort == "title":
            title, last = search.after(tuple[str, int]) or (None, None)
            rows = await self._matching(_BY_TITLE, search, title, last)
            return search.page(rows, key=lambda book: (book.title, book.id))
        year, last = search.after(tuple[int, int]) or (None, None)
        rows = await self._matching(_BY_YEAR, search, year, last)
        return search.page(rows, key=lambda book: (book.year, book.id))

    @post("/books", status=201)
    async def add(self, new: NewBook) -> Reply[Book]:
        """Add a book.

        Example: {"isbn": "9780596007973", "title": "Dive in", "author": "Lutz", "year": 2005}
        """
        try:
            book_id = await self.db.fetch_value(
                _INSERT, new.isbn, new.title, new.author, new.year, into=int
            )
        except UniqueViolation:
            raise BookExists(f"{new.isbn}: there is a book of that ISBN.") from None
        book = Book(book_id, new.isbn, new.title, new.author, new.year, version=1)
        return Reply(book, headers={"location": f"/books/{book.id}"}, etag=_etag(book))

    @get("/books/{book_id}")
    async def show(self, book_id: BookId) -> Reply[Book]:
        """Show a book; 304 for whoever has this version already."""
        book = await _book(self.db, book_id)
        return Reply(book, etag=_etag(book))

    @patch("/books/{book_id}")
    async def change(
        self, book_id: BookId, change: BookChange, match: IfMatch, tx: Transaction
    ) -> Reply[Book]:
        """Change a book, provided that it is as the client has read it."""
        book = await _book(tx, book_id)
        match.require(_etag(book), required=True)
        given = {k: v for k, v in structs.asdict(change).items() if v is not UNSET}
        book = structs.replace(book, **given, version=book.version + 1)
        await tx.execute(_UPDATE, book.id, book.title, book.author, book.year, book.version)
        return Reply(book, etag=_etag(book))

    @delete("/books/{book_id}", status=204)
    async def remove(self, book_id: BookId, match: IfMatch, tx: Transaction) -> None:
        """Remove a book; with If-Match, only as the client has read it."""
        match.require(_etag(await _book(tx, book_id)))
        await tx.execute("DELETE FROM books WHERE id = $1", book_id)

    async def _matching(
        self, sql: str, search: Search, value: str | int | None, last_id: int | None
    ) -> list[Book]:
        # One more than the page holds, which shows whether there is a next one.
        limit = search.limit + 1
        return await self.db.fetch_all(
            sql, search.author, search.since, value, last_id, limit, into=Book
        )


async def _book(db: Database | Transaction, book_id: int) -> Book:
    book = await db.fetch_one("SELECT * FROM books WHERE id = $1", book_id, into=Book)
    if book is None:
        raise NoSuchBook(f"{book_id}: no such book.", hint="GET /books lists them.")
    return book


def _etag(book: Book) -> str:
    return str(book.version)


_BY_TITLE = """
    SELECT * FROM books
    WHERE ($1 IS NULL OR author = $1) AND ($2 IS NULL OR year >= $2)
        AND ($3 IS NULL OR (title, id) > ($3, $4))
    ORDER BY title, id LIMIT $5
"""

_BY_YEAR = """
    SELECT * FROM books
    WHERE ($1 IS NULL OR author = $1) AND ($2 IS NULL OR year >= $2)
        AND ($3 IS NULL OR (year, id) < ($3, $4))
    ORDER BY year DESC, id DESC LIMIT $5
"""

_INSERT = "INSERT INTO books (isbn, title, author, year) VALUES ($1, $2, $3, $4) RETURNING id"

_UPDATE = "UPDATE books SET title = $2, author = $3, year = $4, version = $5 WHERE id = $1"
