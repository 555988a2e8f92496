"""The coroutines that serve routes."""

from collections.abc import Awaitable, Callable

import pytest

from ringfence.kernel.ports import Parameter, Signature
from ringfence.tools.http.binding.plan import plan
from ringfence.tools.http.conformance import NewOrder, endpoint
from ringfence.tools.http.limits import Limits
from ringfence.tools.http.shape import Shapes


async def take(*values: object) -> None:
    """Whatever comes."""


def code_of(shapes: Shapes, names: list[str], *parameters: Parameter) -> object:
    bound = plan("POST", names, Signature(parameters, None))
    assert bound.misfits == ()
    route: Callable[..., Awaitable[None]] = shapes.route(endpoint("POST", "/", take), bound, 200)
    return getattr(route, "__code__")


def test_routes_of_one_shape_share_their_code() -> None:
    """A thousand routes are a handful of compilations."""
    shapes = Shapes(Limits())
    first = code_of(shapes, ["a"], Parameter("a", str), Parameter("order", NewOrder))
    second = code_of(shapes, ["b"], Parameter("b", str), Parameter("other", NewOrder))
    third = code_of(shapes, ["b"], Parameter("b", int), Parameter("other", NewOrder))
    assert first is second
    assert first is not third


@pytest.mark.parametrize("parameters", [(), (Parameter("q", int, 1),)])
def test_what_a_route_does_not_take_is_not_read(parameters: tuple[Parameter, ...]) -> None:
    """No body is awaited where none is bound, no query parsed where nothing comes from it."""
    code = code_of(Shapes(Limits()), [], *parameters)
    names = set(getattr(code, "co_freevars")) | set(getattr(code, "co_names"))
    assert "read_rest" not in names
    assert ("parse" in names) == bool(parameters)
