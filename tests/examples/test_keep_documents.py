"""Documents: uploads, downloads and versions."""

import pytest
from msgspec import Struct

from ringfence.testing import TestApplication

pytestmark = pytest.mark.anyio
CONTENT = bytes(range(256)) * 4000


class Document(Struct):
    name: str
    size_bytes: int
    content_type: str


class Documents(Struct):
    items: list[Document]
    next: str | None


class Problem(Struct):
    status: int
    code: str


async def test_a_document_comes_in_by_a_form_and_goes_out(app: TestApplication) -> None:
    """Whole, in part, and not at all to whoever has it."""
    added = await app.http.post("/documents", files={"file": ("a b.png", CONTENT, "image/png")})
    assert (added.status, added.headers["location"]) == (201, "/documents/a%20b.png")
    assert added.json(into=Document) == Document("a b.png", len(CONTENT), "image/png")
    place = added.headers["location"]
    whole = await app.http.get(place)
    assert (whole.status, whole.body) == (200, CONTENT)
    assert whole.headers["content-type"] == "image/png"
    assert whole.headers["content-disposition"] == 'attachment; filename="a b.png"'
    assert whole.headers["etag"] == added.headers["etag"]
    part = await app.http.get(place, headers={"Range": "bytes=1000-300999"})
    assert (part.status, part.body) == (206, CONTENT[1000:301000])
    known = await app.http.get(place, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status, known.body) == (304, b"")


async def test_a_document_is_replaced_by_whoever_has_read_it(app: TestApplication) -> None:
    """As a body of any type, which comes in piece by piece."""
    place, kind = "/documents/notes", {"Content-Type": "text/markdown"}
    first = await app.http.put(place, content=b"one", headers=kind)
    assert (first.status, first.json(into=Document).content_type) == (201, "text/markdown")
    careless = await app.http.put(place, content=b"two", headers=kind)
    assert (careless.status, careless.json(into=Problem).code) == (428, "precondition_required")
    match = {**kind, "If-Match": first.headers["etag"]}
    second = await app.http.put(place, content=b"two", headers=match)
    assert second.status == 200
    late = await app.http.put(place, content=b"three", headers=match)
    assert (late.status, late.json(into=Problem).code) == (412, "precondition_failed")
    assert (await app.http.get(place)).body == b"two"
    assert (await app.http.delete(place, headers=match)).status == 412
    gone = await app.http.delete(place, headers={"If-Match": second.headers["etag"]})
    assert gone.status == 204
    assert (await app.http.get(place)).json(into=Problem) == Problem(404, "files.missing")


async def test_documents_are_listed_by_name(app: TestApplication) -> None:
    """A page at a time."""
    for name in ("b", "a", "c"):
        await app.http.put(f"/documents/{name}", content=name.encode())
    page = (await app.http.get("/documents")).json(into=Documents)
    assert ([one.name for one in page.items], page.next) == (["a", "b", "c"], None)
    rest = (await app.http.get("/documents", params={"after": "a"})).json(into=Documents)
    assert [one.name for one in rest.items] == ["b", "c"]


@pytest.mark.parametrize("name", ["..", ".env", "a\0", "con", "../../x", "", "a/../b"])
async def test_no_name_of_a_client_leads_anywhere(app: TestApplication, name: str) -> None:
    """What a form says of its file is a name or nothing."""
    files = {"file": (name, CONTENT, "image/png")}
    answer = await app.http.post("/documents", files=files)
    listed = (await app.http.get("/documents")).json(into=Documents)
    if answer.status == 201:
        assert [one.name for one in listed.items] in (["x"], ["b"], ["a"])
    else:
        assert answer.status == 422
        assert listed.items == []


async def test_a_second_upload_is_refused(app: TestApplication) -> None:
    """Nothing is overwritten that nobody has read."""
    for status in (201, 409):
        answer = await app.http.post("/documents", files={"file": ("a", b"x", "")})
        assert answer.status == status
