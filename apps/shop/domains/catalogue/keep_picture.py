"""Keep a picture of each product: take it in, hand it out, replace it.

A picture is stored under a name that is made of its content, so that a browser may keep it for
ever. It is stored before the row that speaks of it changes: whatever is cut off in between leaves
a file that nobody refers to, and never a row without its file. One that was replaced stays, for
the pages that still show it.
"""

import hashlib
from typing import Annotated

from msgspec import Meta, Struct

from domains.catalogue._products import NoSuchProduct
from ringfence import Invalid, Plugin
from ringfence.errors import Fault
from ringfence.tools.db import Database
from ringfence.tools.files import Files
from ringfence.tools.http import File, UploadFile, get, put

MAX_PICTURE_BYTES = 2 << 20
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
# By what such files begin with: what the client calls its upload proves nothing.
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif"}

PictureName = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\.(png|jpg|gif)$")]


class Picture(Struct):
    picture: str


class KeepPicture(Plugin):
    db: Database
    pictures: Files

    @put("/products/{sku}/picture", max_body_bytes=MAX_PICTURE_BYTES)
    async def keep(self, sku: str, picture: UploadFile) -> Picture:
        """Take a PNG, JPEG or GIF as the picture of a product."""
        content = await picture.read()
        kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
        if kind is None:
            fault = Fault("form.picture", "expected a PNG, JPEG or GIF")
            raise Invalid("the picture is of no kind that is shown.", faults=[fault])
        name = f"{hashlib.sha256(content).hexdigest()[:32]}.{kind}"
        await self.pictures.write(name, content)
        path = f"/pictures/{name}"
        if not await self.db.execute("UPDATE products SET picture = $2 WHERE sku = $1", sku, path):
            raise NoSuchProduct(sku)
        return Picture(path)

    @get("/pictures/{name}")
    async def show(self, name: PictureName) -> File:
        """Hand a picture out; its name says which version it is."""
        return File(await self.pictures.get(name), headers=FOREVER, inline=True)
