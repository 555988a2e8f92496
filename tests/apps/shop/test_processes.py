"""The shop as `make run` starts it, with a real payment provider beside it, and real customers."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.traffic.__main__ import main as traffic
from tests.apps.shop.shops import KEY, copy_of_the_shop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="one process becomes another")
ROOT = Path(__file__).parents[3]


class Running:
    """The shop and its provider, in processes of their own."""

    def __init__(self, shop: Path) -> None:
        run = [sys.executable, "-m", "ringfence", "run", str(shop), "--port", "0"]
        self.child = subprocess.Popen(
            [sys.executable, "-m", "apps.payment_provider", "--port", "0", "--", *run],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.provider = self._says(r"payment provider: (http://\S+)")
        self.shop = self._says(r"^  (http://127\.0\.0\.1:\d+)/$")

    def _says(self, pattern: str) -> str:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if found := re.search(pattern, line.rstrip()):
                return found[1]
        raise AssertionError(f"it ended without saying {pattern}")

    def kill(self) -> str:
        """Kill the shop; return what was said until both had ended."""
        assert self.child.stdout is not None
        self.child.send_signal(signal.SIGKILL)
        return self.child.communicate(timeout=10)[0]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(copy_of_the_shop(tmp_path))
    try:
        yield running
    finally:
        running.kill()


def ask(method: str, url: str, body: object = None) -> tuple[int, dict[str, object]]:
    """Send JSON, and return the status and the JSON that comes back."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(url, content, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def pay(running: Running, card: str) -> int:
    """Order something by card; return the order's number."""
    lines = [{"sku": "tea-earl-grey", "quantity": 1}]
    status, answer = ask("POST", f"{running.shop}/orders", {"lines": lines, "card": card})
    assert (status, answer["status"]) == (201, "pending")
    return int(str(answer["id"]))


def becomes(running: Running, order_id: int, status: str) -> bool:
    """Look at an order until it is what it should be; each look is a request of its own."""
    for _ in range(2000):
        if ask("GET", f"{running.shop}/orders/{order_id}")[1]["status"] == status:
            return True
    return False


def test_cards_are_charged_at_a_provider_that_fails_in_every_way(running: Running) -> None:
    """What is lost or fails once is asked for again; what is down leaves the order pending."""
    for card, ends in (
        ("tok_visa", "placed"),
        ("tok_lost", "placed"),
        ("tok_flaky", "placed"),
        ("tok_declined", "cancelled"),
    ):
        assert becomes(running, pay(running, card), ends)
    assert ask("PUT", f"{running.provider}/control", {"mode": "fail"})[0] == 200
    waiting = pay(running, "tok_visa")
    assert ask("PUT", f"{running.provider}/control", {"mode": "work"})[0] == 200
    assert becomes(running, waiting, "placed")  # at the second attempt of the link
    charge = ask("GET", f"{running.provider}/v1/charges/order-2")[1]
    assert (charge["cents"], charge["state"]) == (850 + 490, "charged")


def test_customers_are_served_until_the_shop_ends_and_its_provider_with_it(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they met is told; of a killed shop nothing stays behind, and nobody is left to serve."""
    given = ["--seconds", "1", "--customers", "6", "--pause", "0.02", "--url"]
    assert traffic([*given, running.shop]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^\d+ requests in \d s", told, re.MULTILINE)
    assert re.search(r"^order +\d+ 201 pending", told, re.MULTILINE)
    assert re.search(r"^rubbish +\d+ 4\d\d ", told, re.MULTILINE)
    running.kill()  # waits until there is nobody who could say something
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(running.provider, timeout=5)
    assert traffic([*given, running.shop]) == 1
    assert "no shop answers there" in capsys.readouterr().err
