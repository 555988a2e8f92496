"""The shop and its payment provider in processes of their own, to be killed and started again.

Works on a copy of the shop, so that its data is nobody else's. All that is waited for is bounded.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

SOURCES = Path(__file__).parents[1] / "shop"
KEY = "only-for-trying-out"
MOST_AT_ONCE = 10_000  # a crowd comes from one address, which the shop would take for an attack
PATIENCE_S = 45.0  # for whatever has to happen; far more than it takes


class Shop:
    """A copy of the shop below a folder, with a provider beside it.

    Raises:
        RuntimeError: Something has ended, or has not happened within its time.
    """

    def __init__(self, folder: Path) -> None:
        unwanted = shutil.ignore_patterns("data", ".ringfence", "__pycache__")
        self.path = Path(shutil.copytree(SOURCES, folder / "shop", ignore=unwanted))
        table = self.path / "ringfence.toml"
        many = f"[tools.http]\nmax_connections_per_address = {MOST_AT_ONCE}\n"
        table.write_text(table.read_text("utf-8").replace("[tools.http]\n", many), "utf-8")
        self.url = ""
        self._log = (folder / "log.txt").open("a+")
        self._process: subprocess.Popen[str] | None = None
        self._environment = dict(os.environ)
        self._provider = self._start(["apps.payment_provider", "--port", "0"], subprocess.PIPE)
        self._provider_url = _says(self._provider.stderr, r"payment provider: (http://\S+)")
        self._environment["PAYMENT_PROVIDER_URL"] = f"{self._provider_url}/v1/"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in (self._process, self._provider):
            if process is not None:
                process.kill()
                process.communicate()
        self._log.close()

    def start(self) -> None:
        """Start the shop, and wait until it serves."""
        run = ["ringfence", "run", str(self.path), "--port", "0", "--json"]
        self._process = self._start(run, self._log)
        try:
            ready = json.loads(_says(self._process.stdout, r'(\{"event": "ready".*)'))
        except RuntimeError as error:
            self._log.seek(0)
            raise RuntimeError(f"{error}; its log ends with {self._log.read()[-2000:]}") from None
        self.url = ready["addresses"][0]

    def kill(self) -> None:
        """Kill the shop with SIGKILL; the provider goes on."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def command(self, *words: str) -> str:
        """Run a command of `ringfence` on the running shop; return what it prints."""
        command = [sys.executable, "-m", "ringfence", *words, "--app", str(self.path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)  # noqa: S603 - this program's own
        if done.returncode:
            raise RuntimeError(f"ringfence {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def settle(self) -> None:
        """Wait until no event waits for any subscription."""
        ends_at = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends_at:  # each look is a command of its own, and takes its time
            found = json.loads(self.command("subscriptions", "--json"))["subscriptions"]
            if not any(each["waiting"] for each in found):
                return
        raise RuntimeError(f"events still wait after {PATIENCE_S:g} s. See `subscriptions`.")

    def ask(self, path: str, body: object = None) -> dict[str, Any]:
        """Send a request to the shop, with JSON in it if there is any, and return its answer."""
        return _ask(self.url + path, body)

    def charge(self, order_id: int) -> dict[str, Any]:
        """Return what the provider has charged for an order."""
        return _ask(f"{self._provider_url}/v1/charges/order-{order_id}", None)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the shop's database, past the shop."""
        database = sqlite3.connect(f"file:{self.path}/data/shop.db?mode=ro", uri=True)
        try:
            return database.execute(sql).fetchall()
        finally:
            database.close()

    def _start(self, module: list[str], errors: IO[str] | int) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - this program's own
            [sys.executable, "-m", *module],
            cwd=SOURCES.parents[1],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def _says(stream: IO[str] | None, pattern: str) -> str:
    assert stream is not None
    for line in stream:
        if found := re.search(pattern, line):
            return found[1]
    raise RuntimeError(f"it ended without saying {pattern}")


def _ask(url: str, body: object) -> dict[str, Any]:
    content = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(url, content, headers)  # noqa: S310 - of this machine
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found
