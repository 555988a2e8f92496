"""Serve HTTP: `from ringfence.tools.http import get, post`, a decorator on a plugin's method."""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.http.conditional import IfMatch, PreconditionFailed, PreconditionRequired
from ringfence.tools.http.contract import Http, Route, delete, get, patch, post, put, websocket
from ringfence.tools.http.files import File
from ringfence.tools.http.json_text import read_json
from ringfence.tools.http.markers import Cookie, Form, Header, cookie, form, header
from ringfence.tools.http.pages import Page, Paged
from ringfence.tools.http.reply import Reply, SetCookie
from ringfence.tools.http.request import BodyStream, Request
from ringfence.tools.http.service import check
from ringfence.tools.http.sockets import WebSocket, WebSocketClosed
from ringfence.tools.http.streams import EventStream, ServerEvent, Stream
from ringfence.tools.http.upload import UploadFile

SPEC = ToolSpec(
    name="http",
    contract=Http,
    package="ringfence.tools.http",
    default_driver="uvicorn",
    check=check,
    contained=frozenset(f"RF3{n:02}" for n in (1, *range(3, 15))),
)

__all__ = [
    "SPEC",
    "BodyStream",
    "Cookie",
    "EventStream",
    "File",
    "Form",
    "Header",
    "Http",
    "IfMatch",
    "Page",
    "Paged",
    "PreconditionFailed",
    "PreconditionRequired",
    "Reply",
    "Request",
    "Route",
    "ServerEvent",
    "SetCookie",
    "Stream",
    "UploadFile",
    "WebSocket",
    "WebSocketClosed",
    "cookie",
    "delete",
    "form",
    "get",
    "header",
    "patch",
    "post",
    "put",
    "read_json",
    "websocket",
]
