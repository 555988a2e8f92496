"""What a test and the features that it writes share: ways to hang, and the way out of them."""

import asyncio
import threading
import types


class Stage(types.ModuleType):
    """The module that features import as `stage`.

    `hang`, `hang_async` and `hang_for_good` return when the test says `release`, at its end.
    """

    def __init__(self) -> None:
        super().__init__("stage")
        self.wake_up = threading.Event()
        self.woken = asyncio.Event()
        self.entered = threading.Semaphore(0)
        self.said: list[str] = []

    def hang(self) -> None:
        """Block this thread."""
        self.entered.release()
        self.wake_up.wait(20)

    async def hang_async(self) -> None:
        """Suspend; end when cancelled."""
        self.entered.release()
        await self.woken.wait()

    async def hang_for_good(self) -> None:
        """Suspend, and swallow every cancellation."""
        self.entered.release()
        while not self.woken.is_set():
            try:
                await self.woken.wait()
            except asyncio.CancelledError:
                self.said.append("swallowed")

    async def come_in(self, count: int = 1) -> None:
        """Wait until so many hang."""
        for _ in range(count):
            assert await asyncio.to_thread(self.entered.acquire, timeout=10)

    def release(self) -> None:
        """Let everything go that hangs."""
        self.wake_up.set()
        self.woken.set()
