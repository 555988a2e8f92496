"""From a stored event to a handler's arguments: upcast to the version of today, and read.

`reader` works out once, while an application starts, how one handler reads what it is delivered. A
payload is decoded straight into the handler's own type; only one that is of an older version, or
that does not fit, goes by way of plain data. Part of the kernel's `Contracts`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast, get_type_hints

import msgspec
from msgspec.json import Decoder, decode, encode

from ringfence.contracts.payload import carry_in, carry_out, conform, faults, to_plain
from ringfence.errors import Invalid, PluginFailed, RingfenceError
from ringfence.kernel.delivery import Envelope
from ringfence.kernel.manifest import EventFacts
from ringfence.kernel.ports import Signature

Read = Callable[[Envelope], tuple[object, ...]]
Step = Callable[..., object]


def reader(signature: Signature, events: Mapping[str, Sequence[EventFacts]]) -> Read:
    """Return how a handler's argument, if it takes one, is read from a stored event.

    Args:
        signature: The handler's.
        events: The events of the application, by topic.

    Raises (what is returned does):
        Invalid: The payload does not fit; no attempt will change that.
        PluginFailed: A step from an older version is missing, or has failed.
    """
    if not signature.parameters:
        return lambda envelope: ()
    hint = cast("type[object]", signature.parameters[0].annotation)
    decoder = Decoder(hint, dec_hook=carry_in)

    def read(envelope: Envelope) -> tuple[object, ...]:
        payload = envelope.payload
        known = events.get(envelope.topic)
        if known is not None and envelope.version < known[0].kind.version:
            payload = _upcast(envelope, known)
        try:
            return (decoder.decode(payload),)
        except msgspec.DecodeError:
            raise _unfit(envelope, payload, hint) from None

    return read


def to_json(value: object) -> bytes:
    """Return an event as it is stored."""
    return encode(value, enc_hook=carry_out)


def _upcast(envelope: Envelope, known: Sequence[EventFacts]) -> bytes:
    steps: dict[int, Step] = {}
    for facts in known:
        steps |= facts.upcasts
    value: object = decode(envelope.payload)
    for version in range(envelope.version, known[0].kind.version):
        subject = f"{envelope.topic} {envelope.id}"
        step = steps.get(version)
        if step is None:
            raise PluginFailed(
                f"it was published as version {version}, and nothing leads from there to "
                f"{known[0].kind.version}.",
                subject=subject,
                hint=f'Write @upcast("{envelope.topic}", {version}) in {known[0].file}.',
            )
        try:
            value = to_plain(step(conform(value, _taken(step))))
        except Exception as error:  # the author's code: the event becomes a dead letter
            if isinstance(error, RingfenceError):
                raise
            said = f"{step.__name__} has failed: {type(error).__name__}: {error}"
            raise PluginFailed(said, subject=subject) from error
    return to_json(value)


def _taken(step: Step) -> type[object]:
    hints = [hint for name, hint in get_type_hints(step).items() if name != "return"]
    return cast("type[object]", hints[0] if hints else object)


def _unfit(envelope: Envelope, payload: bytes, hint: object) -> Invalid:
    subject = f"{envelope.topic} {envelope.id}"
    try:
        found = faults(decode(payload), hint)
    except msgspec.DecodeError as error:
        return Invalid(f"the payload is no JSON: {error}", subject=subject)
    return Invalid("the payload does not fit", subject=subject, faults=found)
