"""What requests carry, in a whole application: async and `def` handlers, services, uploads."""

import hashlib
import hmac
from pathlib import Path

import pytest
from msgspec import json

from tests.kernel.apps import feature, running
from tests.tools.http.arriving import END, MULTIPART, part

pytestmark = pytest.mark.anyio
FEATURES = {
    "domains/media/upload.py": feature(
        """
        import hashlib
        import hmac

        from ringfence.tools.http import (
            BodyStream, Cookie, Form, Header, Request, UploadFile, get, header, post
        )


        class Caption(Struct):
            title: str
            stars: int = 3


        class Stored(Struct):
            title: str
            sha256: str
            bytes: int


        class Upload(Plugin):
            @post("/photos", status=201, max_body_bytes=4 << 20)
            async def upload(self, caption: Form[Caption], photo: UploadFile) -> Stored:
                digest = hashlib.sha256()
                async for piece in photo.chunks():
                    digest.update(piece)
                return Stored(caption.title, digest.hexdigest(), photo.size_bytes)

            @post("/photos/blocking", max_body_bytes=4 << 20)
            def upload_blocking(self, photos: list[UploadFile]) -> list[int]:
                sizes = [sum(len(piece) for piece in wait(photo.chunks())) for photo in photos]
                for photo in photos:
                    wait(photo.seek(0))
                return [*sizes, *(len(wait(photo.read())) for photo in photos)]

            @post("/hooks")
            async def hook(
                self, body: bytes, signature: Annotated[str, header("X-Signature")]
            ) -> bool:
                expected = hmac.new(b"key", body, "sha256").hexdigest()
                return hmac.compare_digest(expected, signature)

            @post("/import", max_body_bytes=10)
            async def take_in(self, body: BodyStream) -> int:
                return sum([len(piece) async for piece in body])

            @get("/greeting")
            @service("media.greeting")
            async def greeting(self, name: Header[str], visits: Cookie[int] = 0) -> str:
                return f"{name} {visits}"

            @post("/where")
            async def where(self, request: Request) -> str:
                return f"{request.method} {request.path} {request.headers['X-Here']}"
        """
    )
}


async def test_a_form_with_a_file_reaches_its_handler(tmp_path: Path) -> None:
    """Whole, whether it is small or on disk; `def` handlers read it as well."""
    content = bytes(range(256)) * 4096
    body = b"".join([part("title", b"Cat"), part("photo", content, "cat.png"), END])
    async with running(tmp_path, FEATURES) as app:
        response = await app.http.post("/photos", content=body, headers=MULTIPART)
        assert response.status == 201, response.text
        assert response.json() == {
            "title": "Cat",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }
        several = b"".join([part("photos", content, "a"), part("photos", b"xy", "b"), END])
        response = await app.http.post("/photos/blocking", content=several, headers=MULTIPART)
        assert response.json() == [len(content), 2] * 2


async def test_the_limit_of_a_route_is_its_own(tmp_path: Path) -> None:
    """For a form that is read beforehand, and for a body that its handler reads."""
    async with running(tmp_path, FEATURES) as app:
        long = part("photo", b"x" * (4 << 20), "a") + END
        assert (await app.http.post("/photos", content=long, headers=MULTIPART)).status == 413
        assert (await app.http.post("/import", content=b"x" * 10)).json() == 10
        assert (await app.http.post("/import", content=b"x" * 11)).status == 413


async def test_a_webhook_checks_its_signature_over_the_raw_body(tmp_path: Path) -> None:
    """The bytes are those that were sent."""
    body = b'{"a": 1,   "b": "\xff"}'
    signature = hmac.new(b"key", body, "sha256").hexdigest()
    async with running(tmp_path, FEATURES) as app:
        sent = {"X-Signature": signature}
        assert (await app.http.post("/hooks", content=body, headers=sent)).json() is True
        assert (await app.http.post("/hooks", content=body + b" ", headers=sent)).json() is False
        refused = await app.http.post("/hooks", content=body)
        assert refused.status == 422
        assert json.decode(refused.body)["errors"] == [
            {"path": "header.x-signature", "message": "is missing"}
        ]


async def test_a_route_with_headers_is_a_service_of_plain_values(tmp_path: Path) -> None:
    """One method, both ways in."""
    async with running(tmp_path, FEATURES) as app:
        headers = {"Name": "Ada", "Cookie": "visits=7"}
        assert (await app.http.get("/greeting", headers=headers)).json() == "Ada 7"
        assert await app.call("media.greeting", name="Bob") == "Bob 0"


async def test_a_handler_may_ask_for_the_request(tmp_path: Path) -> None:
    """Where its parameters do not say enough."""
    async with running(tmp_path, FEATURES) as app:
        response = await app.http.post("/where?x=1", headers={"x-here": "y"})
        assert response.json() == "POST /where y"
