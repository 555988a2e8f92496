"""Marked parameters are plain values, and a page holds what it says."""

from collections.abc import AsyncIterator
from typing import Annotated, assert_type

from msgspec import Struct

from ringfence import Plugin
from ringfence.tools.http import (
    BodyStream,
    Cookie,
    Form,
    Header,
    Page,
    Paged,
    Request,
    UploadFile,
    get,
    header,
    post,
)


class Product(Struct):
    id: int


class Search(Paged):
    color: str | None = None


class Catalogue(Plugin):
    @post("/photos", max_body_bytes=1 << 30)
    async def upload(
        self,
        product: Form[Product],
        photo: UploadFile,
        others: list[UploadFile],
        x_request_id: Header[str],
        signature: Annotated[str, header("X-Signature")],
        tag: Header[list[str]],
        visits: Cookie[int] = 0,
        maybe: Header[str | None] = None,
    ) -> int:
        assert_type(product, Product)
        assert_type(x_request_id, str)
        assert_type(signature, str)
        assert_type(tag, list[str])
        assert_type(visits, int)
        assert_type(maybe, str | None)
        assert_type(await photo.read(), bytes)
        assert_type(photo.chunks(), AsyncIterator[bytes])
        photo.filename = "other"  # error: mypy, pyright
        return x_request_id  # error: mypy, pyright

    @post("/raw")
    async def raw(self, body: BodyStream, request: Request) -> int:
        async for piece in body:
            assert_type(piece, bytes)
        for text in body:  # error: mypy, pyright
            assert text
        assert_type(request.headers["host"], str)
        request.method = "GET"  # error: mypy, pyright
        return 0

    @get("/products")
    async def products(self, search: Search) -> Page[Product]:
        assert_type(search.after(int), int | None)
        assert_type(search.after(tuple[str, int]), tuple[str, int] | None)
        last: str | None = search.after(int)  # error: mypy, pyright
        page = search.page([Product(1)], key=lambda product: product.id)
        assert_type(page, Page[Product])
        search.page([Product(1)], key=lambda product: product.name)  # error: mypy, pyright
        return search.page([last], key=str)  # error: mypy, pyright


async def called(catalogue: Catalogue, photo: UploadFile) -> None:
    """In a unit test the method takes plain values."""
    await catalogue.upload(Product(1), photo, [], "id", "signature", ["tag"], 3, None)
    await catalogue.upload(Product(1), photo, [], 7, "signature", [])  # error: mypy, pyright
    await catalogue.upload(Product(1), b"", [], "id", "signature", [])  # error: mypy, pyright
