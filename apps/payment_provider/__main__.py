"""Run the payment provider, beside a command or by itself.

    python -m apps.payment_provider --port 8001
    python -m apps.payment_provider --port 8001 -- ringfence run apps/shop

With a command this process becomes the command, and the provider runs beside it: it ends when the
command has ended, however that came about. Where the port is taken, it takes another one; the
command is told by PAYMENT_PROVIDER_URL.
"""

import argparse
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

HOST = "127.0.0.1"


def main(arguments: Sequence[str]) -> None:
    """Read the command line, and serve."""
    own, beside, command = _split(arguments)
    parser = argparse.ArgumentParser(prog="payment_provider", description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(own)
    if given.fd is not None:
        listener = socket.socket(fileno=given.fd)
        threading.Thread(target=_end_with_stdin, daemon=True).start()
        _serve(listener)
        return
    listener = _listen(given.port, or_any=beside)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    sys.stderr.write(f"payment provider: {url}\n")
    if beside:
        _run_beside(listener, url, command)
    else:
        _serve(listener)


def _split(arguments: Sequence[str]) -> tuple[list[str], bool, list[str]]:
    if "--" not in arguments:
        return list(arguments), False, []
    at = arguments.index("--")
    return list(arguments[:at]), True, list(arguments[at + 1 :])


def _listen(port: int, *, or_any: bool) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        if not or_any:
            sys.exit(f"payment provider: port {port} cannot be had: {error.strerror}.")
        listener.bind((HOST, 0))
    listener.listen(128)
    return listener


def _run_beside(listener: socket.socket, url: str, command: list[str]) -> None:
    fd = listener.fileno()
    reads, writes = os.pipe()
    subprocess.Popen(  # noqa: S603 - this program itself
        [sys.executable, "-m", "apps.payment_provider", "--fd", str(fd)],
        stdin=reads,
        pass_fds=[fd],
        start_new_session=True,  # a Ctrl-C is for the command, which still charges as it drains
    )
    # The other end goes on into the command, and closes when the command ends: the provider's sign.
    os.set_inheritable(writes, True)
    environment = {"PAYMENT_PROVIDER_URL": f"{url}/v1/", **os.environ}
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - what the caller asks for
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}.")


def _serve(listener: socket.socket) -> None:
    # Not by the process that only becomes another one.
    import uvicorn

    from apps.payment_provider.provider import Provider

    key = os.environ.get("PAYMENT_PROVIDER_KEY", "only-for-trying-out")
    # What breaks off on demand would be reported as a failure of the server.
    config = uvicorn.Config(Provider(key), lifespan="off", log_level=100, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
