"""Serve HTTP: `from ringfence.tools.http import get, post`, a decorator on a plugin's method."""

from ringfence.kernel.ports import ToolSpec
from ringfence.tools.http.contract import Http, Route, delete, get, patch, post, put
from ringfence.tools.http.service import check

SPEC = ToolSpec(
    name="http",
    contract=Http,
    package="ringfence.tools.http",
    default_driver="uvicorn",
    check=check,
)

__all__ = ["SPEC", "Http", "Route", "delete", "get", "patch", "post", "put"]
