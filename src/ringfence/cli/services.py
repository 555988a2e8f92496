"""`ringfence services`: what features offer each other, and who asks for it."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import click
from msgspec import Struct

from ringfence.cli.listing import matching, remark
from ringfence.cli.options import app_option, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import say, say_json
from ringfence.kernel.manifest import Manifest
from ringfence.kernel.ports import Parameter, Required, Signature

_DEFAULT = 60  # characters of a parameter's default


class Listed(Struct, frozen=True):
    """One service; `lost` says why its plugin does not serve."""

    name: str
    signature: str
    plugin: str
    required_by: tuple[str, ...]
    file: str
    line: int
    doc: str = ""
    lost: str = ""


@click.command("services")
@click.argument("wanted", metavar="[TEXT]", default="")
@app_option
@json_option
def verb(wanted: str, app: Path, as_json: bool) -> int:
    """List the services of the application, or those whose name or plugin contains TEXT.

    It is read and imported, and nothing of it is started.
    """
    from ringfence.app import declared

    with Waiting("reading the application", quiet=as_json):
        manifest = declared(app)
    words = {one: (one.name, one.plugin) for one in _services(manifest)}
    found = matching(wanted, words, "service")
    if as_json:
        say_json({"services": found}, indent=2)
        return 0
    for one in found:
        say((one.name, "bold"), one.signature)
        lost = f"  quarantined: {one.lost}" if one.lost else ""
        say(f"  {one.plugin}", (f"  {one.file}:{one.line}", "dim"), (lost, "bad"))
        if one.required_by:
            say(("  required by ", "dim"), ", ".join(one.required_by))
    remark(manifest, len(found), "service")
    return 0


def _services(manifest: Manifest) -> list[Listed]:
    return sorted([*_serving(manifest), *_lost(manifest)], key=lambda one: one.name)


def _serving(manifest: Manifest) -> Iterator[Listed]:
    for declared in manifest.declared:
        name = declared.declaration.key
        if declared.declaration.kind == "service":
            yield Listed(
                name,
                signature_text(declared.signature),
                declared.plugin,
                _users(manifest, name),
                declared.file,
                declared.line,
                declared.signature.doc,
            )


def _lost(manifest: Manifest) -> Iterator[Listed]:
    for gone in manifest.quarantined:
        for decorator, name in gone.names:
            if decorator == "service":
                users, said = _users(manifest, name), gone.finding.message
                yield Listed(name, "", gone.id, users, gone.file, gone.finding.line, lost=said)


def _users(manifest: Manifest, name: str) -> tuple[str, ...]:
    return tuple(plugin.id for plugin in manifest.plugins if name in plugin.grants)


def signature_text(signature: Signature) -> str:
    """Return a signature as one reads it in code: `(order: NewOrder) -> Order`."""
    parameters = ", ".join(map(_parameter, signature.parameters))
    return f"({parameters}) -> {type_text(signature.result)}"


def _parameter(parameter: Parameter) -> str:
    text = f"{parameter.name}: {type_text(parameter.annotation)}"
    return (
        text if isinstance(parameter.default, Required) else f"{text} = {parameter.default!r:.60}"
    )


def type_text(hint: object) -> str:
    """Return a type hint without the modules of its names, and without its constraints."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin in (Union, UnionType):
        return " | ".join(map(type_text, arguments))
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if hint in (None, NoneType):
        return "None"
    if hint is Ellipsis:
        return "..."
    name = str(getattr(origin or hint, "__name__", hint))
    return f"{name}[{', '.join(map(type_text, arguments))}]" if arguments else name
