"""Play customers against the running shop for a while, and say what they met.

    python -m apps.traffic --seconds 30 --customers 20

Ends with 1 where the shop failed: it was not there, or answered with a bug.
"""

import argparse
import json
import math
import sys
import time
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from threading import Event, Thread
from urllib.parse import urlsplit

from apps.traffic.customer import Customer, Tally

MAX_SECONDS = 3600
MAX_CUSTOMERS = 200
# What the shop never answers by itself: a bug of it, or work that took too long.
_BUGS = ("500 ", "504 ")


def main(arguments: Sequence[str]) -> int:
    """Play, report, and return the exit code."""
    given = _parsed(arguments)
    try:
        skus = _skus(given.url)
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"{given.url}: no shop answers there: {error}. Start it by `make run`.\n")
        return 1
    tally, stop = Tally(), Event()
    host = urlsplit(given.url).netloc
    customers = [
        Customer(host, skus, tally, given.seed + n, given.pause) for n in range(given.customers)
    ]
    threads = [Thread(target=each.shop, args=(stop,), daemon=True) for each in customers]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        _watch(tally, began, given.seconds, stop)
    except KeyboardInterrupt:
        stop.set()
    for thread in threads:
        thread.join(timeout=40)
    return _report(tally, time.monotonic() - began)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="traffic", description="Play customers in the shop.")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seconds", type=Within(1, MAX_SECONDS), default=30)
    parser.add_argument("--customers", type=Within(1, MAX_CUSTOMERS), default=20)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two requests")
    parser.add_argument("--seed", type=int, default=1, help="the same one repeats a run")
    return parser.parse_args(arguments)


class Within:
    """A whole number within bounds, as an argument's type."""

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def __call__(self, text: str) -> int:
        number = int(text)
        if not self.least <= number <= self.most:
            raise argparse.ArgumentTypeError(f"expected {self.least} to {self.most}, got {number}")
        return number


def _skus(url: str) -> list[str]:
    """Return what the shop sells."""
    skus: list[str] = []
    cursor = ""
    while True:
        path = f"{url}/products?limit=100" + (f"&cursor={cursor}" if cursor else "")
        with urllib.request.urlopen(path, timeout=10) as answer:  # noqa: S310 - the user's own
            page = json.load(answer)
        skus += [product["sku"] for product in page["items"]]
        cursor = page["next"]
        if not cursor:
            return skus


def _watch(tally: Tally, began: float, seconds: int, stop: Event) -> None:
    """Write a line each second until the time is up."""
    while (passed := time.monotonic() - began) < seconds:
        done, taken = tally.outcomes.total(), tally.outcomes["order", "201 pending"]
        line = f"{passed:4.0f} s  {done} requests, {done / max(passed, 1):.0f} a second"
        line += f", {taken} orders taken"
        sys.stderr.write(f"\r{line:<78}" if sys.stderr.isatty() else f"{line}\n")
        sys.stderr.flush()
        stop.wait(min(1.0, seconds - passed))
    stop.set()


def _report(tally: Tally, took_s: float) -> int:
    total = tally.outcomes.total()
    say = sys.stdout.write
    say(f"\n{total} requests in {took_s:.0f} s, {total / took_s:.0f} a second\n\n")
    say(f"{'what':<14} {'count':>7} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'most ms':>8}\n")
    for deed, seconds in sorted(tally.seconds.items()):
        seconds.sort()
        shown = "".join(f" {_percentile(seconds, p) * 1000:>8.1f}" for p in (50, 95, 99, 100))
        say(f"{deed:<14} {len(seconds):>7}{shown}\n")
    say("\n")
    for (deed, outcome), count in sorted(tally.outcomes.items()):
        say(f"{deed:<14} {count:>7} {outcome}\n")
    failed = sum(n for (_, said), n in tally.outcomes.items() if not said[0].isdigit())
    failed += sum(n for (_, said), n in tally.outcomes.items() if said.startswith(_BUGS))
    if failed:
        say(f"\n{failed} failed; `ringfence trace` of the shop says more.\n")
    return 1 if failed else 0


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
