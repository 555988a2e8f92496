"""What several verbs take: the application's folder, and `--json`."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., object])


def app_argument(function: F) -> F:
    """Take the application's folder as an optional argument; `--app` says the same."""
    named = click.option(
        "--app",
        "app_named",
        type=click.Path(path_type=Path),
        expose_value=False,
        is_eager=True,
        callback=_remember,
        hidden=True,
    )
    placed = click.argument(
        "app",
        default=".",
        callback=_folder,
        type=click.Path(path_type=Path),
        shell_complete=folders,
    )
    return named(placed(function))


def app_option(function: F) -> F:
    """Take the application's folder as `--app`."""
    return click.option(
        "--app",
        default=".",
        callback=_folder,
        type=click.Path(path_type=Path),
        shell_complete=folders,
        help="The application's folder; by default this one.",
    )(function)


def json_option(function: F) -> F:
    """Take `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(
        function
    )


def folders(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Leave it to the shell to complete a folder."""
    return [CompletionItem(incomplete, type="dir")]


def _remember(ctx: click.Context, parameter: click.Parameter, app: Path | None) -> None:
    if app is not None:
        ctx.meta["ringfence.app"] = app


def _folder(ctx: click.Context, parameter: click.Parameter, app: Path) -> Path:
    """Check that an application is there, before anything is done with it."""
    app = ctx.meta.get("ringfence.app", app)
    how = " with --app" if isinstance(parameter, click.Option) else ""
    if not app.is_dir():
        what = "is a file" if app.exists() else "no such folder"
        raise click.UsageError(f"{app}: {what}.{_similar(app)} Name the application's folder{how}.")
    if not (app / "domains").is_dir():
        raise click.UsageError(
            f"{app}: no application here; expected a folder domains/ in it, got none."
            f"{_near(app, how) or _ANYWHERE.format(how=how)}"
        )
    return app


_ANYWHERE = (
    " Name the application's folder{how}, or write a first feature: domains/<domain>/<feature>.py"
)


def _near(app: Path, how: str) -> str:
    """Name the application that the folder is a part of, or the one that it holds."""
    folder = app.resolve()
    above = next((up for up in folder.parents if _holds(up)), None)
    if above is not None:
        return f" It is a part of {above}: name that{how}."
    below = sorted(entry.name for entry in folder.iterdir() if _holds(entry))
    if not below:
        return ""
    listed = ", ".join(str(app / name) for name in below[:5])
    return f" In it there is: {listed}. Name the application's folder{how}."


def _similar(app: Path) -> str:
    if not app.parent.is_dir():
        return ""
    names = [entry.name for entry in app.parent.iterdir() if (entry / "domains").is_dir()]
    close = difflib.get_close_matches(app.name, names, n=1)
    return f" Did you mean {app.parent / close[0]}?" if close else ""


def _holds(folder: Path) -> bool:
    return os.path.isdir(folder / "domains")  # noqa: PTH112 - is_dir raises where one may not look
