"""`ringfence run`: serve an application until it is told to stop."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

from ringfence.cli.options import app_argument
from ringfence.cli.terminal import say

LEFT_BEHIND_S = 0.5  # what a cancelled task gets to end
Tables = dict[str, dict[str, dict[str, object]]]


@click.command("run")
@app_argument
@click.option("--host", help="Address to listen on, instead of the configured one.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks one.")
@click.option("--strict", is_flag=True, help="Refuse to start with a feature in quarantine.")
def verb(app: Path, host: str | None, port: int | None, strict: bool) -> int:
    """Serve the application in the folder APP until SIGTERM or Ctrl-C.

    The first signal lets work in progress finish; the second ends it at once.
    """
    from ringfence.serve import serve

    work = serve(app, overrides=_overrides(app, host, port), strict=strict, announce=say)
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        return runner.run(work)
    finally:
        _close(runner)


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
