"""The types that an author configures a feature with.

`Settings` is derived, one class a section of `ringfence.toml`; `Secret` and `Seconds` are types
for its fields. All three are plain values: a unit test constructs them. Read from the configuration
by `config.py`, injected by the kernel.
"""

import hmac
import math
import re
from typing import ClassVar, NoReturn, dataclass_transform

import msgspec

HIDDEN = "***"  # what stands where a secret was
_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_SECRET_NAME = re.compile(
    r"passw|passphrase|(?:^|_)pwd(?:$|_)|secret|token(?![a-z])|credential|authori[sz]ation"
    r"|(?:^|_)(?:auth|jwt|otp|cvv)(?:$|_)|cookie|bearer|session_?id"
    r"|(?:access|account|api|auth|client|encryption|master|private|shared|signing|ssh)_?key"
)
_ABOUT_SECRET = re.compile(
    r"_(?:at|count|domain|endpoint|expires|file|header|length|limit|name|path|policy|prefix|ttl"
    r"|timeout|type|ur[il])$"
)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|)", re.ASCII)


class Secret:
    """A string that shows itself to nobody but who asks: it prints as `***`.

    Two secrets compare in constant time, and a secret equals nothing else.

    Args:
        value: The text to keep.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._value), _bytes(other._value))

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; expected its name, got its value. Reveal it.")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> "Secret":
        return self


def hide(value: object) -> str:
    """Encode a `Secret` as `***`: an `enc_hook` for msgspec, which refuses it otherwise."""
    if isinstance(value, Secret):
        return HIDDEN
    raise NotImplementedError(f"objects of type {type(value).__name__} are not encoded")


def looks_secret(name: str) -> bool:
    """Whether what is called so is taken for a secret: `password`, `apiKey`, `Set-Cookie`; what is
    about one is not: `token_url`."""
    words = _WORDS.sub("_", name).lower()
    return _SECRET_NAME.search(words) is not None and _ABOUT_SECRET.search(words) is None


class Seconds(float):
    """A span of time in seconds; written as a number, or as text: `"250ms"`, `"30s"`, `"5m"`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> "Seconds":
        """Read a number of seconds or a text with a unit.

        Raises:
            ValueError: It is neither, or it is not above zero, or has no end.
        """
        seconds = math.nan
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = _float(value)
        elif isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
            seconds = float(match[1]) * _UNITS_S[match[2]]
        if not 0 < seconds < math.inf:
            raise ValueError('Expected seconds above zero, such as 30, "30s" or "250ms"')
        return cls(seconds)


class SettingsMeta(msgspec.StructMeta):
    """Takes `section=` and makes each class frozen and keyword-only."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, object],
        /,
        *,
        section: str = "",
        frozen: bool = True,
    ) -> "SettingsMeta":
        if not frozen:
            raise TypeError(f"{name}: settings do not change; expected frozen, got frozen=False")
        cls = super().__new__(mcls, name, bases, namespace, frozen=True, kw_only=True)
        if section:
            setattr(cls, "__section__", section)
        elif bases != (msgspec.Struct,) and not getattr(cls, "__section__", ""):
            raise TypeError(
                f'{name}: no section; expected class {name}(Settings, section="..."), '
                f"got {name}(Settings). Name the [settings.<section>] that it reads."
            )
        return cls


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Settings(msgspec.Struct, frozen=True, metaclass=SettingsMeta):
    """What a feature reads of `[settings.<section>]`; derive it, and take it as a field.

    class Billing(Settings, section="billing"):
        currency: str = "EUR"
        api_key: Secret
    """

    __section__: ClassVar[str] = ""


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf
