"""`ringfence call`: one call of a service, as the operator."""

import json
import math
from pathlib import Path

import click

from ringfence.cli.completion import complete_service
from ringfence.cli.options import app_option, json_option
from ringfence.cli.terminal import say_json


@click.command("call")
@click.argument("service", shell_complete=complete_service)
@click.argument("values", nargs=-1, metavar="[KEY=VALUE]...")
@app_option
@json_option
def verb(service: str, values: tuple[str, ...], app: Path, as_json: bool) -> int:
    """Call SERVICE of the running application with the given values, and print what it returns.

    A value is JSON if it can be read as such (7, true, null, "7", [1, 2]), and otherwise text.
    """
    from ringfence.cli import client

    payload = payload_of(values)
    try:
        result = client.call(app, service, payload)
    except client.Answered as answered:
        if not as_json:
            raise
        say_json(answered.problem)
        return 1
    say_json(result, indent=-1 if as_json else 2)
    return 0


def payload_of(values: tuple[str, ...]) -> dict[str, object]:
    """Read `KEY=VALUE` arguments; raises UsageError."""
    payload: dict[str, object] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals:
            raise click.UsageError(f"{value}: expected KEY=VALUE, got no `=`. As in name=Ada.")
        if not key:
            raise click.UsageError(f"{value}: expected KEY=VALUE, got no key before the `=`.")
        if key in payload:
            raise click.UsageError(f"{key}: given twice; expected each key once.")
        payload[key] = _value(text)
    return payload


def _value(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return text
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is out of range")
    return number
