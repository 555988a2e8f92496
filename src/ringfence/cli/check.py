"""`ringfence check`: all findings at once, for people or for machines."""

from pathlib import Path

import click

from ringfence.cli.options import app_argument, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import say, say_json
from ringfence.errors import Finding, StartRefused


@click.command("check")
@app_argument
@json_option
def verb(app: Path, as_json: bool) -> int:
    """List everything that is wrong with the application in the folder APP.

    It is read and imported, and nothing of it is started. Exits with 1 if there are findings, with
    2 if its configuration is among them.
    """
    from ringfence.app import check

    refused = False
    try:
        with Waiting("reading the application", quiet=as_json):
            findings = check(app)
    except StartRefused as refusal:
        refused = True
        whole = Finding(str(app), 0, "start-refused", refusal.message)
        findings = list(refusal.findings) or [whole]
    if as_json:
        say_json({"findings": findings}, indent=2)
    else:
        _show(findings)
    if refused or any(finding.rule.startswith("config-") for finding in findings):
        return 2
    return 1 if findings else 0


def _show(findings: list[Finding]) -> None:
    for finding in findings:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        say((place, "bold"), ": ", (finding.rule, "bad"), f" {finding.message}")
        if finding.fix:
            say(("    fix: ", "dim"), finding.fix)
    count = len(findings)
    if count:
        say((f"{count} finding{'s' if count > 1 else ''}", "bad"))
    else:
        say(("no findings", "good"))
