"""Decorated methods keep their types; contexts, budgets and `wait` have theirs."""

from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol, assert_type

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
    assert_type(await plugin.place(NewOrder("tea"), ctx), Order)
    await plugin.place("tea", ctx)  # error: mypy, pyright
    assert_type(await plugin.place(NewOrder("tea"), ctx), str)  # error: mypy, pyright
    assert_type(plugin.count(), int)
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
    assert_type(ctx.principal.id, str)  # error: mypy, pyright


def waited(work: Awaitable[int], db: Database) -> None:
    assert_type(wait(work), int)
    assert_type(wait(work), str)  # error: mypy, pyright
    assert_type(wait(db.transaction()), AbstractContextManager[Transaction])
    with wait(db.transaction()) as tx:
        assert_type(wait(tx.execute("DELETE FROM x")), int)
    wait(7)  # error: mypy, pyright
