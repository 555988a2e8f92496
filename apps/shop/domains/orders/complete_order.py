"""Complete an order that is on its way: to placed, to shipped, or to cancelled.

Each step is written down once it is done, and may be done again: stock is held once for an order,
a card is charged once, released once, refunded once. So whatever is cut off in between is completed
by calling this again, and two that complete one order at once do no harm.
"""

from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from domains.orders._orders import NoSuchOrder, Order, Status
from ringfence import (
    AppError,
    Conflict,
    Plugin,
    PluginQuarantined,
    ToolUnavailable,
    requires,
    service,
)
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database
from ringfence.tools.log import Log

News = Literal["placed", "shipped", "cancelled"]


class Line(Struct):
    sku: str
    quantity: int


class Payment(Struct):
    """What this feature needs of a payment, and no more."""

    state: Literal["charging", "paid", "declined", "refunding", "refunded"]
    said: str


@requires("inventory.hold")
class HoldStock(Protocol):
    async def __call__(self, *, order_id: int, lines: list[Line]) -> None: ...


@requires("inventory.release")
class ReleaseStock(Protocol):
    async def __call__(self, *, order_id: int) -> None: ...


@requires("inventory.ship")
class ShipStock(Protocol):
    async def __call__(self, *, order_id: int) -> None: ...


@requires("payments.charge")
class Charge(Protocol):
    async def __call__(self, *, order_id: int, cents: int, currency: str, card: str) -> Payment: ...


@requires("payments.refund")
class Refund(Protocol):
    async def __call__(self, *, order_id: int) -> None: ...


@requires("notifications.send")
class Notify(Protocol):
    async def __call__(self, *, order_id: int, customer_id: UUID, kind: News) -> None: ...


class OutOfStock(Conflict, code="orders.out_of_stock"):
    """Fewer pieces are available than were ordered; the order is cancelled."""


class PaymentDeclined(AppError, code="orders.payment_declined"):
    """The card was not charged; the order is cancelled."""

    status = 402


class CancelledMeanwhile(Conflict, code="orders.cancelled_meanwhile"):
    """Somebody cancelled the order before it was placed."""


class Begun(Order):
    """An order, with what is needed to complete it."""

    card: str | None
    told: str


class CompleteOrder(Plugin):
    db: Database
    clock: Clock
    log: Log
    hold: HoldStock
    release: ReleaseStock
    ship: ShipStock
    charge: Charge
    refund: Refund
    notify: Notify

    @service("orders.complete")
    async def complete(self, order_id: int) -> Order:
        """Bring an order to where it is going, and return it.

        Returns: The order; still `pending` where its payment is open, to be completed later.
        """
        order = await self.db.fetch_one(_BEGIN, order_id, self.clock.now(), into=Begun)
        if order is None:
            raise NoSuchOrder(order_id)
        match order.status:
            case "pending":
                await self._place(order)
            case "cancelling":
                await self._undo(order)
            case "shipping":
                await self.ship(order_id=order.id)
                await self._move(order, "shipping", "shipped")
            case "placed" | "shipped" | "cancelled":
                pass  # it is there
        return await self._told(order.id)

    async def _place(self, order: Begun) -> None:
        lines = await self.db.fetch_all(_LINES, order.id, into=Line)
        try:
            await self.hold(order_id=order.id, lines=lines)
        except Conflict as shortage:
            await self._give_up(order, shortage.message)
            raise OutOfStock(shortage.message) from shortage
        if order.card is not None and not await self._is_paid(order, order.card):
            return
        if not await self._move(order, "pending", "placed"):
            await self._look_again(order)

    async def _is_paid(self, order: Begun, card: str) -> bool:
        payment = await self.charge(
            order_id=order.id,
            cents=order.goods_cents + order.shipping_cents,
            currency=order.currency,
            card=card,
        )
        if payment.state == "declined":
            await self._give_up(order, f"payment declined: {payment.said}")
            raise PaymentDeclined(f"order {order.id}: {payment.said}")
        return payment.state != "charging"

    async def _give_up(self, order: Begun, why: str) -> None:
        """Cancel a pending order, and undo what was done for it."""
        if await self._move(order, "pending", "cancelling", why):
            await self._undo(order)
        else:
            await self._look_again(order)

    async def _look_again(self, order: Begun) -> None:
        """See what somebody else has made of the order meanwhile: it may have to be undone."""
        now = await self._order(order.id)
        if now.status in ("cancelling", "cancelled"):
            await self._undo(now)
            raise CancelledMeanwhile(f"order {order.id} was cancelled before it was placed.")

    async def _undo(self, order: Begun) -> None:
        await self.release(order_id=order.id)
        if order.card is not None:
            await self.refund(order_id=order.id)
        await self._move(order, "cancelling", "cancelled")

    async def _told(self, order_id: int) -> Order:
        """Tell the customer what has become of the order; a failure is made up for later."""
        order = await self._order(order_id)
        if order.customer_id is None or order.told == order.status:
            return order
        if order.status in ("placed", "shipped", "cancelled"):
            try:
                await self.notify(
                    order_id=order.id, customer_id=order.customer_id, kind=order.status
                )
            except (ToolUnavailable, PluginQuarantined) as failure:
                self.log.warning("customer is not told yet", order_id=order.id, why=str(failure))
            else:
                await self.db.execute(_TOLD, order.id, order.status)
        return order

    async def _order(self, order_id: int) -> Begun:
        return (await self.db.fetch_all(_ORDER, order_id, into=Begun))[0]

    async def _move(self, order: Begun, before: Status, after: Status, why: str = "") -> bool:
        """Move the order on, unless somebody has done so meanwhile."""
        return await self.db.execute(_MOVE, order.id, before, after, why) == 1


_LINES = "SELECT sku, quantity FROM order_lines WHERE order_id = $1 ORDER BY sku"
_BEGIN = "UPDATE orders SET tried_at = $2 WHERE id = $1 RETURNING *"
_ORDER = "SELECT * FROM orders WHERE id = $1"
_MOVE = """
    UPDATE orders SET status = $3, why = CASE WHEN $4 = '' THEN why ELSE $4 END
    WHERE id = $1 AND status = $2
"""
_TOLD = "UPDATE orders SET told = $2 WHERE id = $1"
