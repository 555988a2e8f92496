"""WebSockets on a connection: uvicorn's wsproto protocol, with deadlines and safe refusals.

`Socket` takes a connection over once its handshake has been read. Imported with the first of them,
since wsproto is needed for nothing else. Invariant: a message is bounded, nothing is decompressed,
and a client that neither reads nor answers a ping is cut off.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Ping, Pong
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ringfence.tools.http.problem import answer_to, stopping
from ringfence.tools.http.server.connections import SWEEP_S
from ringfence.tools.http.server.head import malformed
from ringfence.tools.http.wire import Answer, Scope

if TYPE_CHECKING:
    from ringfence.tools.http.server.protocol import Connection

# A client that has sent nothing for so long is asked whether it is there, and has as long again.
PING_S = 20.0
# The close code of a service that restarts: clients connect again. Source: IANA's registry.
RESTARTING = 1012


class Socket(WSProtocol):
    """One connection that has become a WebSocket.

    Args:
        connection: As which it began.
        scope: Of the handshake, with what is known of where it comes from.
    """

    def __init__(self, connection: "Connection", scope: Scope) -> None:
        shared = connection.shared
        super().__init__(shared.uvicorn_config, shared.state, {})
        self._open = shared.connections
        self._asked = cast("dict[str, object]", scope)
        self._peer = connection.peer
        self._greeted = False  # the handshake has been read
        self._early = b""  # what came before it was answered
        self._heard = self._open.now
        self._pinged = False
        self._stopping = False
        self._unsent = 0
        self._unsent_since = 0.0
        self.default_headers = []

    def data_received(self, data: bytes) -> None:
        self._heard = self._open.now
        self._pinged = False
        if self._greeted and not self.handshake_complete:  # wsproto would lose it
            self._early += data
            self._hold()
            return
        self._greeted = True
        try:
            self.conn.receive_data(data)
            self.handle_events()
        except RemoteProtocolError:
            self._fail()
        except LocalProtocolError:  # after the end
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.leave(self._peer)
        super().connection_lost(exc)

    def check(self, now: float) -> None:
        """Keep this connection's deadlines; called once a second."""
        silent_s = now - self._heard - SWEEP_S
        if self._stalled(now):
            self._open.refusals.note("write_timeout", 0, self._peer)
            self.transport.abort()
        elif not self.handshake_complete or self.close_sent or self.read_paused:
            return
        elif silent_s > 2 * PING_S:
            self._open.refusals.note("ping_timeout", 0, self._peer)
            self.transport.abort()
        elif silent_s > PING_S and not self._pinged:
            self._pinged = True
            self.transport.write(self.conn.send(Ping()))

    def shutdown(self) -> None:
        """Tell the handler that the process ends, and the client once it has ended: there may be a
        message in hand that is still to be answered."""
        self._stopping = True
        if self.handshake_complete and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": RESTARTING})
        else:
            super().shutdown()

    async def run_asgi(self) -> None:
        known = cast("dict[str, object]", self.scope)
        for key in ("client", "scheme", "inbound", "path", "raw_path", "headers"):
            if key in self._asked:
                known[key] = self._asked[key]
        known["scheme"] = "wss" if self._asked["scheme"] == "https" else "ws"
        self.app = cast("ASGI3Application", self._serve)
        await super().run_asgi()

    async def _serve(self, *request: object) -> None:
        app = cast("Callable[..., Awaitable[None]]", self.config.loaded_app)
        try:
            await app(*request)
        finally:
            if self._stopping and not self.disconnected:
                with suppress(LocalProtocolError):  # the client has closed it meanwhile
                    super().shutdown()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self._early and self.handshake_complete:
            early, self._early = self._early, b""
            self.data_received(early)
            if self.read_paused and self.queue.empty():
                self.read_paused = False
                self.transport.resume_reading()

    def handle_close(self, event: CloseConnection) -> None:
        """Answer the end; where it is ours, because what came in is no frame, say so."""
        if self.conn.state is ConnectionState.OPEN and not self.close_sent:
            self.transport.write(self.conn.send(event))
        super().handle_close(event)

    def send_500_response(self) -> None:
        """Answer a handshake that nobody else has answered."""
        if self.response_started or self.handshake_complete:
            return
        self._reject(stopping() if self._stopping else answer_to(_Unanswered(), "http"))

    def handle_pong(self, event: Pong) -> None:
        """Do nothing: that something came is what counts."""

    def start_keepalive(self) -> None:
        """Start no timer: `check` keeps the time."""

    def _hold(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _fail(self) -> None:
        """Answer what is no handshake."""
        if not self.handshake_complete:
            refused = malformed("expected a WebSocket handshake")
            self._open.refusals.note(refused.code, 400, self._peer)
            self._reject(refused.answer())
        self.transport.close()

    def _reject(self, answer: Answer) -> None:
        self.response_started = True
        self.transport.write(self._open.written(answer))

    def _stalled(self, now: float) -> bool:
        unsent = self.transport.get_write_buffer_size()
        waited_for = self.transport.is_closing() or not self.writable.is_set()
        if not waited_for or unsent == 0 or unsent < self._unsent or self._unsent == 0:
            self._unsent, self._unsent_since = unsent, now
            return False
        return now - self._unsent_since > self._open.bounds.write_timeout_s


class _Unanswered(Exception):
    """An application returned without an answer to the handshake."""
