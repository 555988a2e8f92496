"""What an application declares: its plugins, what each needs and what each offers.

Values only. `ringfence.reading` reads them from imported classes, constructing and calling nothing,
and verifies them; everything that is written down about an application is derived from them.
"""

from collections.abc import Callable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import ClassVar

from msgspec import Struct

from ringfence.errors import Finding
from ringfence.kernel.ports import Declaration, Declared, Signature
from ringfence.kernel.topics import EventType


class Service(Declaration, frozen=True, kw_only=True):
    """A named callable that the plugin provides to the rest of the application."""

    kind: ClassVar[str] = "service"

    name: str

    @property
    def key(self) -> str:
        return self.name


class ToolNeed(Struct, frozen=True):
    """A field that is given a handle on a tool."""

    field: str
    tool: str
    contract: type


class ServiceNeed(Struct, frozen=True):
    """A field that is given a callable: another feature's service, in this plugin's view."""

    field: str
    service: str
    view: Signature
    optional: bool
    line: int


class SettingsNeed(Struct, frozen=True):
    """A field that is given a section of the configuration."""

    field: str
    settings: type[Struct]


Need = ToolNeed | ServiceNeed | SettingsNeed


class RequestValue(Struct, frozen=True):
    """A parameter that the kernel fills in for each call: `ctx`, `user`, a transaction."""

    parameter: str
    type: type


class Offer(Struct, frozen=True):
    """One method that is reached from outside its plugin, under one or several declarations."""

    method: str
    function: Callable[..., object]
    declared: tuple[Declared, ...]
    request_values: tuple[RequestValue, ...]
    signature: Signature
    is_async: bool


class EventFacts(Struct, frozen=True):
    """One event that a plugin may publish, as its class declares it."""

    kind: EventType
    cls: type
    plugin: str
    domain: str
    file: str  # of the class; a domain's features may share one, in a helper
    line: int
    upcasts: Mapping[int, Callable[..., object]]  # from which version → to the next one


class PluginFacts(Struct, frozen=True):
    """One plugin, as its class declares it."""

    id: str  # `orders.place_order`: domain and file
    domain: str
    cls: type
    file: str
    line: int
    doc: str
    needs: tuple[Need, ...]
    offers: tuple[Offer, ...]
    error_codes: Mapping[str, int]  # code → line
    events: tuple[EventFacts, ...] = ()

    @property
    def grants(self) -> frozenset[str]:
        """The services that this plugin may call."""
        by_field = {need.service for need in self.needs if isinstance(need, ServiceNeed)}
        by_name = {c for o in self.offers for d in o.declared for c in d.declaration.calls}
        return frozenset(by_field | by_name)


class Quarantined(Struct, frozen=True):
    """A plugin that cannot serve, why, and the names that its file would have declared."""

    id: str
    domain: str
    file: str
    finding: Finding
    names: tuple[tuple[str, str], ...] = ()  # decorator and first argument: ("post", "/orders")
    parsed: bool = True
    listens: tuple[tuple[str, str], ...] = ()  # method, and the pattern of topics that it is on


class Manifest(Struct, frozen=True):
    """Everything that an application declares, and what is wrong with how it declares it."""

    app: str
    plugins: Sequence[PluginFacts]
    quarantined: Sequence[Quarantined]
    findings: Sequence[Finding]  # each concerns a plugin that is quarantined, or refuses nothing
    ambiguous: Sequence[Finding]  # each refuses the start

    @property
    def declared(self) -> list[Declared]:
        """Every declaration of every plugin, in the order of files and lines."""
        return [d for p in self.plugins for o in p.offers for d in o.declared]

    @property
    def services(self) -> Mapping[str, Sequence[Declared]]:
        """Who declares each service; two owners of one name refuse the start."""
        found: dict[str, list[Declared]] = {}
        for declared in self.declared:
            if isinstance(declared.declaration, Service):
                found.setdefault(declared.declaration.name, []).append(declared)
        return found

    @property
    def events(self) -> Mapping[str, Sequence[EventFacts]]:
        """Who declares each topic; two classes for one topic refuse the start."""
        found: dict[str, list[EventFacts]] = {}
        for fact in (fact for plugin in self.plugins for fact in plugin.events):
            found.setdefault(fact.kind.topic, []).append(fact)
        return found

    def requirements(self) -> dict[str, dict[str, str]]:
        """Return plugin → the plugins whose services it requires, each with one such service."""
        services = self.services
        return {
            plugin.id: {
                services[need.service][0].plugin: need.service
                for need in plugin.needs
                if isinstance(need, ServiceNeed) and need.service in services
            }
            for plugin in self.plugins
        }

    def start_order(self) -> list[PluginFacts]:
        """Return the plugins with every provider before those that require it."""
        by_id = {plugin.id: plugin for plugin in self.plugins}
        return [by_id[plugin] for plugin in TopologicalSorter(self.requirements()).static_order()]
