"""`ringfence run`: serve an application until it is told to stop."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli.options import app_argument, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import say, say_json

if TYPE_CHECKING:
    from ringfence.app import Application

PAGES = 5  # of an application's own, that a start shows as addresses to open
LEFT_BEHIND_S = 0.5  # what a cancelled task gets to end
Tables = dict[str, dict[str, dict[str, object]]]


@click.command("run")
@app_argument
@click.option("--host", help="Address to listen on, instead of the configured one.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks one.")
@click.option("--strict", is_flag=True, help="Refuse to start with a feature in quarantine.")
@json_option
def verb(app: Path, host: str | None, port: int | None, strict: bool, as_json: bool) -> int:
    """Serve the application in the folder APP until SIGTERM or Ctrl-C.

    The first signal lets work in progress finish; the second ends it at once. With --json there is
    a line of JSON when it is ready, with its state and addresses, and one when it stops.
    """
    from ringfence.serve import serve

    starting = Waiting("starting", quiet=as_json)

    def ready(application: "Application") -> None:
        starting.end()
        if as_json:
            say_json({"event": "ready", **_readiness(application)})
        for line in () if as_json else _greeting(application):
            say(line)
        sys.stdout.flush()

    def stopping() -> None:
        if as_json:
            say_json({"event": "stopping"})
        else:
            say("stopping: work in progress ends first; a second signal ends it at once")

    overrides = _overrides(app, host, port)
    work = serve(app, overrides=overrides, strict=strict, ready=ready, stopping=stopping)
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        with starting:
            return runner.run(work)
    finally:
        _close(runner)


def _readiness(application: "Application") -> dict[str, object]:
    status = application.status()
    return {
        "app": status.app,
        "state": status.state,
        "reasons": status.reasons,
        "pid": status.pid,
        "addresses": application.addresses,
    }


def _greeting(application: "Application") -> Iterator[str]:
    """Yield what a person wants to see first: what is wrong, and the addresses to open."""
    status = application.status()
    plugins = [plugin for domain in status.domains for plugin in domain.plugins]
    for plugin in plugins:
        if plugin.state == "quarantined":
            yield f"quarantined {plugin.id}: {plugin.reason}"
    for tool in status.tools:
        if tool.state == "dead":
            yield f"dead tool {tool.instance}: {tool.reason}"
    serving = sum(plugin.state == "serving" for plugin in plugins)
    names = ", ".join(domain.name for domain in status.domains)
    said = f"{serving} of {len(plugins)} plugins serve ({names})"
    if not plugins:
        said = "there is no feature in it yet; write the first one: domains/<domain>/<feature>.py"
    yield f"{status.app} is {status.state}: {said}"
    labels = (d.declaration.label for d in application.manifest.declared)
    pages = sorted(label[4:] for label in labels if label.startswith("GET /") and "{" not in label)
    for address in application.addresses:
        for page in (*pages[:PAGES], "/docs", "/health/ready"):
            yield f"  {address}{page}"


def _close(runner: asyncio.Runner) -> None:
    """Close the loop. That waits for tasks and threads: what hangs is left to the process's end."""
    from ringfence.cli import held

    loop = runner.get_loop()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=LEFT_BEHIND_S))
    if held() or asyncio.all_tasks(loop):
        loop.set_exception_handler(lambda loop, context: None)  # it tells of tasks that are left
    else:
        runner.close()


def _overrides(app: Path, host: str | None, port: int | None) -> Tables:
    http: dict[str, object] = {}
    if host is not None:
        http["host"] = host
    if port is not None:
        http["port"] = port
    tables: Tables = {"tools": {"http": http}} if http else {}
    if _is_plain(app):
        tables.setdefault("tools", {})["log"] = {"colour": "never"}
    return tables


def _is_plain(app: Path) -> bool:
    """Whether the environment asks for no colours, and the log is one that could have them."""
    from ringfence.config import environment, load

    if not environment("NO_COLOR"):
        return False
    log = load(app).tool("log")
    return log.driver in (None, "stderr") and "colour" not in log.options


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.new_event_loop
