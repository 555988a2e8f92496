"""Where the kernel keeps what no restart may forget: timers and events, in the databases of the
application.

The field `timers` of the tool `db`, were there one, names the database of the timers, and `outbox`
that of the events: by default both are `db`. Invariant: what keeps the events is the database whose
transactions publish them. Used by `app.py`.
"""

from collections.abc import Iterator, Mapping

from ringfence import config as configuration
from ringfence.errors import Finding, StartRefused
from ringfence.kernel.manifest import Manifest, Offer, PluginFacts, ToolNeed
from ringfence.kernel.ports import DeliveryStore, Driver, TimerStore
from ringfence.kernel.topics import On
from ringfence.toolbox import Tools
from ringfence.tools.db.outbox import KeepsEvents
from ringfence.tools.db.timers import KeepsTimers

TIMERS = "timers"
OUTBOX = "outbox"
ELSEWHERE = "RF128"  # a delivery's transaction is in a database that does not keep the deliveries


class Keeping:
    """Which databases of one application keep what the kernel gives them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self.has_events = False
        self._events: DeliveryStore | None = None

    def wanted(self, manifest: Manifest) -> dict[tuple[str, str], str]:
        """Return the instances that are needed, by tool and field."""
        fields = [TIMERS] if any(d.declaration.tool == "clock" for d in manifest.declared) else []
        self.has_events = _has_events(manifest)
        fields += [OUTBOX] if self.has_events else []
        return {("db", field): self._tools.instance_for("db", field) for field in fields}

    def seals(self, instance: str) -> bool:
        """Whether what is published through an instance becomes an event of the application."""
        is_outbox = instance == self._tools.instance_for("db", OUTBOX)
        return self.has_events and (is_outbox or self._tools.config.tool(instance).tool == "events")

    def timers(self, made: Mapping[str, Driver]) -> TimerStore:
        """Return where the clock's timers are stored; raises StartRefused where it stores none."""
        driver = made[self._tools.instance_for("db", TIMERS)]
        if not isinstance(driver, KeepsTimers):
            raise self._refused(TIMERS, "timers")
        return driver.timers()

    def events(self, made: Mapping[str, Driver]) -> DeliveryStore | None:
        """Return where events are kept, or None where the application has none; raises StartRefused
        where the database keeps none."""
        if self._events is None and self.has_events:
            driver = made[self._tools.instance_for("db", OUTBOX)]
            if not isinstance(driver, KeepsEvents):
                raise self._refused(OUTBOX, "events")
            self._events = driver.events()
        return self._events

    def _refused(self, field: str, what: str) -> StartRefused:
        instance = self._tools.instance_for("db", field)
        said = f"its driver stores no {what}, and the application has some"
        fix = f"give them a database that does, under [tools.{field}]"
        return configuration.refused(self._tools.config, instance, said, fix)

    def misplaced(self, manifest: Manifest) -> Iterator[Finding]:
        """Yield the deliveries whose transactions are in another database than the events."""
        kept = self._tools.instance_for("db", OUTBOX)
        for plugin in manifest.plugins:
            for offer in plugin.offers:
                if any(isinstance(d.declaration, On) for d in offer.declared):
                    for parameter, instance in self._transactions(plugin, offer):
                        if instance != kept:
                            yield Finding(
                                plugin.file,
                                offer.declared[0].line,
                                ELSEWHERE,
                                f"{plugin.id}.{offer.method}: {parameter} is a transaction of "
                                f"{instance}, and deliveries are kept in {kept}; it cannot end "
                                "with the delivery",
                                f"open it by hand: `async with self.{instance}.transaction()`",
                            )

    def _transactions(self, plugin: PluginFacts, offer: Offer) -> Iterator[tuple[str, str]]:
        fields = [n.field for n in plugin.needs if isinstance(n, ToolNeed) and n.tool == "db"]
        for value in offer.request_values:
            tool, _ = self._tools.request_values.get(value.type, ("", ""))
            if tool == "db" and fields:
                field = value.parameter if value.parameter in fields else fields[0]
                yield value.parameter, self._tools.instance_for("db", field)


def _has_events(manifest: Manifest) -> bool:
    lost = manifest.quarantined
    needs = (need for plugin in manifest.plugins for need in plugin.needs)
    return (
        bool(manifest.events)
        or any(isinstance(d.declaration, On) for d in manifest.declared)
        or any(isinstance(need, ToolNeed) and need.tool == "events" for need in needs)
        or any(q.listens or any(word == "event" for word, _ in q.names) for q in lost)
    )
