"""How results become JSON: by msgspec, and what it does not know by the adapter that carries it."""

from collections.abc import Callable
from inspect import isawaitable

from msgspec import Raw, json

from ringfence.contracts.payload import adapter_of


def encoder() -> Callable[[object], bytes]:
    """Return a function that encodes a value as JSON; it raises TypeError for what has none."""
    return json.Encoder(enc_hook=_carried).encode


def _carried(value: object) -> Raw:
    adapter = adapter_of(type(value))
    if adapter is None:
        kind = type(value).__name__
        hint = " Write `await` in front of it." if isawaitable(value) else ""
        raise TypeError(f"the result holds a {kind}; expected what JSON carries.{hint}")
    return Raw(adapter.json(value))
