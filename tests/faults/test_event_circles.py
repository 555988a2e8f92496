"""A handler whose own events come back to it ends at the hops limit, with the circle printed."""

from pathlib import Path

import pytest

from tests.kernel.apps import feature, running

from .bystander import BYSTANDER, asked_throughout, logged

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
    "domains/orders/echo.py": feature(
        """
        @event("orders.echoed")
        class Echoed(Struct):
            n: int

        class Order(Struct):
            n: int

        class Echo(Plugin):
            db: Database

            @on("orders.**", retries=0)
            async def echo(self, order: Order, tx: Transaction) -> None:
                tx.publish(Echoed(order.n + 1))
        """
    ),
    **BYSTANDER,
}


async def test_a_handler_of_all_orders_that_publishes_an_order(tmp_path: Path) -> None:
    """It becomes one dead letter that shows the circle, and nothing is published after it."""
    async with running(tmp_path, FILES) as app:
        async with asked_throughout(app):
            await app.call("orders.place")
            await app.settled()
        assert [order["n"] for order in app.published("orders.**")] == list(range(1, 18))
        (letter,) = await app.dead_letters()
        assert (letter.subscription, letter.envelope.topic) == ("orders.echo.echo", "orders.echoed")
        assert "orders.placed → orders.echoed → orders.echoed" in letter.state.error
        assert logged(app, "error", "orders.echo.echo", "orders.echoed", "16 deliveries")
