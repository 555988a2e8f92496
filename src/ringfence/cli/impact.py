"""`ringfence impact`: what is different since a revision, whom it concerns, which tests to run."""

from pathlib import Path

import click

from ringfence.cli.options import app_option, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import Tone, say, say_json, say_text
from ringfence.errors import NotFound
from ringfence.impact import Impact, Touched, impact_of, revision

_MANY = 20  # tests that are listed for people; `--tests-only` lists them all


@click.command("impact")
@click.argument("rev", default="HEAD")
@app_option
@click.option(
    "--tests",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder of tests; by default tests/ of the application. May be given again.",
)
@click.option("--tests-only", is_flag=True, help="Print the tests alone, a line each, for pytest.")
@json_option
def verb(rev: str, app: Path, folders: tuple[Path, ...], tests_only: bool, as_json: bool) -> int:
    """Say what is different since the revision REV, by default the last commit.

    Lists changed features and contracts, those who call them, and the smallest set of tests that
    can fail by it; a test whose text does not say what it needs is always among them. Names of
    tests begin at the folder of the repository. Exits with 1 if a contract breaks.
    """
    since = revision(app, rev)
    chosen = list(folders) or [app / "tests"]
    for folder in folders:
        if not folder.is_dir():
            raise NotFound("there is no such folder; expected one of tests.", subject=str(folder))
    with Waiting("comparing", quiet=as_json or tests_only):
        found = impact_of(since, chosen)
    if as_json:
        say_json(found, indent=2)
    elif tests_only:
        for test in found.tests:
            say_text(test)
    else:
        _show(found)
    return 1 if found.is_breaking else 0


def _show(found: Impact) -> None:
    if not found.files:
        say((f"nothing is different since {found.revision}", "good"))
        return
    say(f"{len(found.files)} files are different since {found.revision}")
    if found.everything:
        say(("everything is concerned: ", "warn"), found.everything)
    _list("changed", found.features)
    _list("callers", found.callers)
    for title, files in (("shared", found.shared), ("migrations", found.migrations)):
        if files:
            say((f"{title}:", "bold"))
            for file in files:
                say(f"    {file}")
    if found.contracts:
        say(("contracts:", "bold"))
    for change in found.contracts:
        tone: Tone = "good" if change.weight in ("new", "compatible") else "bad"
        say(f"    {change.name} ", (change.weight, tone))
        for line in change.what:
            say(f"        {line}")
    _show_tests(found)


def _list(title: str, touched: list[Touched]) -> None:
    if touched:
        say((f"{title}:", "bold"))
    for one in touched:
        say(f"    {one.plugin}", (f"  {one.why}", "dim"))


def _show_tests(found: Impact) -> None:
    say((f"tests: {len(found.tests)} of {found.of}", "bold"))
    for test in found.tests[:_MANY]:
        say(f"    {test}")
    if len(found.tests) > _MANY:
        say(f"    and {len(found.tests) - _MANY} more; --tests-only lists all")
    if found.unsure:
        said = f"    {found.unsure} of them because their text does not say what they need"
        say((said, "dim"))
