"""What the test of a driver makes it with: an environment, and endpoints to serve.

    driver = Driver(Config(), environment("metrics", tmp_path))
    driver.bind([endpoint(Gauge("orders.open"), count)], [])

A driver is started, asked for handles and stopped by its test, as the kernel would. Used by those
who write drivers, with the suite of the tool.
"""

from collections.abc import Callable
from pathlib import Path

from ringfence.kernel.ports import Clock, Declaration, Endpoint, Health, ToolEnv
from ringfence.tools.clock.drivers import system
from ringfence.tools.http.doubles import Operation, Served


def environment(
    instance: str,
    root: Path,
    *,
    clock: Clock | None = None,
    redact: Callable[[str], str] = str,
) -> ToolEnv:
    """Return what the kernel would make a driver with.

    Args:
        instance: Of the tool, as in `[tools.<instance>]`.
        root: The application's folder; each folder in its `domains/` is a domain.
        clock: Where the driver has its time from; by default the machine's.
        redact: Masks the secrets of the application in a text; by default there are none.
    """
    domains = sorted((root / "domains").glob("[a-z]*/"))
    return ToolEnv(
        app="test",
        instance=instance,
        root=root,
        state=root / ".ringfence",
        clock=clock or system.Driver(system.Config(), NotImplemented),
        domains={folder.name: folder for folder in domains},
        health=lambda: Health("ready"),
        redact=redact,
    )


def endpoint(declaration: Declaration, function: Operation) -> Endpoint:
    """Return an endpoint as an ingress is bound to it, without an application behind it.

    Args:
        declaration: What a decorator of the tool says of the operation.
        function: A coroutine function in the place of a plugin's method. A RingfenceError that it
            raises passes with a trace id, as from the kernel.
    """
    return Served(declaration, function)
