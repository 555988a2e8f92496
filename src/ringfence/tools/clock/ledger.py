"""What a process knows of its timers' states, and how it changes them: by comparing and setting.

Nothing is believed to be stored before the store has said so; a state that another process has
written meanwhile is read anew, never overwritten. Used by `service.py` alone.
"""

import logging

from msgspec import structs

from ringfence.kernel.ports import TimerState, TimerStore
from ringfence.tools.clock.planned import Planned

_log = logging.getLogger(__name__)


class Ledger:
    """The store of one application's timers, as one process sees it."""

    def __init__(self, store: TimerStore) -> None:
        self._store = store
        self._missing = False

    async def meet(self, timer: Planned) -> None:
        """Find out what is stored of a timer, or begin with now where nothing is."""
        while timer.state is None:
            state = await self._store.load(timer.name)
            if state is not None and state.spec == timer.schedule.spec:
                timer.see(state, ours=False)
            else:
                await self.put(timer, timer.fresh(0 if state is None else state.version))

    async def put(self, timer: Planned, state: TimerState) -> bool:
        """Store the state; return whether it was made from the one that is stored."""
        if not await self._store.put(state):
            return False
        timer.see(structs.replace(state, version=state.version + 1), ours=True)
        return True

    async def look(self, timer: Planned) -> None:
        """Find out what another process has stored."""
        state = await self._store.load(timer.name)
        if state is not None:
            timer.see(state, ours=False)

    def missing(self, error: Exception) -> None:
        """The store has not answered; told once."""
        if not self._missing:
            self._missing = True
            _log.error("timers wait: what they are stored in does not answer: %s", error)

    def found(self) -> None:
        """The store has answered."""
        if self._missing:
            self._missing = False
            _log.warning("timers go on: what they are stored in answers again")
