"""`ringfence new`: an application, or a domain, a feature or a tool of one."""

from collections.abc import Callable
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ringfence.cli.completion import complete_domain, complete_service
from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import say, say_json
from ringfence.errors import RingfenceError

if TYPE_CHECKING:
    from ringfence.scaffold import Draft


class _New(click.Group):
    """A group whose first argument may be a folder as well."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            close = get_close_matches(args[0], self.commands, n=1)
            if close and len(args) > 1 and not args[1].startswith("-"):
                ctx.fail(f"no such part: {args[0]}. Did you mean `{ctx.command_path} {close[0]}`?")
            return "APP", _application, args
        return super().resolve_command(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "APP")
        for name, rest in (("domain", "NAME"), ("feature", "DOMAIN/NAME"), ("tool", "NAME")):
            formatter.write_usage(ctx.command_path, f"{name} {rest} [OPTIONS]")


@click.group("new", cls=_New, no_args_is_help=True)
def verb() -> None:
    """Write an application that runs, in the new folder APP; or a part of one.

    Whatever is written passes `ringfence check` and its own test. Nothing is ever overwritten, and
    all of it is written or nothing.
    """


@click.command("APP")
@click.argument("folder", metavar="APP", type=click.Path(path_type=Path))
@json_option
def _application(folder: Path, as_json: bool) -> int:
    """Write an application into the new folder APP; its last part is the application's name."""
    from ringfence import scaffold

    return _write(lambda: scaffold.plan_application(folder), as_json)


@verb.command("domain", short_help="A folder of features about one thing.")
@click.argument("name")
@app_option
@json_option
def _domain(name: str, app: Path, as_json: bool) -> int:
    """Write a domain: the folder NAME of features that are all about one thing."""
    from ringfence import scaffold

    return _write(lambda: scaffold.plan_domain(app, name), as_json)


@verb.command("feature", short_help="One file and its test.")
@click.argument("name", metavar="DOMAIN/NAME", shell_complete=complete_domain)
@click.option("--service", is_flag=True, help="It provides the service DOMAIN.NAME.")
@click.option("--route", metavar="'METHOD /PATH'", default="", help="It answers HTTP requests.")
@click.option("--every", metavar="SPAN", default="", help="It runs by itself: 30s, 5min, 6h.")
@click.option(
    "--calls",
    metavar="SERVICE",
    multiple=True,
    shell_complete=complete_service,
    help="It calls that service; may be given several times.",
)
@click.option("--table", metavar="NAME", default="", help="Its domain gets a table for it.")
@app_option
@json_option
def _feature(
    name: str,
    service: bool,
    route: str,
    every: str,
    calls: tuple[str, ...],
    table: str,
    app: Path,
    as_json: bool,
) -> int:
    """Write a feature: one file, its test, and a migration if it has a table.

    With none of --service, --route and --every it provides a service. What it needs of the services
    that it calls is written from what they declare.
    """
    from ringfence import scaffold

    wanted = scaffold.Wanted(
        name=name, service=service, route=route, every=every, calls=calls, table=table
    )
    return _write(lambda: scaffold.plan_feature(app, wanted, datetime.now(UTC)), as_json, app)


@verb.command("tool", short_help="A contract, its drivers and its suite.")
@click.argument("name")
@app_option
@json_option
def _tool(name: str, app: Path, as_json: bool) -> int:
    """Write a tool of the application's own: contract, drivers, doubles, suite and test."""
    from ringfence import scaffold

    return _write(lambda: scaffold.plan_tool(app, name), as_json)


def _write(plan: "Callable[[], Draft]", as_json: bool, app: Path | None = None) -> int:
    from ringfence.scaffold import Unfit

    try:
        draft = plan()
    except Unfit as error:
        raise click.UsageError(str(error)) from error
    paths = draft.write()
    if as_json:
        shown = {"written": [str(path) for path in paths], "next": draft.next, "note": draft.note}
        say_json(shown, indent=2)
        return 0
    for path in paths:
        say(("wrote ", "good"), str(path))
    if draft.note:
        say((draft.note, "dim"))
    say("next:")
    for command in draft.next:
        say("  ", (command, "bold"))
    if app is not None and _runs(app):
        say("The application is running, and takes this in when it is started again.")
    return 0


def _runs(app: Path) -> bool:
    from ringfence.cli import client

    try:
        client.status(app, timeout_s=2)
    except RingfenceError:
        return False
    return True
