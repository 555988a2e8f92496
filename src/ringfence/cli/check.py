"""`ringfence check`: all findings at once, for people or for machines."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ringfence.cli.options import app_argument, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import Tone, complain, say, say_json
from ringfence.errors import Finding, StartRefused


@click.command("check")
@app_argument
@json_option
@click.option("--sarif", "as_sarif", is_flag=True, help="Print SARIF 2.1.0, for code scanners.")
@click.option("--github", "as_github", is_flag=True, help="Print annotations of GitHub Actions.")
@click.option("--strict", is_flag=True, help="Fail on warnings as well.")
@click.option("--fix", "mends", is_flag=True, help="Mend what can be mended for certain.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Leave out the findings that this file knows.",
)
@click.option("--update-baseline", is_flag=True, help="Write what is found to the baseline.")
def verb(
    app: Path,
    as_json: bool,
    as_sarif: bool,
    as_github: bool,
    strict: bool,
    mends: bool,
    baseline: Path | None,
    update_baseline: bool,
) -> int:
    """List everything that is wrong with the application in the folder APP.

    It is read and imported, and nothing of it is started. Exits with 1 if there are findings, with
    2 if its configuration is among them; warnings alone exit with 0, unless --strict is given.
    `ringfence explain RULE` says more of a rule.
    """
    if as_json + as_sarif + as_github > 1:
        raise click.UsageError("--json, --sarif and --github exclude each other.")
    if update_baseline and baseline is None:
        raise click.UsageError("--update-baseline needs --baseline FILE.")
    quiet = as_json or as_sarif or as_github
    with Waiting("reading the application", quiet=quiet):
        findings, refused = _found(app, mends)
    if baseline is not None:
        findings = _unknown(findings, baseline, update_baseline)
    if as_sarif:
        from ringfence.check.formats import sarif

        say_json(sarif(findings, _prefix(app)), indent=2)
    elif as_github:
        from ringfence.check.formats import annotation

        for finding in findings:
            say(annotation(finding, _prefix(app)))
    elif as_json:
        say_json({"findings": [_told(finding) for finding in findings]}, indent=2)
    else:
        _show(findings)
    return _code(findings, refused, strict)


def _found(app: Path, mends: bool) -> tuple[list[Finding], bool]:
    """Return what the start would find and what the sources say, and whether it is refused."""
    from ringfence.app import check
    from ringfence.check.examination import examine, mend

    result = examine(app)
    if mends and result.edits:
        files = mend(app, result.edits)
        complain(f"mended {files} file{'s' if files > 1 else ''}", plain=True)
        result = examine(app)
    refused = False
    try:
        started: Sequence[Finding] = check(app)
    except StartRefused as refusal:
        refused = True
        whole = Finding(str(app), 0, "start-refused", refusal.message)
        started = list(refusal.findings) or [whole]
    unread = {finding.file for finding in started if finding.rule == "RF102"}
    told = {(finding.file, finding.line) for finding in started}
    in_circle = any(finding.rule == "RF109" for finding in started)
    # What the start says as well is said once.
    read = [
        finding
        for finding in result.findings
        if not (finding.rule == "RF592" and finding.file in unread)
        and not (finding.rule in ("RF501", "RF519") and (finding.file, finding.line) in told)
        and not (finding.rule == "RF504" and in_circle)
    ]
    return [*started, *read] if refused else _sorted(started, read), refused


def _sorted(started: Sequence[Finding], read: Sequence[Finding]) -> list[Finding]:
    return sorted([*started, *read]) if read else list(started)


def _unknown(findings: list[Finding], file: Path, update: bool) -> list[Finding]:
    from ringfence.check.baseline import compared, made

    if update:
        try:
            file.write_bytes(made(findings))
        except OSError as error:
            said = f"it cannot be written: {error.strerror}; expected a file in a folder."
            raise StartRefused(f"{file}: {said} Name another one.") from None
    result = compared(findings, file)
    if result.known:
        complain(f"{file}: {result.known} known", plain=True)
    if result.mended:
        said = "are mended: --update-baseline takes them out"
        complain(f"{file}: {result.mended} of those known {said}", plain=True)
    return list(result.left)


def _prefix(app: Path) -> str:
    """Return the way from here to the application's folder, as it begins the name of a file."""
    way = Path(os.path.relpath(app)).as_posix()
    return "" if way == "." else f"{way}/"


def _told(finding: Finding) -> Mapping[str, object]:
    from ringfence.check.catalogue import severity

    return {
        "file": finding.file,
        "line": finding.line,
        "rule": finding.rule,
        "severity": severity(finding.rule),
        "message": finding.message,
        "fix": finding.fix,
    }


def _code(findings: Sequence[Finding], refused: bool, strict: bool) -> int:
    from ringfence.check.catalogue import severity

    if refused or any(finding.rule.startswith("config-") for finding in findings):
        return 2
    return int(any(strict or severity(finding.rule) == "error" for finding in findings))


def _show(findings: Sequence[Finding]) -> None:
    from ringfence.check.catalogue import severity

    warnings = 0
    for finding in findings:
        is_warning = severity(finding.rule) == "warning"
        warnings += is_warning
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        rule = f"{finding.rule} warning:" if is_warning else finding.rule
        say((place, "bold"), ": ", (rule, "warn" if is_warning else "bad"), f" {finding.message}")
        if finding.fix:
            say(("    fix: ", "dim"), finding.fix)
    count = len(findings)
    if not count:
        say(("no findings", "good"))
        return
    of_these = f", {'all' if warnings == count else warnings} warnings" if warnings else ""
    tail = of_these if count > 1 else (", a warning" if warnings else "")
    tone: Tone = "warn" if warnings == count else "bad"
    say((f"{count} finding{'s' if count > 1 else ''}{tail}", tone))
