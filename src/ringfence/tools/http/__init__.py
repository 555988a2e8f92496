"""Serve HTTP: `from ringfence.tools.http import get, post`, a decorator on a plugin's method."""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.http.contract import Http, Route, delete, get, patch, post, put, websocket
from ringfence.tools.http.markers import Cookie, Form, Header, cookie, form, header
from ringfence.tools.http.request import BodyStream, Request
from ringfence.tools.http.service import check
from ringfence.tools.http.upload import UploadFile

SPEC = ToolSpec(
    name="http",
    contract=Http,
    package="ringfence.tools.http",
    default_driver="uvicorn",
    check=check,
    contained=frozenset(f"RF30{n}" for n in (1, 3, 4, 5, 6, 7, 8, 9)) | {"RF310"},
)

__all__ = [
    "SPEC",
    "BodyStream",
    "Cookie",
    "Form",
    "Header",
    "Http",
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
