"""How results become JSON: by msgspec, and what it does not know by the adapter that carries it."""

from collections.abc import Callable

from msgspec import Raw, json

from ringfence.contracts.payload import adapter_of


def encoder() -> Callable[[object], bytes]:
    """Return a function that encodes a value as JSON; it raises TypeError for what has none."""
    return json.Encoder(enc_hook=_carried).encode


def _carried(value: object) -> Raw:
    adapter = adapter_of(type(value))
    if adapter is None:
        raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")
    return Raw(adapter.json(value))
