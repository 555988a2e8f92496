"""Kill the shop amid a crowd of orders, start it again, count; then mend a poisoned order.

    python -m apps.survive --orders 1000

Ends with 1 where any order was lost, doubled, or is not what it should be.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from apps.survive.crowd import Crowd
from apps.survive.shop import PATIENCE_S, Shop

SKUS = ["tea-assam", "tea-rooibos", "tea-earl-grey", "mug-stoneware"]


def main(arguments: Sequence[str]) -> int:
    """Do all of it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="survive", description="Kill the shop amid orders.")
    parser.add_argument("--orders", type=int, default=1000, help="at once; 3 to 5000")
    orders = parser.parse_args(arguments).orders
    if not 3 <= orders <= 5000:
        parser.error(f"--orders: expected 3 to 5000, got {orders}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="survive-") as folder, Shop(Path(folder)) as shop:
        try:
            wrong = _survive(shop, orders) + _mend(shop)
        except (RuntimeError, OSError) as error:
            wrong = [str(error)]
    for each in wrong:
        sys.stderr.write(f"wrong: {each}\n")
    _say(f"{'FAILED' if wrong else 'survived'} in {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def _survive(shop: Shop, orders: int) -> list[str]:
    """Order, kill, start again, and return what is wrong then."""
    shop.start()
    for sku in SKUS:
        shop.ask(f"/stock/{sku}/receipts", {"quantity": orders})
    before = dict(shop.rows(_AVAILABLE))
    crowd = Crowd(shop.url, SKUS, orders)
    _say(f"{orders} orders at once, and SIGKILL amid them")
    crowd.order(orders // 3, shop.kill)
    stored = _stored(shop)
    waiting = sum(status == "pending" for _, status in stored.values())
    _say(f"{len(crowd.acknowledged):>6} acknowledged")
    _say(f"{len(stored):>6} stored, of which {waiting} were on their way")
    shop.start()
    shop.settle()
    return _counted(shop, crowd.acknowledged, stored, before)


def _counted(
    shop: Shop,
    acknowledged: dict[str, int],
    stored: dict[int, tuple[str, str]],
    before: dict[str, int],
) -> list[str]:
    now = _stored(shop)
    by_key = Counter(key for key, _ in now.values())
    held = Counter(order_id for order_id, *_ in shop.rows(_HELD))
    lost = [key for key, n in acknowledged.items() if n not in now or now[n][0] != key]
    lost += [key for n, (key, _) in stored.items() if n not in now or not held[n]]
    doubled = [key for key, times in by_key.items() if times > 1]
    doubled += [f"order {n}" for n, times in held.items() if times > 1 or n not in now]
    gone = Counter(sku for _, sku, _ in shop.rows(_HELD))
    after = dict(shop.rows(_AVAILABLE))
    wrong = [f"{len(lost)} lost: {lost[:3]}"] if lost else []
    wrong += [f"{len(doubled)} doubled: {doubled[:3]}"] if doubled else []
    wrong += [f"{sku}: stock" for sku in SKUS if before[sku] - after[sku] != gone[sku]]
    wrong += [f"order {n} is {status}" for n, (_, status) in now.items() if status != "placed"]
    wrong += [f"order {n}: charge" for n, cents in shop.rows(_BY_CARD) if not _paid(shop, n, cents)]
    _say(f"{sum(held.values()):>6} held, each stored order once" if not wrong else "")
    _say(f"{len(lost):>6} lost")
    _say(f"{len(doubled):>6} doubled")
    if now:
        last = max(now)
        _say(f"\nwhy order {last} is placed: ringfence why\n{_why(shop, last)}")
    return wrong


def _mend(shop: Shop) -> list[str]:
    """Poison an order, mend it, and return what is wrong then."""
    line = {"sku": SKUS[0], "quantity": 1}
    order = shop.ask("/orders", {"lines": [line], "card": "tok_unknown"})["id"]
    dead = _dead(shop)
    if len(dead) != 1:
        return [f"{len(dead)} dead letters; expected the poisoned order's alone"]
    letter = dead[0]["id"]
    _say(f"order {order} is poisoned: a card that nobody knows\n{shop.command('why', letter)}")
    for words in (("edit", letter, "card=tok_visa"), ("replay", letter)):
        _say(f"ringfence dead {' '.join(words)}\n  {shop.command('dead', *words).strip()}")
    shop.settle()
    status = shop.ask(f"/orders/{order}")["status"]
    _say(f"order {order} is {status}\n")
    return [] if status == "placed" else [f"order {order} is {status}; expected placed"]


def _dead(shop: Shop) -> list[dict[str, str]]:
    ends_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends_at:
        found: list[dict[str, str]] = json.loads(shop.command("dead", "list", "--json"))["dead"]
        if found:
            return found
    return []


def _stored(shop: Shop) -> dict[int, tuple[str, str]]:
    rows = shop.rows("SELECT id, idempotency_key, status FROM orders")
    return {order_id: (key, status) for order_id, key, status in rows}


def _paid(shop: Shop, order_id: int, cents: int) -> bool:
    charge = shop.charge(order_id)
    return bool(charge["cents"] == cents and charge["state"] == "charged")


def _why(shop: Shop, order_id: int) -> str:
    return shop.command("why", shop.ask(f"/orders/{order_id}")["trace_id"])


def _say(line: str) -> None:
    if line:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


_AVAILABLE = "SELECT sku, available FROM stock"
_HELD = "SELECT order_id, sku, quantity FROM holds"
_BY_CARD = "SELECT id, goods_cents + shipping_cents FROM orders WHERE card IS NOT NULL"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
