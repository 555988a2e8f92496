"""`ringfence explain`: what a rule is about, why, and how it is done right."""

from collections.abc import Mapping
from textwrap import wrap

import click

from ringfence.check.catalogue import Explained, explained, titles
from ringfence.cli.options import json_option
from ringfence.cli.terminal import say, say_json

_WIDTH = 80


@click.command("explain")
@click.argument("rule", default="")
@json_option
def verb(rule: str, as_json: bool) -> int:
    """Explain RULE, such as RF512, with an example; without one, list all of them."""
    if rule:
        known = explained(rule)
        say_json(known, indent=2) if as_json else _show(known)
    elif as_json:
        say_json({"rules": [{"id": i, "title": said} for i, said in titles().items()]}, indent=2)
    else:
        width = max(map(len, titles()))
        for name, title in titles().items():
            say((name.ljust(width), "bold"), f"  {title}")
    return 0


def _show(rule: Explained) -> None:
    say((rule.id, "bold"), f" ({rule.severity}): {rule.title}")
    say("")
    for line in wrap(rule.why, _WIDTH):
        say(line)
    for heading, files in (("Not so:", rule.bad), ("But so:", rule.good)):
        if files:
            _show_files(heading, files)


def _show_files(heading: str, files: Mapping[str, str]) -> None:
    say("")
    say((heading, "bold"))
    for name, text in files.items():
        say("")
        say((f"    # {name}", "dim"))
        for line in text.splitlines():
            say(f"    {line}" if line else "")
