"""Move an order on with what has become of its stock and its money: a saga over events.

    received → held → paid → placed → shipping → shipped
         shortage, or declined, cancelled or given up: cancelling → released → cancelled

Each step is written down together with the event that leads to the next one. An answer that comes
when the order is somewhere else, such as a payment for one that is cancelled, moves nothing.
"""

from msgspec import Struct

from domains.orders._events import (
    OrderCancelled,
    OrderCancelling,
    OrderPayable,
    OrderPlaced,
    OrderShipped,
)
from domains.orders._orders import Order, OrderLine
from ringfence import Plugin, on
from ringfence.tools.db import Database, Transaction


class Answer(Struct):
    order_id: int


class Shortage(Struct):
    order_id: int
    why: str


class Declined(Struct):
    order_id: int
    said: str


class Moving(Order):
    card: str | None


class MoveOrder(Plugin):
    db: Database

    @on("inventory.held")
    async def held(self, held: Answer, tx: Transaction) -> None:
        order = await tx.fetch_one(_PENDING, held.order_id, into=Moving)
        if order is not None and order.card is not None:
            cents = order.goods_cents + order.shipping_cents
            tx.publish(OrderPayable(order.id, cents, order.currency, order.card))
        elif order is not None:
            await _place(tx, order.id)

    @on("inventory.shortage")
    async def short(self, short: Shortage, tx: Transaction) -> None:
        await _give_up(tx, short.order_id, short.why)

    @on("payments.paid")
    async def paid(self, paid: Answer, tx: Transaction) -> None:
        await _place(tx, paid.order_id)

    @on("payments.declined")
    async def declined(self, declined: Declined, tx: Transaction) -> None:
        await _give_up(tx, declined.order_id, f"payment declined: {declined.said}")

    @on("inventory.released")
    async def released(self, released: Answer, tx: Transaction) -> None:
        order = await tx.fetch_one(_MOVE, released.order_id, "cancelling", "cancelled", into=Order)
        if order is not None:
            tx.publish(OrderCancelled(order.id, order.customer_id))

    @on("inventory.shipped")
    async def shipped(self, shipped: Answer, tx: Transaction) -> None:
        order = await tx.fetch_one(_MOVE, shipped.order_id, "shipping", "shipped", into=Order)
        if order is not None:
            tx.publish(OrderShipped(order.id, order.customer_id))


async def _place(tx: Transaction, order_id: int) -> None:
    order = await tx.fetch_one(_MOVE, order_id, "pending", "placed", into=Order)
    if order is None:
        return
    lines = await tx.fetch_all(_LINES, order_id, into=OrderLine)
    tx.publish(
        OrderPlaced(
            order.id,
            order.customer_id,
            order.ordered_at,
            order.goods_cents,
            order.shipping_cents,
            lines,
        )
    )


async def _give_up(tx: Transaction, order_id: int, why: str) -> None:
    if await tx.execute(_CANCEL, order_id, why):
        tx.publish(OrderCancelling(order_id))


_PENDING = "SELECT * FROM orders WHERE id = $1 AND status = 'pending'"
_LINES = "SELECT sku, quantity, unit_cents FROM order_lines WHERE order_id = $1 ORDER BY sku"
_MOVE = "UPDATE orders SET status = $3 WHERE id = $1 AND status = $2 RETURNING *"
_CANCEL = """
    UPDATE orders SET status = 'cancelling', why = $2 WHERE id = $1 AND status = 'pending'
"""
