"""The command line: one verb a module, imported when it is asked for.

`main` is the process; `invoke` does one command and returns its exit code: 0 fine, 1 findings or a
failed operation, 2 wrong usage or something that prevents the start. Invariant: an error is one
paragraph on standard error; a traceback is shown to whoever says `--debug`, and to nobody else.
"""

import difflib
import importlib
import io
import os
import shlex
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from ringfence.cli.client import Answered
from ringfence.cli.terminal import complain, say
from ringfence.errors import BudgetExceeded, RingfenceError, StartRefused
from ringfence.tools.log.lines import printable

# The help stands here, so that listing the commands imports none of them.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "Write": {
        "new": "Write an application, or parts of one.",
        "check": "List everything that is wrong with an application.",
        "explain": "Explain a rule of `check`, with an example.",
        "routes": "List what an application answers over HTTP.",
        "services": "List its services, and which features ask for them.",
        "contracts": "Hold services to what was agreed on.",
        "graph": "Show how domains depend on each other.",
        "impact": "Say what a change concerns, and which tests to run.",
        "adopt": "Report what an existing package would be as domains.",
    },
    "Run": {
        "run": "Serve an application until SIGTERM or Ctrl-C.",
        "status": "Say how a running application is.",
        "trace": "List requests, or show what one of them caused.",
        "call": "Call a service of a running application.",
    },
    "Events": {
        "events": "List the events that were stored, or follow them.",
        "publish": "Publish an event.",
        "subscriptions": "Say how every subscription is; pause one.",
        "dead": "List, mend, replay and drop dead letters.",
        "why": "Say what caused an id, and what it caused.",
    },
    "Maintain": {
        "doctor": "Examine machine, installation and application.",
        "migrate": "Apply the pending migrations of every database.",
        "db": "Back up a database, or restore a backup.",
        "audit": "List who changed what with these commands.",
        "completion": "Print what completes commands in a shell.",
    },
}
COMMANDS: Mapping[str, str] = {
    name: told for group in GROUPS.values() for name, told in group.items()
}

# What others call it, so that a habit finds its command.
_SERVE = "`ringfence run` serves an application."
_WRITE = "`ringfence new` writes an application, or a part of one."
_MIGRATION = (
    "A migration is an SQL file in `migrations/` of its domain: `ringfence new feature --table`"
    " writes the first one, `ringfence migrate` applies what is pending."
)
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("dev", "runserver", "serve", "start"), _SERVE),
    **dict.fromkeys(("create", "init", "startapp", "startproject"), _WRITE),
    **dict.fromkeys(("makemigrations", "revision", "upgrade"), _MIGRATION),
    "showmigrations": "`ringfence migrate --plan` lists what is pending.",
    "shell": "`ringfence call` calls a service of a running application.",
    "stop": "Ctrl-C or SIGTERM stops an application, where `ringfence run` runs.",
    "test": "`make test` checks an application and runs its tests; or `python -m pytest`.",
}


class Verbs(click.Group):
    """The group of all commands; each is `verb` in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        verb = importlib.import_module(f"ringfence.cli.{cmd_name}").verb
        assert isinstance(verb, click.Command)
        return verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean `{close[0]}`?" if close else "`ringfence --help` lists them."
            ctx.fail(f"no such command: {args[0]}. {_ELSEWHERE.get(args[0], hint)}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [(n, said) for n, said in COMMANDS.items() if n.startswith(incomplete)]
        options = (
            [] if incomplete[:1].isalpha() else click.Command.shell_complete(self, ctx, incomplete)
        )
        return [*(CompletionItem(name, help=said) for name, said in found), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))  # the columns of all groups stand below each other
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), told) for name, told in group.items()])


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            say(f"ringfence {version('ringfence')}")
        except PackageNotFoundError:  # run from its sources
            say("ringfence, not installed")
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, callback=_print_version, expose_value=False)
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks; goes anywhere.")
def ringfence() -> None:
    """Run applications made of features that cannot break each other."""


def main() -> NoReturn:
    """Be the process: do what the arguments say, and end with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe on Windows takes no arrow as it is
            stream.reconfigure(errors="backslashreplace")
    code = invoke(sys.argv[1:])
    if not held():
        sys.exit(code)
    # A hook that never returns must not keep the process; everything else has stopped by now.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def held() -> bool:
    """Whether the interpreter would wait for another thread at its end."""
    return any(
        thread.is_alive() and not thread.daemon
        for thread in threading.enumerate()
        if thread is not threading.main_thread()
    )


def invoke(arguments: Sequence[str]) -> int:
    """Do one command; return the exit code. Never raises."""
    ours = list(arguments)
    ours = ours[: ours.index("--")] if "--" in ours else ours
    debug = "--debug" in ours
    rest = [one for one in ours if one != "--debug"] + list(arguments[len(ours) :])
    try:
        code = ringfence.main(rest, prog_name="ringfence", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; without this the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # the end of the line: what is left becomes a paragraph
        if debug:
            traceback.print_exc()
        return _explain(error)


def _explain(error: Exception) -> int:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            complain(error.format_message(), plain=True)
            return 2
        case click.ClickException():
            complain(error.format_message())
            return error.exit_code
        case Answered():
            _explain_problem(error)
            return 1
        case RingfenceError():
            complain(str(error))
            return 2 if isinstance(error, StartRefused) else 1
        case _:
            complain(f"{type(error).__name__}: {error}. Run it again with --debug for more.")
            return 1


def _explain_problem(answered: Answered) -> None:
    problem = answered.problem
    # Escaped one by one: a line break in one of them is text as well, but in the kernel's bill.
    told = problem.detail or problem.title
    parts = told.split("\n") if problem.code == BudgetExceeded.code else [told]
    lines = ["\n    ".join(map(printable, parts)) + f" ({problem.status} {problem.code})"]
    lines += [printable(f"  {fault.path}: {fault.message}") for fault in problem.errors]
    if problem.trace_id:
        # The default is the folder that one is in; elsewhere it has to be said again.
        where = f" --app {shlex.quote(str(answered.root))}" if answered.root.parts else ""
        command = f"ringfence trace {problem.trace_id}{where}"
        lines.append(printable(f"  See what happened: {command}"))
    complain("\n".join(lines))
