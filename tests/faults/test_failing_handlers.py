"""A handler that raises or is cancelled: rolled back, tried again, then a dead letter."""

from pathlib import Path

import pytest

from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, asked_throughout, failed
from .stage import Stage

pytestmark = pytest.mark.anyio

FILES = {
    "domains/orders/place.py": feature(
        """
        @event("orders.placed")
        class Placed(Struct):
            n: int

        class Place(Plugin):
            db: Database

            @service("orders.place")
            async def place(self, tx: Transaction) -> str:
                return tx.publish(Placed(1))
        """
    ),
    "domains/stock/migrations/20260101000000_held.sql": (
        "CREATE TABLE held (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);\n"
    ),
    "domains/stock/count.py": feature(
        """
        class Count(Plugin):
            db: Database

            @service("stock.count")
            async def count(self) -> int:
                return await self.db.fetch_value("SELECT count(*) FROM held", into=int)
        """
    ),
    **BYSTANDER,
}


def hold(ending: str) -> str:
    return feature(
        f"""
        import stage

        class Order(Struct):
            n: int

        class Hold(Plugin):
            db: Database

            @on("orders.placed", retries=1)
            async def hold(self, order: Order, tx: Transaction) -> None:
                await tx.execute("INSERT INTO held (n) VALUES ($1)", order.n)
                stage.said.append("held")
                {ending}
        """
    )


@pytest.mark.parametrize(
    "ending, kind",
    [
        ("raise ValueError('no luck')", "ValueError"),
        ("raise asyncio.CancelledError", "CancelledError"),
    ],
)
async def test_a_handler_that_fails(tmp_path: Path, stage: Stage, ending: str, kind: str) -> None:
    """What it wrote is undone at each attempt, and the dead letter and the spans say why."""
    async with running(tmp_path, {**FILES, "domains/stock/hold.py": hold(ending)}) as app:
        for attempt in (1, 2):
            async with asked_throughout(app):
                if attempt == 1:
                    await app.call("orders.place")
                await app.settled()
            # Nobody is asked meanwhile: a call in progress would be past its deadline.
            await app.clock.elapse(600)
        await app.settled()
        assert stage.said == ["held", "held"]
        assert await app.call("stock.count") == 0
        (letter,) = await app.dead_letters()
        assert (letter.subscription, letter.attempts) == ("stock.hold.hold", 2)
        assert kind in letter.state.error
        runs = [span for span in failed(app, "stock.hold", kind) if span.event]
        assert [(span.event.split()[0], span.attempt) for span in runs] == [
            ("orders.placed", 1),
            ("orders.placed", 2),
        ]
