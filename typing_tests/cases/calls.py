"""Decorated methods keep their types; contexts, budgets and `wait` have theirs."""

from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from msgspec import Struct

from ringfence import Budget, Context, Plugin, Principal, Settings, requires, service, wait
from ringfence.tools.clock import Clock
from ringfence.tools.db import Database, Transaction


class NewOrder(Struct):
    sku: str


class Order(Struct):
    id: int


class Level(Struct):
    available: int


class Billing(Settings, section="billing"):
    currency: str = "EUR"


@requires("inventory.level")
class LevelOf(Protocol):
    async def __call__(self, *, sku: str, least: int = 0) -> Level: ...


class Shared(Plugin):
    clock: Clock


class PlaceOrder(Shared):
    billing: Billing
    level: LevelOf | None
    SIZE: ClassVar[int] = 3

    @service("orders.place", timeout_s=2, calls=("inventory.level",))
    async def place(self, order: NewOrder, ctx: Context) -> Order:
        plain: object = await ctx.call("inventory.level", {"sku": order.sku})
        level: Level = await ctx.call("inventory.level", {"sku": order.sku}, into=Level)
        wrong: Order = await ctx.call("inventory.level", {}, into=Level)  # error: mypy, pyright
        missing: Level = await ctx.call("inventory.level", {})  # error: mypy, pyright
        ctx.spawn(self.later(), wall_s=1)
        ctx.spawn(self.later)  # error: mypy, pyright
        return Order(len([plain, level, wrong, missing]))

    async def later(self) -> None: ...

    @service("orders.count")
    def count(self) -> int:
        return 1


class Level2(Struct):
    sku: str


async def seven(*, sku: str, least: int = 0) -> Level:
    return Level(7)


async def narrow(*, sku: str) -> Level:
    return Level(7)


async def wide(*, sku: str, least: int = 0, most: int = 9) -> Level:
    return Level(7)


def not_async(*, sku: str, least: int = 0) -> Level:
    return Level(7)


class Fake:
    def monotonic(self) -> float:
        return 0.0


def made(clock: Clock, db: Database, ctx: Context) -> None:
    PlaceOrder(clock=clock, billing=Billing(), level=None)
    PlaceOrder(clock=clock, billing=Billing(), level=seven)
    PlaceOrder(clock=clock, billing=Billing(), level=wide)
    PlaceOrder(billing=Billing(), level=None)  # error: mypy, pyright
    PlaceOrder(clock=clock, billing=Billing())  # error: mypy, pyright
    PlaceOrder(clock, Billing(), None)  # error: mypy, pyright
    PlaceOrder(clock=Fake(), billing=Billing(), level=None)  # error: mypy, pyright
    PlaceOrder(clock=clock, billing=Level2("x"), level=None)  # error: mypy, pyright
    PlaceOrder(clock=clock, billing=Billing(), level=narrow)  # error: mypy, pyright
    PlaceOrder(clock=clock, billing=Billing(), level=not_async)  # error: mypy, pyright
    PlaceOrder(clock=clock, billing=Billing(), level=None, SIZE=4)  # error: mypy, pyright
    PlaceOrder(clock=clock, billing=Billing(), level=None, db=db)  # error: mypy, pyright


async def called(plugin: PlaceOrder, ctx: Context) -> None:
    order: Order = await plugin.place(NewOrder("tea"), ctx)
    await plugin.place("tea", ctx)  # error: mypy, pyright
    text: str = await plugin.place(NewOrder("tea"), ctx)  # error: mypy, pyright
    count: int = plugin.count()
    await plugin.count()  # error: mypy, pyright
    if plugin.level is not None:
        await plugin.level(sku="tea", least=1)
        await plugin.level("tea")  # error: mypy, pyright
        await plugin.level(skv="tea")  # error: mypy, pyright
    await plugin.level(sku="tea")  # error: mypy, pyright


def values(ctx: Context) -> None:
    Budget(calls=1, wall_s=0.5)
    Budget(wall="1s")  # error: mypy, pyright
    Principal("user:1").id = "user:2"  # error: mypy, pyright
    Billing().currency = "CHF"  # error: mypy, pyright
    name: str = ctx.principal.id  # error: mypy, pyright


def waited(work: Awaitable[int], db: Database) -> None:
    number: int = wait(work)
    text: str = wait(work)  # error: mypy, pyright
    block: AbstractContextManager[Transaction] = wait(db.transaction())
    with wait(db.transaction()) as tx:
        rows: int = wait(tx.execute("DELETE FROM x"))
    wait(7)  # error: mypy, pyright
