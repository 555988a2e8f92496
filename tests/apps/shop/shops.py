"""Where the shop is, copies of it to break, a provider for its payments, and orders for it."""

import shutil
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from apps.payment_provider.provider import Control, Provider
from ringfence.testing import TestApplication, boot
from ringfence.testing.http import HttpResponse
from ringfence.tools.fetch.doubles import Recorded, Reply
from ringfence.tools.fetch.drivers import memory

SHOP = Path(__file__).parents[3] / "apps" / "shop"
KEY = "only-for-trying-out"
# What a retry would wait for is the application's clock, which stands still.
NO_NETWORK = {"payment_provider": {"driver": "memory", "retries": 0}}


class ProviderDouble:
    """The payment provider in the test's own process, reached through the link's `memory` driver.

    `is_away`: nothing can be reached.
    """

    def __init__(self, app: TestApplication) -> None:
        driver = app.driver("payment_provider")
        assert isinstance(driver, memory.Driver)
        driver.respond = self._respond
        self.provider = Provider(KEY)
        self.is_away = False

    @property
    def charged(self) -> list[str]:
        """What is charged and was not given back."""
        charges = self.provider.charges.values()
        return [charge.reference for charge in charges if charge.state == "charged"]

    async def _respond(self, asked: Recorded) -> Reply:
        if self.is_away:
            return Reply(broken="refused")
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": asked.body}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        headers = [(name.encode(), value.encode()) for name, value in asked.headers.items()]
        scope = {"type": "http", "method": asked.method, "path": f"/v1/{asked.path}"}
        self.provider.control = Control(self.provider.control.mode, stall_s=0)
        await self.provider({**scope, "headers": headers}, receive, send)
        if len(sent) == 1:
            return Reply(broken="lost")
        start, end = sent
        kind = {name.decode(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], kind, end["body"])


@asynccontextmanager
async def open_shop(
    path: Path = SHOP, overrides: Mapping[str, object] | None = None, *, strict: bool = False
) -> AsyncIterator[tuple[TestApplication, ProviderDouble]]:
    """Boot the shop with a provider of its own."""
    tables = {"tools": NO_NETWORK, **(overrides or {})}
    async with boot(path, overrides=tables, strict=strict) as app:
        yield app, ProviderDouble(app)


def copy_of_the_shop(folder: Path) -> Path:
    """Return a copy of the shop's sources that a test may change."""
    unwanted = shutil.ignore_patterns("data", ".ringfence", "__pycache__")
    return Path(shutil.copytree(SHOP, folder / "shop", ignore=unwanted))


async def order(
    app: TestApplication,
    *,
    card: str | None = None,
    customer_id: str | None = None,
    key: str | None = None,
    **quantities: int,
) -> HttpResponse:
    """Order over HTTP: `order(app, tea_assam=2)`."""
    lines = [{"sku": sku.replace("_", "-"), "quantity": n} for sku, n in quantities.items()]
    new = {"lines": lines, "card": card, "customer_id": customer_id}
    headers = {"idempotency-key": key} if key else {}
    return await app.http.post("/orders", json=new, headers=headers)


async def settled_order(app: TestApplication, **given: Any) -> dict[str, Any]:
    """Order over HTTP, and return what has become of it once nothing happens any more."""
    answer = await order(app, **given)
    assert answer.status == 201, answer.text
    await app.settled()
    return await shown(app, answer.json(into=dict[str, Any])["id"])


async def post(app: TestApplication, path: str) -> HttpResponse:
    """Post nothing to a path, and wait until nothing happens any more."""
    answer = await app.http.post(path)
    await app.settled()
    return answer


async def elapse(app: TestApplication, minutes: float) -> None:
    """Let time pass, and what it brings about."""
    await app.settled()
    await app.clock.elapse(60.0 * minutes)
    await app.settled()


async def shown(app: TestApplication, order_id: int) -> dict[str, object]:
    """Return an order as it reads now."""
    return (await app.http.get(f"/orders/{order_id}")).json(into=dict[str, object])


async def available(app: TestApplication, sku: str) -> int:
    """Return how many pieces of a product can be ordered."""
    level = (await app.http.get(f"/stock/{sku}")).json(into=dict[str, object])
    return int(str(level["available"]))


def code(answer: HttpResponse) -> tuple[int, object]:
    """Return the status of a refusal and its code."""
    return answer.status, msgspec.json.decode(answer.body, type=dict[str, object])["code"]
