"""One customer: what it does, by chance, and what it takes for an answer.

A customer has a connection that it keeps, a random source of its own, and a tally that it shares
with the others. Its requests are those of a browser or a program; a fraction of them is rubbish,
which the shop is expected to refuse.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from threading import Event, Lock
from urllib.parse import quote
from uuid import UUID

TIMEOUT_S = 35  # a little more than the shop gives a request
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
WORDS = ("tea", "grey", "honey", "mug", "Jasmine", "250 g", "%", "<b>", "ö", "nothing like it")
# Most pay without trouble; some cards make the provider fail, each in its own way.
CARDS = ("tok_visa",) * 12 + (None,) * 4 + ("tok_declined", "tok_lost", "tok_flaky", "tok_poor")
HARD_CARDS = ("tok_stall", "tok_down")
RUBBISH: tuple[tuple[str, str, bytes], ...] = (
    ("POST", "/orders", b"{"),
    ("POST", "/orders", b'{"lines": []}'),
    ("POST", "/orders", b'{"lines": [{"sku": 7, "quantity": -1}], "coupon": "X"}'),
    ("POST", "/orders", b'{"lines": [{"sku": "no-such-thing", "quantity": 1}]}'),
    ("POST", "/orders", b"[" * 5000),
    ("GET", "/orders/0", b""),
    ("GET", "/orders/99999999999999999999", b""),
    ("GET", "/products?cursor=nonsense", b""),
    ("GET", "/products/..%2F..%2Fetc%2Fpasswd", b""),
    ("GET", "/pictures/%00", b""),
    ("DELETE", "/products", b""),
    ("GET", "/" + "a" * 9000, b""),
)


class Tally:
    """What all customers have met, by what they did: outcomes, and how long they took."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self._lock = Lock()

    def add(self, deed: str, outcome: str, took_s: float) -> None:
        """Count one request."""
        with self._lock:
            self.outcomes[deed, outcome] += 1
            self.seconds.setdefault(deed, []).append(took_s)


class Customer:
    """Does one thing after another until it is told to stop.

    Args:
        host: Of the shop, with its port: `127.0.0.1:8000`.
        skus: What it may order.
        tally: What it meets is counted there.
        seed: Of its random source; the same seed does the same.
        pause_s: How long it thinks between two requests, on average.
    """

    def __init__(self, host: str, skus: list[str], tally: Tally, seed: int, pause_s: float) -> None:
        self._skus = skus
        self._tally = tally
        self._chance = random.Random(seed)  # noqa: S311 - nothing secret hangs on it
        self._pause_s = max(pause_s, 0.001)
        self._connection = HTTPConnection(host, timeout=TIMEOUT_S)

    def shop(self, stop: Event) -> None:
        """Do things by chance until `stop` is set."""
        deeds: list[Callable[[], None]] = [self._browse, self._search, self._order, self._rubbish]
        while not stop.is_set():
            self._chance.choices(deeds, weights=(35, 25, 35, 5))[0]()
            stop.wait(self._chance.expovariate(1 / self._pause_s))
        self._connection.close()

    def _browse(self) -> None:
        self._ask("front", "GET", "/")
        self._ask("product", "GET", f"/shop/products/{self._sku()}")

    def _search(self) -> None:
        word = self._chance.choice(WORDS)
        path = "/products?limit=20&search=" + quote(word)
        cursor = self._ask("search", "GET", path).get("next")
        if cursor:
            self._ask("search", "GET", f"{path}&cursor={cursor}")

    def _order(self) -> None:
        """Order a few things, sometimes twice in impatience, and look at what has become of it."""
        skus = {self._sku() for _ in range(self._chance.randint(1, 4))}
        lines = [{"sku": sku, "quantity": self._chance.choice((1, 1, 2, 12))} for sku in skus]
        is_hard = self._chance.random() < 0.02
        card = self._chance.choice(HARD_CARDS if is_hard else CARDS)
        body = json.dumps({"lines": lines, "card": card}).encode()
        headers = {**JSON, "Idempotency-Key": str(UUID(int=self._chance.getrandbits(128)))}
        order = self._ask("order", "POST", "/orders", body, headers)
        if self._chance.random() < 0.05:
            self._ask("order again", "POST", "/orders", body, headers)
        if "id" in order:
            self._ask("look at order", "GET", f"/orders/{order['id']}")
            if self._chance.random() < 0.1:
                self._ask("cancel", "POST", f"/orders/{order['id']}/cancel")

    def _rubbish(self) -> None:
        method, path, body = self._chance.choice(RUBBISH)
        self._ask("rubbish", method, path, body, JSON if body else {})

    def _sku(self) -> str:
        return self._chance.choice(self._skus)

    def _ask(
        self,
        deed: str,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Send a request, count what comes, and return it where it is an object of JSON."""
        began = time.monotonic()
        answer: dict[str, object] = {}
        try:
            self._connection.request(method, path, body or None, dict(headers or {}))
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            outcome = type(error).__name__
        else:
            if response.headers.get_content_subtype() in ("json", "problem+json"):
                answer = json.loads(content)
            outcome = str(answer.get("code") or answer.get("status") or "fine")
            outcome = f"{response.status} {outcome}"
        self._tally.add(deed, outcome, time.monotonic() - began)
        return answer
