"""A body as it was before it was compressed, in pieces of a bounded size."""

import zlib
from collections.abc import AsyncIterator, Iterator

from ringfence.tools.fetch.contract import BadResponse

PIECE_BYTES = 64 << 10
_GZIP = 16 + zlib.MAX_WBITS


async def decoded(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Undo a content encoding; a piece is at most `PIECE_BYTES`, whatever it was packed into.

    Raises:
        BadResponse: An encoding that was not asked for, or data that is not in it.
    """
    match encoding.strip().lower():
        case "" | "identity":
            async for chunk in chunks:
                for start in range(0, len(chunk), PIECE_BYTES):
                    yield chunk[start : start + PIECE_BYTES]
        case "gzip" | "x-gzip":
            unpack = _Gunzip()
            async for chunk in chunks:
                for piece in unpack.fed(chunk):
                    yield piece
            unpack.finish()
        case _:
            raise BadResponse(
                f"its body is encoded; expected gzip or nothing, got {encoding!r:.80}."
            )


class _Gunzip:
    """Members of gzip, one after the other."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._fed = False  # whether the member has begun

    def fed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                self._fed = True
                piece = self._member.decompress(data, PIECE_BYTES)
                data = self._member.unconsumed_tail
                if self._member.eof:
                    data = self._member.unused_data
                    self._member, self._fed = zlib.decompressobj(_GZIP), False
                if piece:
                    yield piece
        except zlib.error:
            raise BadResponse("its body says it is gzip, and is not.") from None

    def finish(self) -> None:
        if self._fed:
            raise BadResponse("its body breaks off in the middle of what was compressed.")
