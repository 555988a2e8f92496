"""`ringfence adopt`: what an existing package would be as domains, and a line that it holds."""

from pathlib import Path

import click
from msgspec import Struct

from ringfence.adopt import Crossing, Survey, read, survey_of, write
from ringfence.cli.options import json_option
from ringfence.cli.terminal import say, say_json


class Shown(Struct, frozen=True):
    """What `ringfence adopt --json` prints; `new` are the crossings beyond the baseline."""

    survey: Survey
    new: list[Crossing]
    gone: list[str]


@click.command("adopt")
@click.argument("package", type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="Compare with this file; exit with 1 if an import crosses a border that did not.",
)
@click.option("--write", "to_write", is_flag=True, help="Write the file of --baseline.")
@json_option
def verb(package: Path, baseline: Path | None, to_write: bool, as_json: bool) -> int:
    """Report what the modules of the package in the folder PACKAGE would become.

    Its files are read, and not run or moved. With a baseline in version control, `ringfence adopt
    PACKAGE --baseline FILE` holds the line while you move feature by feature.
    """
    if to_write and baseline is None:
        raise click.UsageError("--write: expected --baseline FILE with it, got none.")
    found = survey_of(package)
    new: list[Crossing] = []
    gone: list[str] = []
    if baseline is not None and not to_write:
        known = read(baseline)
        new, gone = known.new(found), list(known.gone(found))
    elif baseline is not None:
        write(baseline, found)
    if as_json:
        say_json(Shown(found, new, gone), indent=2)
    else:
        _show(found)
        for one in new:
            say(("new: ", "bad"), f"{one.file}:{one.line} imports {one.name} of {one.target}")
        for said in gone:
            say(("gone: ", "good"), said, ("; write the baseline anew", "dim"))
        if to_write:
            say(f"{len(found.crossings)} crossings are in {baseline}")
    return 1 if new else 0


def _show(found: Survey) -> None:
    say((found.package, "bold"), f": {len(found.domains)} domains to be")
    for move in found.moves:
        if move.kind == "unread":
            say(f"    {move.file}: ", ("cannot be read: ", "bad"), move.why)
            continue
        say(f"    {move.file} → {move.to}", (f"  {move.kind}", "dim"))
        for one in move.ways_in:
            say((f"        {one}", "dim"))
        if move.tables:
            say((f"        tables {', '.join(move.tables)}, by a migration", "dim"))
    if found.crossings:
        say(("imports across borders, which become services or events:", "bold"))
    for crossing in found.crossings:
        where = f"    {crossing.file}:{crossing.line} "
        say(where, f"{crossing.source} → {crossing.target}", (f"  {crossing.name}", "dim"))
