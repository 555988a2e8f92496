"""Everything that is wrong with an application, found before anything starts.

All findings at once, each with its rule, place, cause and fix. A finding here refuses the start:
names outside their domain, two owners of one name, services that nobody provides or that do not
fit, circles of requirements. Tools add their own through `ToolSpec.check`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from ringfence.contracts.compatibility import view_misfits
from ringfence.errors import Finding, did_you_mean
from ringfence.kernel.manifest import Manifest, PluginFacts, ServiceNeed, ToolNeed
from ringfence.kernel.ports import Declared
from ringfence.reading import events

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def verify(manifest: Manifest, request_tools: Mapping[type, str]) -> list[Finding]:
    """List every finding about an application's names and contracts.

    Args:
        manifest: What the application declares.
        request_tools: For each parameter type that a tool fills in, the tool.
    """
    services = manifest.services
    findings = [
        *_names(services),
        *_unmet_needs(manifest, services),
        *_circles(manifest),
        *_error_codes(manifest),
        *_request_values(manifest, request_tools),
        *events.verify(manifest),
    ]
    return sorted(findings)


def _names(services: Mapping[str, Sequence[Declared]]) -> Iterator[Finding]:
    """Every service has one provider, in the domain that its name begins with."""
    for name, owners in services.items():
        owner, _, word = name.partition(".")
        for declared in owners:
            if not _SERVICE_NAME.fullmatch(name):
                expected = f"{declared.domain}.some_word"
                yield _at(declared, "RF105", f"{name!r} is no service name; expected {expected}")
            elif owner != declared.domain:
                message = f"{declared.plugin} declares {name}, which belongs to domain {owner}"
                fix = f"call it {declared.domain}.{word}, or move the feature"
                yield _at(declared, "RF105", message, fix)
        first = owners[0]
        for second in owners[1:]:
            yield _at(
                second,
                "RF106",
                f"service {name} has two providers: {first.plugin} ({first.file}:{first.line}) "
                f"and {second.plugin}",
                "rename or remove one",
            )


def _unmet_needs(
    manifest: Manifest, services: Mapping[str, Sequence[Declared]]
) -> Iterator[Finding]:
    absent = {name for q in manifest.quarantined for word, name in q.names if word == "service"}
    unread = {q.domain for q in manifest.quarantined if not q.parsed}
    known = sorted({*services, *absent})

    def missing(name: str) -> bool:
        return name not in known and name.partition(".")[0] not in unread

    for plugin in manifest.plugins:
        for need in plugin.needs:
            if not isinstance(need, ServiceNeed):
                continue
            if missing(need.service) and not need.optional:
                hint = did_you_mean(need.service, known)
                message = f"{plugin.id} requires {need.service}, which no plugin provides{hint}"
                fix = "provide it, correct the name, or type the field `| None`"
                yield Finding(plugin.file, need.line, "RF107", message, fix)
            elif need.service in services:
                yield from _misfits(plugin, need, services[need.service][0])
        for declared in (d for offer in plugin.offers for d in offer.declared):
            for name in filter(missing, declared.declaration.calls):
                hint = did_you_mean(name, known)
                yield _at(declared, "RF107", f"calls={name!r}: no plugin provides it{hint}")


def _misfits(plugin: PluginFacts, need: ServiceNeed, provider: Declared) -> Iterator[Finding]:
    for misfit in view_misfits(need.view, provider.signature):
        yield Finding(
            plugin.file,
            need.line,
            "RF108",
            f"{plugin.id}'s view of {need.service} does not fit its provider "
            f"({provider.file}:{provider.line}): {misfit}",
            "declare what the provider offers, or change the provider",
        )


def _circles(manifest: Manifest) -> Iterator[Finding]:
    edges = manifest.requirements()
    by_id = {plugin.id: plugin for plugin in manifest.plugins}
    while True:
        try:
            TopologicalSorter(edges).prepare()
            return
        except CycleError as error:
            circle: list[str] = error.args[1][::-1]
        steps = list(pairwise(circle))
        shown = " → ".join([circle[0], *(f"{edges[a][b]} ({b})" for a, b in steps)])
        first = by_id[circle[0]]
        message = f"required services form a circle: {shown}"
        fix = "let one of them be told by an event, or join what belongs together"
        yield Finding(first.file, first.line, "RF109", message, fix)
        edges[circle[0]].pop(circle[1])  # look for the next circle without this one


def _error_codes(manifest: Manifest) -> Iterator[Finding]:
    owners: dict[str, PluginFacts] = {}
    for plugin in manifest.plugins:
        for code, line in plugin.error_codes.items():
            if code.partition(".")[0] != plugin.domain or "." not in code:
                message = f"error code {code!r} is outside its domain; expected {plugin.domain}.*"
                yield Finding(plugin.file, line, "RF113", message, "begin it with the domain")
            elif code in owners:
                first = owners[code]
                message = f"error code {code!r} is declared twice: in {first.file} and here"
                yield Finding(plugin.file, line, "RF114", message, "use another code")
            owners.setdefault(code, plugin)


def _request_values(manifest: Manifest, request_tools: Mapping[type, str]) -> Iterator[Finding]:
    for plugin in manifest.plugins:
        tools = {need.tool for need in plugin.needs if isinstance(need, ToolNeed)}
        for offer in plugin.offers:
            for value in offer.request_values:
                tool = request_tools.get(value.type)
                if tool is not None and tool not in tools:
                    message = (
                        f"{plugin.id}.{offer.method} takes {value.parameter}: "
                        f"{value.type.__name__}, but the plugin has no field for the {tool} tool"
                    )
                    yield _at(offer.declared[0], "RF115", message, "add the field")


def _at(declared: Declared, rule: str, message: str, fix: str = "") -> Finding:
    return Finding(declared.file, declared.line, rule, message, fix)
