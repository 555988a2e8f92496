"""The events of a running application, for whoever operates or tests it.

Publish from outside, see what waits, look at dead letters and let them run again. What features
publish does not pass here. Made by `app.py`; used by the control socket, the console and `testing`.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence

from msgspec import json
from msgspec.structs import replace

from ringfence.contracts.payload import read
from ringfence.errors import Conflict, Invalid, NotFound, did_you_mean
from ringfence.kernel.delivery import DeadLetter, DeliveryStore, Envelope, Standing
from ringfence.kernel.events import Dispatcher
from ringfence.kernel.lane import Lane, Paused
from ringfence.kernel.manifest import Manifest
from ringfence.kernel.ports import Clock
from ringfence.kernel.publisher import Publisher
from ringfence.kernel.topics import event_type
from ringfence.redaction import Redactor
from ringfence.report import EventShown, LetterShown, SubscriptionStatus

PAGE = 100  # events that are read at once
LOOK_S = 0.25
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
        clock: Clock,
    ) -> None:
        self._manifest = manifest
        self._publisher = publisher
        self._redact = redact
        self._clock = clock
        self.dispatcher = dispatcher
        self.store = store

    async def publish(
        self, topic: str, payload: Mapping[str, object], principal: str | None = None
    ) -> str:
        """Publish an event from outside, for `principal`; return its id once it is stored.

        Raises:
            NotFound: The application publishes nothing to that topic.
            Invalid: The payload does not fit; `faults` lists every fault.
            ToolUnavailable: It could not be stored.
        """
        known = self._manifest.events
        if topic not in known:
            said = f"nobody here publishes to it{did_you_mean(topic, sorted(known))}"
            raise NotFound(said, subject=topic)
        return await self.publish_event(read(payload, known[topic][0].cls, topic), principal)

    async def publish_event(self, event: object, principal: str | None = None) -> str:
        """Publish an instance of a class under `@event`, as `publish` does."""
        kind = event_type(type(event))
        domain = "" if kind is None else kind.topic.partition(".")[0]
        envelope = replace(self._publisher.seal(event, OUTSIDE, domain), principal=principal)
        await self.store.publish([envelope])
        return envelope.id

    async def events(self, topic: str = "", limit: int = 20) -> list[EventShown]:
        """Return the events that were stored last, oldest first; raises ToolUnavailable."""
        found = await self.store.events(-limit, limit, topic)
        return [self._event(one.envelope, one.seq) for one in found]

    async def follow(self, topic: str = "") -> AsyncGenerator[EventShown, None]:
        """Yield events as they are stored. Looks four times a second, while somebody follows: what
        is missed by a slow reader is read later, as the store has it all."""
        newest = await self.store.events(-1, 1)
        after = newest[-1].seq if newest else 0
        while True:
            found = await self.store.events(after, PAGE, topic)
            for one in found:
                after = one.seq
                yield self._event(one.envelope, one.seq)
            if len(found) < PAGE:
                await self._clock.sleep(LOOK_S)

    async def letters(
        self, subscription: str = "", topic: str = "", wanted: str = "", limit: int = 100
    ) -> list[LetterShown]:
        """Return dead letters as they are shown, the newest first; raises ToolUnavailable."""
        return [
            LetterShown(
                id=letter.id,
                subscription=letter.subscription,
                event=self._event(letter.envelope, 0),
                died_at=letter.state.at,
                attempts=letter.attempts,
                error=self._redact.cut(letter.state.error),
                trace_id=letter.trace_id or letter.envelope.trace_id,
                hops=list(letter.envelope.hops),
            )
            for letter in await self.dead(subscription, topic, wanted, limit)
        ]

    def _event(self, envelope: Envelope, seq: int) -> EventShown:
        return EventShown(
            id=envelope.id,
            seq=seq,
            topic=envelope.topic,
            version=envelope.version,
            key=envelope.key,
            published_at=envelope.published_at,
            plugin=envelope.plugin,
            trace_id=envelope.trace_id,
            payload=self._redact.cut(envelope.payload.decode("utf-8", "replace")),
        )

    async def steer(self, action: str, name: str, who: str) -> int:
        """Pause a subscription, let it go on, or forget one that is declared no more.

        Returns:
            How many deliveries were removed with it.

        Raises:
            NotFound: There is no subscription of that name.
            Conflict: It is to be forgotten, and is declared.
        """
        standings = {standing.name: standing for standing in await self.store.standings()}
        standing = standings.get(name)
        if standing is None:
            hint = did_you_mean(name, sorted(standings))
            raise NotFound(f"there is no such subscription{hint}", subject=name)
        lane = self.dispatcher.lanes.get(name)
        if action == "forget":
            if lane is not None or standing.declared:
                said = "it is declared; expected one that no feature has any more."
                raise Conflict(said, subject=name, hint="Remove its `@on` first.")
            return await self.store.forget(standing.number)
        why = f"paused by {who}" if action == "pause" else ""
        await self.store.pause(standing.number, why)
        if lane is not None:
            self.dispatcher.steer(lane, why)
        return 0

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

    async def change(self, wanted: str, changes: Mapping[str, object]) -> dict[str, object]:
        """Change fields of the payload of one dead letter, and return the new payload.

        Raises:
            NotFound: There is no such dead letter.
            Invalid: Its payload is no object, or its subscription could not read the new one.
        """
        letters = [letter for letter in await self.dead(wanted=wanted) if letter.id == wanted]
        if not letters:
            raise NotFound("there is no such dead letter.", subject=wanted)
        payload = json.decode(letters[0].envelope.payload)
        if not isinstance(payload, dict):
            raise Invalid("its payload is no object, so that it has no fields.", subject=wanted)
        changed: dict[str, object] = {**payload, **changes}
        await self.edit(wanted, json.encode(changed))
        return changed

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
