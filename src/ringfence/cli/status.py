"""`ringfence status`: how a running application is, and why."""

from pathlib import Path

import click

from ringfence.cli.options import app_argument, json_option
from ringfence.cli.terminal import Tone, say, say_json
from ringfence.report import PluginStatus, Status

_TONES: dict[str, Tone] = {
    "ready": "good",
    "serving": "good",
    "healthy": "good",
    "degraded": "warn",
    "starting": "warn",
    "stopping": "warn",
    "probing": "warn",
}


@click.command("status")
@app_argument
@json_option
def verb(app: Path, as_json: bool) -> int:
    """Say how the running application in the folder APP is: features, tools, and reasons."""
    from ringfence.cli import client

    found = client.status(app)
    if as_json:
        say_json(found)
    else:
        _show(found)
    return 0


def _show(found: Status) -> None:
    python = f" on Python {found.python}" if found.python else ""
    since = f" since {found.started_at.astimezone():%Y-%m-%d %H:%M:%S}" if found.started_at else ""
    up = f"up {_span(found.uptime_s)}{since}"
    about = f"  process {found.pid}, ringfence {found.version}{python}, {up}"
    say((found.app, "bold"), " is ", _state(found.state), (about, "dim"))
    if found.in_flight:
        say(f"  {found.in_flight} calls in flight")
    for reason in found.reasons:
        say(("  because ", "dim"), reason)
    for domain in found.domains:
        say()
        say((domain.name, "bold"))
        width = max((len(plugin.id) for plugin in domain.plugins), default=0)
        for plugin in domain.plugins:
            _plugin(plugin, width)
    say()
    say(("tools", "bold"))
    width = max((len(tool.instance) for tool in found.tools), default=0)
    for tool in found.tools:
        what = tool.driver if tool.tool == tool.instance else f"{tool.tool}, {tool.driver}"
        head = f"  {tool.instance:<{width}}  "
        say(head, _state(tool.state), (f"  {what}", "dim"), *_reason(tool.reason))
    if found.counted_since is not None:
        since = found.counted_since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        say()
        say((f"calls and failures are those that are kept, since {since}", "dim"))


def _plugin(plugin: PluginStatus, width: int) -> None:
    calls = f"{plugin.calls} call{'s' if plugin.calls > 1 else ''}"
    counts = [calls] if plugin.calls else []
    counts += [f"{plugin.in_flight} in flight"] if plugin.in_flight else []
    say(
        f"  {plugin.id:<{width}}  ",
        _state(plugin.state),
        (f"  {', '.join(counts)}" if counts else "", "dim"),
        (f"  {plugin.failures} failed" if plugin.failures else "", "bad"),
        *_reason(plugin.reason),
    )
    for offer in plugin.offers:
        say((f"    {offer.kind:<8} ", "dim"), offer.name)


def _state(state: str) -> tuple[str, Tone]:
    return state, _TONES.get(state, "bad")


def _reason(reason: str) -> tuple[str, ...]:
    return (f"  {reason}",) if reason else ()


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
