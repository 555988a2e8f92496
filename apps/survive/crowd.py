"""A crowd that orders at once: each customer has a connection of its own, and asks one time."""

import asyncio
import json
from collections.abc import Callable
from urllib.parse import urlsplit

CARDS = ("tok_visa", None)


class Crowd:
    """So many customers, each with one order for one piece.

    `acknowledged` holds the numbers of the orders that were answered with 201, by key.
    """

    def __init__(self, url: str, skus: list[str], orders: int) -> None:
        self.acknowledged: dict[str, int] = {}
        self._address = urlsplit(url)
        self._skus = skus
        self._orders = orders

    def order(self, amid: int, then: Callable[[], object]) -> None:
        """Let all of them order at once; when so many are acknowledged, call `then`."""
        asyncio.run(self._order(amid, then))

    async def _order(self, amid: int, then: Callable[[], object]) -> None:
        customers = [asyncio.create_task(self._one(n)) for n in range(self._orders)]
        for answered in asyncio.as_completed(customers):
            await answered
            if len(self.acknowledged) >= amid:
                then()  # while nobody here can read another answer
                break
        await asyncio.gather(*customers)

    async def _one(self, n: int) -> None:
        line = {"sku": self._skus[n % len(self._skus)], "quantity": 1}
        body = json.dumps({"lines": [line], "card": CARDS[n % len(CARDS)]}).encode()
        try:
            status, answer = await self._post(f"crowd-{n}", body)
        except (OSError, EOFError, ValueError):  # the shop was killed: the customer has no answer
            return
        if status == 201:
            self.acknowledged[f"crowd-{n}"] = json.loads(answer)["id"]

    async def _post(self, key: str, body: bytes) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            head = f"POST /orders HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            head += f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
            head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            # `HTTP/1.1 201 …`, headers, an empty line, the answer; cut short, it is none.
            head_of_answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head_of_answer.partition("content-length:")[2].split("\r\n")[0])
            return int(head_of_answer.split()[1]), await reader.readexactly(length)
        finally:
            writer.close()
