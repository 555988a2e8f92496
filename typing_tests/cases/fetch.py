"""Requests have the types of their answers, and take the options that they can have."""

from typing import assert_type

from msgspec import Struct

from ringfence import Plugin, wait
from ringfence.tools.fetch import Download, Fetch, Response


class Charge(Struct):
    id: str


class Pay(Plugin):
    payments: Fetch

    async def pay(self) -> None:
        assert_type(await self.payments.post("charges", json={"amount": 1}, into=Charge), Charge)
        assert_type(await self.payments.get("charges", "ch_1", params={"a": [1, None]}), Response)
        assert_type(await self.payments.head("charges", expect={200, 404}), Response)
        async with self.payments.stream("GET", "export") as download:
            assert_type(download, Download)
            async for piece in download.chunks():
                assert_type(piece, bytes)

    def look_up(self) -> None:
        assert_type(wait(self.payments.get("charges", into=list[Charge])), list[Charge])

    async def mistaken(self) -> None:
        await self.payments.get("charges", json={})  # error: mypy, pyright
        await self.payments.get("charges", 7)  # error: mypy, pyright
        await self.payments.post("charges", body=b"")  # error: mypy, pyright
        await self.payments.post("charges", idempotency_key=7)  # error: mypy, pyright
        await self.payments.post()  # error: mypy, pyright
        self.payments.stream("GET", "export", into=Charge)  # error: mypy, pyright
