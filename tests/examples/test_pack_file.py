"""An upload with background work."""

import gzip
import uuid
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from msgspec import Struct

from ringfence.testing import TestApplication
from ringfence.testing.http import HttpResponse
from tests.examples.applications import running

pytestmark = pytest.mark.anyio
CONTENT = b"a line that comes again\n" * 10_000


class Archive(Struct):
    id: str
    name: str
    state: str
    size_bytes: int
    packed_bytes: int | None


async def _uploaded(app: TestApplication, name: str = "notes.txt") -> HttpResponse:
    return await app.http.post(
        "/archives", data={"note": "mine"}, files={"file": (name, CONTENT, "text/plain")}
    )


async def _settled(app: TestApplication, place: str) -> Archive:
    """Ask until the background work is over; the test's own timeout bounds it."""
    while True:
        archive = (await app.http.get(place)).json(into=Archive)
        if archive.state != "packing":
            return archive


async def test_a_file_is_taken_packed_and_handed_out(app: TestApplication) -> None:
    """The answer comes at once and says where to ask; what comes out is what went in."""
    taken = await _uploaded(app)
    assert (taken.status, taken.json(into=Archive).state) == (202, "packing")
    place = taken.headers["location"]
    archive = await _settled(app, place)
    assert (archive.state, archive.size_bytes) == ("done", len(CONTENT))
    file = await app.http.get(f"{place}/file")
    assert gzip.decompress(file.body) == CONTENT
    assert len(file.body) == archive.packed_bytes
    assert file.headers["content-disposition"] == 'attachment; filename="notes.txt.gz"'


async def test_a_download_goes_on_where_it_broke_off(app: TestApplication) -> None:
    """A range is answered with that part, and a known file not at all."""
    place = (await _uploaded(app)).headers["location"]
    await _settled(app, place)
    whole = await app.http.get(f"{place}/file")
    part = await app.http.get(f"{place}/file", headers={"Range": "bytes=10-"})
    assert (part.status, part.body) == (206, whole.body[10:])
    tag = {"If-None-Match": whole.headers["etag"]}
    assert (await app.http.get(f"{place}/file", headers=tag)).status == 304


async def test_a_failed_packing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk refuses, the archive says so at once, and its file is a conflict."""
    archive_id = uuid4()
    monkeypatch.setattr(uuid, "uuid4", lambda: archive_id)
    (tmp_path / f"archives/{archive_id}.gz").mkdir(parents=True)  # in the way
    async with running(tmp_path) as app:
        place = (await _uploaded(app)).headers["location"]
        assert (await _settled(app, place)).state == "failed"
        refused = await app.http.get(f"{place}/file")
        assert refused.json(into=dict[str, object])["code"] == "archives.not_packed"
    assert not (tmp_path / f"archives/{archive_id}.upload").exists()


async def test_a_packing_that_a_crash_cut_off_has_failed(app: TestApplication) -> None:
    """Nobody asks for ever: past its time it is over, whatever has happened to it."""
    database = app.tool("db")
    archive_id = uuid4()
    await database.execute(  # type: ignore[attr-defined]
        "INSERT INTO archives VALUES ($1, 'a.txt', '', 1, NULL, 'packing', $2)",
        archive_id,
        app.clock.now() + timedelta(seconds=60),
    )
    place = f"/archives/{archive_id}"
    await app.clock.elapse(60)
    assert (await app.http.get(place)).json(into=Archive).state == "packing"
    await app.clock.elapse(1)
    assert (await app.http.get(place)).json(into=Archive).state == "failed"
    assert (await app.http.get(f"{place}/file")).status == 409


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\windows\\evil.txt", "a\r\nb: c", "é"])
async def test_a_name_is_shown_and_never_opened(
    app: TestApplication, tmp_path: Path, name: str
) -> None:
    """On disk there are the names that the feature gave, and no other."""
    taken = await _uploaded(app, name)
    archive = taken.json(into=Archive)
    assert (await _settled(app, taken.headers["location"])).state == "done"
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [f"{archive.id}.gz"]
    assert not {"/", "\\", "\r", "\n"} & set(archive.name)
    answer = await app.http.get(f"/archives/{archive.id}/file")
    assert "b" not in answer.headers


async def test_a_file_without_a_name_is_refused(app: TestApplication, tmp_path: Path) -> None:
    """Nothing of it is kept."""
    refused = await _uploaded(app, "..")
    assert refused.status == 422
    assert list(tmp_path.rglob("*.upload")) == []


async def test_an_upload_has_an_end(app: TestApplication) -> None:
    """More than the route allows is refused, though it is more than others allow."""
    big = {"file": ("big.bin", bytes(21 << 20), "application/zip")}
    assert (await app.http.post("/archives", files=big)).status == 413


async def test_what_lacks_or_is_too_long_is_told(app: TestApplication) -> None:
    """A form is checked as a body is."""
    refused = await app.http.post(
        "/archives", data={"note": "x" * 201}, files={"other": ("a", b"")}
    )
    told = refused.json(into=dict[str, object])["errors"]
    assert isinstance(told, list)
    assert {fault["path"] for fault in told} >= {"form.file", "form.note"}


async def test_an_archive_that_nobody_made_is_not_there(app: TestApplication) -> None:
    """Neither its state nor its file; what is no id is told so."""
    for path in (f"/archives/{uuid4()}", f"/archives/{uuid4()}/file"):
        assert (await app.http.get(path)).status == 404
    assert (await app.http.get("/archives/..%2F..%2Fetc")).status in (404, 422)
