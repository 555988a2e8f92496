"""The events of a running application, for whoever operates or tests it.

Publish from outside, see what waits, look at dead letters and let them run again. What features
publish does not pass here. Made by `app.py`; used by the control socket, the console and `testing`.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from ringfence.contracts.payload import read
from ringfence.errors import NotFound, did_you_mean
from ringfence.kernel.delivery import DeadLetter, DeliveryStore, Standing
from ringfence.kernel.events import Dispatcher
from ringfence.kernel.lane import Lane, Paused
from ringfence.kernel.manifest import Manifest
from ringfence.kernel.publisher import Publisher
from ringfence.kernel.topics import event_type
from ringfence.redaction import Redactor
from ringfence.report import SubscriptionStatus

OUTSIDE = "outside"  # who publishes what no feature does


class Deliveries:
    """What becomes of the events of one application."""

    def __init__(
        self,
        manifest: Manifest,
        publisher: Publisher,
        dispatcher: Dispatcher,
        store: DeliveryStore,
        redact: Redactor,
    ) -> None:
        self._manifest = manifest
        self._publisher = publisher
        self._redact = redact
        self.dispatcher = dispatcher
        self.store = store

    async def publish(self, topic: str, payload: Mapping[str, object]) -> str:
        """Publish an event from outside; return its id once it is stored.

        Raises:
            NotFound: The application publishes nothing to that topic.
            Invalid: The payload does not fit; `faults` lists every fault.
            ToolUnavailable: It could not be stored.
        """
        known = self._manifest.events
        if topic not in known:
            said = f"nobody here publishes to it{did_you_mean(topic, sorted(known))}"
            raise NotFound(said, subject=topic)
        return await self.publish_event(read(payload, known[topic][0].cls, topic))

    async def publish_event(self, event: object) -> str:
        """Publish an instance of a class under `@event`, as `publish` does."""
        kind = event_type(type(event))
        domain = "" if kind is None else kind.topic.partition(".")[0]
        envelope = self._publisher.seal(event, OUTSIDE, domain)
        await self.store.publish([envelope])
        return envelope.id

    async def subscriptions(self) -> list[SubscriptionStatus]:
        """Return what is subscribed to, and what an earlier version of the application was, as long
        as something is left of that; raises ToolUnavailable."""
        standings = {standing.name: standing for standing in await self.store.standings()}
        lanes = self.dispatcher.lanes
        found = [self._status(lane, standings.get(lane.name)) for lane in lanes.values()]
        for name, left in standings.items():
            if name not in lanes and (left.waiting or left.dead):
                found.append(
                    SubscriptionStatus(
                        name=name,
                        pattern=left.pattern,
                        state="removed",
                        reason=left.paused,
                        waiting=left.waiting,
                        dead=left.dead,
                        oldest_at=left.oldest_at,
                    )
                )
        return sorted(found, key=lambda one: one.name)

    def _status(self, lane: Lane, stored: Standing | None) -> SubscriptionStatus:
        paused = lane.state if isinstance(lane.state, Paused) else None
        return SubscriptionStatus(
            name=lane.name,
            pattern=lane.on.pattern,
            state="active" if paused is None else "paused",
            reason="" if paused is None else self._redact.cut(paused.cause),
            waiting=len(lane.passing) if stored is None else stored.waiting,
            dead=0 if stored is None else stored.dead,
            running=lane.running,
            delivered=lane.delivered,
            failed=lane.failed,
            dropped=lane.dropped,
            oldest_at=None if stored is None else stored.oldest_at,
            broadcast=lane.on.broadcast,
        )

    async def dead(
        self, subscription: str = "", topic: str = "", wanted: str = "", limit: int = 100
    ) -> Sequence[DeadLetter]:
        """Return dead letters, the newest first, with no secret of the configuration in what their
        errors say; raises ToolUnavailable."""
        found = await self.store.dead(subscription, topic, wanted, limit)
        said = (replace(one.state, error=self._redact.cut(one.state.error)) for one in found)
        return [replace(one, state=state) for one, state in zip(found, said, strict=True)]

    async def edit(self, wanted: str, payload: bytes) -> None:
        """Replace the payload of one dead letter.

        Raises:
            NotFound: There is no such dead letter.
            Invalid: Its subscription could not read that either.
        """
        letters = [letter for letter in await self.dead(wanted=wanted) if letter.id == wanted]
        if not letters:
            raise NotFound("there is no such dead letter.", subject=wanted)
        lane = self.dispatcher.lanes.get(letters[0].subscription)
        if lane is not None and lane.read is not None:
            lane.read(replace(letters[0].envelope, payload=payload))
        await self.store.edit(wanted, payload)
