"""Serve HTTP: `from ringfence.tools.http import get, post`, a decorator on a plugin's method."""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.http.contract import Http, Route, delete, get, patch, post, put, websocket
from ringfence.tools.http.markers import Cookie, Form, Header, cookie, form, header
from ringfence.tools.http.pages import Page, Paged
from ringfence.tools.http.request import BodyStream, Request
from ringfence.tools.http.service import check
from ringfence.tools.http.upload import UploadFile

SPEC = ToolSpec(
    name="http",
    contract=Http,
    package="ringfence.tools.http",
    default_driver="uvicorn",
    check=check,
    contained=frozenset(f"RF3{n:02}" for n in (1, *range(3, 14))),
)

__all__ = [
    "SPEC",
    "BodyStream",
    "Cookie",
    "Form",
    "Header",
    "Http",
    "Page",
    "Paged",
    "Request",
    "Route",
    "UploadFile",
    "cookie",
    "delete",
    "form",
    "get",
    "header",
    "patch",
    "post",
    "put",
    "websocket",
]
