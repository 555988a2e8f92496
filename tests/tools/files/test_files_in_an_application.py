"""Files as a feature meets them: injected, proxied, beside transactions and HTTP."""

from pathlib import Path

import pytest

from ringfence.errors import TransactionHeld
from ringfence.testing import TestApplication
from tests.kernel.apps import feature, running

pytestmark = pytest.mark.anyio

HEAD = """
from ringfence.errors import TransactionHeld
from ringfence.tools.db import Database, Transaction
from ringfence.tools.files import Files
from ringfence.tools.http import BodyStream, File, Stream, UploadFile, get, post, put

"""
MIGRATION = {"domains/documents/migrations/20260101000000_all.sql": "CREATE TABLE t (n BIGINT);"}
CONTENT = bytes(range(256)) * 8192  # 2 MiB


def documents(text: str) -> dict[str, str]:
    return {"domains/documents/keep.py": HEAD + feature(text), **MIGRATION}


async def test_there_is_only_the_database_inside_a_transaction(tmp_path: Path) -> None:
    """Whatever is asked of files there is refused at once; the transaction goes on."""
    keep = """
        class Keep(Plugin):
            db: Database
            files: Files

            @service("documents.inside")
            async def inside(self, tx: Transaction) -> list[str]:
                said = []
                content = self.kept
                for work in (
                    self.files.write("a", b"x"),
                    self.files.write("a", content.stream()),
                    self.files.read("a"),
                    self.files.get("a"),
                    self.files.stat("a"),
                    self.files.delete("a"),
                    self.files.list(),
                    anext(content.stream()),
                ):
                    try:
                        await work
                    except TransactionHeld as error:
                        said.append(str(error))
                await tx.execute("INSERT INTO t (n) VALUES (1)")
                return said

            @service("documents.beside")
            async def beside(self) -> str:
                await self.files.write("a", b"before")
                async with self.db.transaction() as tx:
                    await tx.execute("INSERT INTO t (n) VALUES (1)")
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self.files.read("a"))
                return reading.result().decode()

            @service("documents.task")
            async def task(self, tx: Transaction) -> None:
                await asyncio.create_task(self.files.read("a"))

            async def start(self) -> None:
                await self.files.write("a", b"at the start")
                object.__setattr__(self, "kept", await self.files.get("a"))
    """
    keep = keep.replace(
        "class Keep", "from ringfence.errors import TransactionHeld\n\n\n        class Keep"
    )
    async with running(tmp_path, documents(keep)) as app:
        said = await app.call("documents.inside")
        assert isinstance(said, list)
        assert len(said) == 8
        assert all("'a'" in line or "''" in line for line in said)
        assert all("the transaction of documents.keep" in line for line in said)
        assert await app.call("documents.beside") == "before"
        with pytest.raises(TransactionHeld):
            await app.call("documents.task")


async def test_several_instances_keep_to_themselves(tmp_path: Path) -> None:
    """The field's name picks; each has its own folder and limits."""
    keep = """
        class Keep(Plugin):
            files: Files
            uploads: Files

            @service("documents.keep")
            async def keep(self) -> list[list[str]]:
                await self.files.write("a", bytes(11))
                await self.uploads.write("b", bytes(10))
                pages = [await self.files.list(), await self.uploads.list()]
                return [[stored.name for stored in page.items] for page in pages]

            @service("documents.too_much")
            async def too_much(self) -> None:
                await self.uploads.write("c", bytes(11))
    """
    toml = '[tools.uploads]\ntool = "files"\nroot = "data/uploads"\nmax_file_bytes = 10\n'
    files = {**documents(keep), "ringfence.toml": toml}
    async with running(tmp_path, files) as app:
        assert await app.call("documents.keep") == [["a"], ["b"]]
        with pytest.raises(Exception, match="at most 10 bytes") as refused:
            await app.call("documents.too_much")
        assert getattr(refused.value, "code", "") == "files.too_large"
    assert not (tmp_path / "data").exists(), "a test keeps its files in a folder of its own"


async def test_a_test_may_keep_files_in_memory(tmp_path: Path) -> None:
    """By the driver's name, as for any tool."""
    keep = """
        class Keep(Plugin):
            files: Files

            @service("documents.keep")
            def keep(self) -> str:
                stored = wait(self.files.write("a.txt", b"by a def"))
                content = wait(self.files.get("a.txt"))
                assert stored.modified_at == self.clock.now(), stored
                return b"".join(wait(content.stream())).decode()

            clock: Clock
    """
    for driver in ("memory", "local"):
        overrides = {"tools": {"files": {"driver": driver}}}
        async with running(tmp_path, documents(keep), overrides=overrides) as app:
            assert await app.call("documents.keep") == "by a def"


SITE = """
    class Keep(Plugin):
        files: Files

        @post("/form", max_body_bytes=10_000_000)
        async def form(self, photo: UploadFile) -> str:
            stored = await self.files.write(
                "photos/" + photo.filename, photo.chunks(), content_type=photo.content_type
            )
            return stored.etag

        @put("/raw/{name}", max_body_bytes=1_000_000)
        async def raw(self, name: str, body: BodyStream) -> int:
            return (await self.files.write(f"raw/{name}", body)).size_bytes

        @get("/photos/{name}")
        async def photo(self, name: str) -> File:
            return File(await self.files.get(f"photos/{name}"), inline=True)

        @get("/stream/{name}")
        async def stream(self, name: str) -> Stream:
            content = await self.files.get(f"photos/{name}")
            return Stream(content.stream(), content.content_type, {"etag": f'"{content.etag}"'})

        @get("/gone/{name}")
        async def gone(self, name: str) -> File:
            content = await self.files.get(f"photos/{name}")
            await self.files.delete(content.name)
            return File(content)

        @service("documents.names")
        async def names(self) -> list[str]:
            return [stored.name for stored in (await self.files.list()).items]
"""


async def upload(app: TestApplication, name: str = "cat.png") -> str:
    answer = await app.http.post("/form", files={"photo": (name, CONTENT, "image/webp")})
    assert answer.status == 200
    etag = answer.json()
    assert isinstance(etag, str)
    return etag


async def test_an_upload_comes_back_as_it_went(tmp_path: Path) -> None:
    """By form or as a body, whole, in part, or not at all to whoever has it."""
    async with running(tmp_path, documents(SITE)) as app:
        etag = await upload(app)
        whole = await app.http.get("/photos/cat.png")
        assert (whole.status, whole.body) == (200, CONTENT)
        assert whole.headers["etag"] == f'"{etag}"'
        assert whole.headers["content-type"] == "image/webp"
        assert whole.headers["content-disposition"] == 'inline; filename="cat.png"'
        part = await app.http.get("/photos/cat.png", headers={"range": "bytes=-5"})
        assert (part.status, part.body) == (206, CONTENT[-5:])
        known = await app.http.get("/photos/cat.png", headers={"if-none-match": f'"{etag}"'})
        assert (known.status, known.body) == (304, b"")
        streamed = await app.http.get("/stream/cat.png")
        assert (streamed.body, streamed.headers["etag"]) == (CONTENT, f'"{etag}"')
        assert (await app.http.put("/raw/a", content=CONTENT[:999_999])).json() == 999_999
        again = await upload(app)
        assert again != etag
        changed = await app.http.get("/photos/cat.png", headers={"if-none-match": f'"{etag}"'})
        assert changed.status == 200


async def test_what_cannot_be_is_a_problem_of_its_own(tmp_path: Path) -> None:
    """With a status that tells whose mistake it is, and a trace in which it is recorded."""
    async with running(tmp_path, documents(SITE)) as app:
        await upload(app, "a")
        for path, status, code in (
            ("/photos/nothing", 404, "files.missing"),
            ("/photos/.env", 422, "files.bad_name"),
            ("/photos/con", 422, "files.bad_name"),
            ("/stream/nothing", 404, "files.missing"),
            ("/gone/a", 404, "files.missing"),
        ):
            answer = await app.http.get(path)
            problem = answer.json(into=dict[str, object])
            assert (answer.status, problem["code"]) == (status, code), path
            assert [s for s in app.spans if s.trace_id == problem["trace_id"] and s.failure], path
        too_long = await app.http.put("/raw/a", content=bytes(1_000_001))
        assert too_long.status == 413
        assert await app.call("documents.names") == []
