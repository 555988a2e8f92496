"""`ringfence routes`: what an application answers over HTTP, whether it runs or not."""

from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

from ringfence.cli.listing import matching, remark
from ringfence.cli.options import app_option, json_option
from ringfence.cli.progress import Waiting
from ringfence.cli.terminal import say, say_json
from ringfence.kernel.manifest import Manifest
from ringfence.tools.http.contract import Route

_METHODS = ("get", "post", "put", "patch", "delete", "websocket")


class Listed(Struct, frozen=True):
    """One route; `service` is empty where its method is none, `lost` where its plugin serves."""

    method: str
    path: str
    plugin: str
    service: str
    file: str
    line: int
    lost: str = ""


@click.command("routes")
@click.argument("wanted", metavar="[TEXT]", default="")
@app_option
@json_option
def verb(wanted: str, app: Path, as_json: bool) -> int:
    """List what the application answers over HTTP, or of it what contains TEXT.

    It is read and imported, and nothing of it is started.
    """
    from ringfence.app import declared

    with Waiting("reading the application", quiet=as_json):
        manifest = declared(app)
    words = {route: (*_words(route), f"{route.method} {route.path}") for route in _routes(manifest)}
    found = matching(wanted, words, "route")
    if as_json:
        say_json({"routes": found}, indent=2)
        return 0
    width = max((len(route.path) for route in found), default=0)
    for route in found:
        service = f"  {route.service}" if route.service else ""
        lost = f"  quarantined: {route.lost}" if route.lost else ""
        place = f"  {route.file}:{route.line}"
        method, path = f"{route.method:<9} ", f"{route.path:<{width}}"
        say(
            (method, "dim"),
            (path, "bold"),
            f"  {route.plugin}{service}",
            (place, "dim"),
            (lost, "bad"),
        )
    remark(manifest, len(found), "route")
    return 0


def _words(route: Listed) -> tuple[str, ...]:
    return route.method, route.path, route.plugin, route.service


def _routes(manifest: Manifest) -> list[Listed]:
    return sorted([*_serving(manifest), *_lost(manifest)], key=lambda r: (r.path, r.method))


def _serving(manifest: Manifest) -> Iterator[Listed]:
    for plugin in manifest.plugins:
        for offer in plugin.offers:
            services = [
                d.declaration.key for d in offer.declared if d.declaration.kind == "service"
            ]
            for declared in offer.declared:
                route = declared.declaration
                if isinstance(route, Route):
                    service = services[0] if services else ""
                    place = declared.file, declared.line
                    yield Listed(route.method, route.path, plugin.id, service, *place)


def _lost(manifest: Manifest) -> Iterator[Listed]:
    """Yield what is known of features that did not load, from their text."""
    for gone in manifest.quarantined:
        for decorator, name in gone.names:
            if decorator in _METHODS:
                said = gone.finding.message
                yield Listed(
                    decorator.upper(), name, gone.id, "", gone.file, gone.finding.line, said
                )
