"""Serve HTTP: `from ringfence.tools.http import get, post`, a decorator on a plugin's method."""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.http.answers.conditional import (
    IfMatch,
    PreconditionFailed,
    PreconditionRequired,
)
from ringfence.tools.http.answers.files import File
from ringfence.tools.http.answers.reply import Reply, SetCookie
from ringfence.tools.http.binding.json_text import read_json
from ringfence.tools.http.binding.markers import Cookie, Form, Header, cookie, form, header
from ringfence.tools.http.binding.pages import Page, Paged
from ringfence.tools.http.binding.request import BodyStream, Request
from ringfence.tools.http.binding.upload import UploadFile
from ringfence.tools.http.contract import Http, Route, delete, get, patch, post, put, websocket
from ringfence.tools.http.live.sockets import WebSocket, WebSocketClosed
from ringfence.tools.http.live.streams import EventStream, ServerEvent, Stream
from ringfence.tools.http.service import check

SPEC = ToolSpec(
    name="http",
    contract=Http,
    package="ringfence.tools.http",
    default_driver="uvicorn",
    check=check,
    contained=frozenset(f"RF3{n:02}" for n in (1, *range(3, 17))),
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
