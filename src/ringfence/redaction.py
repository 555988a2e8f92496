"""What keeps the values of an application's secrets out of all that leaves it.

One `Redactor` belongs to one configuration: whoever reads a secret from it lets the redactor learn
it, and every door through which text leaves asks it: the log, problems over HTTP and the control
socket, findings, states and spans. Invariant: of what it has learnt, nothing passes in any of the
forms that `_forms` lists. Used by `config.py`, `app.py`, `control.py` and, as a function, by tools.
"""

import json
import re
from base64 import b64encode
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote, quote_plus, unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from ringfence.errors import BootError, Finding, Invalid, RingfenceError
from ringfence.settings import HIDDEN, Secret, looks_secret

# A shorter value would mask what is no secret: the least that GitLab masks in its logs as well.
SHORTEST = 8
_LONGEST_CHAIN = 100
_SCHEME = re.compile(r"[A-Za-z][\w-]{2,15}\s+(\S+)")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_USER_INFO = re.compile(r"(://[^\s/?#@:'\"]*:)[^\s/?#'\"]+@")


class Redactor:
    """Masks what it has learnt, and the password of any URL, in the texts that it is called with.

    A value shorter than `SHORTEST` characters is not looked for. Learning is for good.
    """

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()

    def learn(self, value: object, name: str = "") -> None:
        """Learn what is secret in a value of the configuration, as deep as it goes.

        Args:
            value: A `Secret`, or anything: texts below a name that looks secret are learnt, and of
                a URL its password.
            name: The key that the value stands at.
        """
        found = {form for text in _secrets(value, looks_secret(name)) for form in _forms(text)}
        if not found <= set(self._forms):
            # The longest first, so that of a secret that holds another one nothing is left.
            self._forms = tuple(sorted({*self._forms, *found}, key=lambda form: (-len(form), form)))

    def __call__(self, text: str) -> str:
        """Return `text` with `***` where a secret stood."""
        if "://" in text and "@" in text:
            text = _USER_INFO.sub(rf"\1{HIDDEN}@", text)
        # Sought one by one: faster than a pattern of alternatives, which fails at each character.
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text

    def cut(self, text: str) -> str:
        """Mask a text whose end was cut off, and perhaps a secret with it."""
        text = self(text)
        for form in self._forms:
            for length in range(min(len(form), len(text)), 3, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + HIDDEN
        return text

    def finding(self, finding: Finding) -> Finding:
        """Mask what a finding says."""
        return replace(finding, message=self(finding.message), fix=self(finding.fix))

    def error(self, error: BaseException) -> None:
        """Mask, in place, what an exception says, and what those say that led to it."""
        seen: dict[int, BaseException] = {}
        waiting: list[BaseException | None] = [error]
        while waiting and len(seen) < _LONGEST_CHAIN:
            one = waiting.pop()
            if one is not None and id(one) not in seen:
                seen[id(one)] = one
                self._mask(one)
                for link in ("__cause__", "__context__"):
                    if self._shows(getattr(one, link)):  # it makes its text of something else
                        setattr(one, link, None)
                waiting += [one.__cause__, one.__context__]
                waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else ()

    @contextmanager
    def errors(self) -> Generator[None]:
        """Mask whatever leaves the block as an error."""
        try:
            yield
        except Exception as error:
            self.error(error)
            raise

    def _mask(self, error: BaseException) -> None:
        error.args = tuple(self(arg) if isinstance(arg, str) else arg for arg in error.args)
        if isinstance(error, RingfenceError):
            error.message, error.hint = self(error.message), self(error.hint)
            error.subject = self(error.subject)
        if isinstance(error, BootError):
            error.findings = tuple(map(self.finding, error.findings))
        if isinstance(error, Invalid):
            error.faults = tuple(replace(f, message=self(f.message)) for f in error.faults)
        if hasattr(error, "__notes__"):
            error.__notes__ = [self(str(note)) for note in error.__notes__]

    def _shows(self, error: BaseException | None) -> bool:
        if error is not None:
            self._mask(error)
        try:
            text = str(error)
        except Exception:  # the author's code: what cannot be told shows nothing
            return False
        return self(text) != text


def _secrets(value: object, secret: bool) -> Iterator[str]:
    """Yield the texts in a value that are secret; under a secret name, all of them."""
    match value:
        case Secret():
            yield value.reveal()
        case str():
            if secret:
                yield value
            yield from _password(value)
        case Mapping():
            for name, item in value.items():
                yield from _secrets(item, secret or looks_secret(str(name)))
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from _secrets(item, secret)
        case Struct():
            for name in value.__struct_fields__:
                yield from _secrets(getattr(value, name), secret or looks_secret(name))
        case int() if secret and not isinstance(value, bool):
            yield str(value) if value.bit_length() < 256 else ""


def _password(text: str) -> Iterator[str]:
    """Yield the password in a URL, as it is written there and as it is meant."""
    if "://" in text and "@" in text:
        try:
            password = urlsplit(text).password or ""
        except ValueError:
            return
        yield from {password, unquote(password)}


def _forms(secret: str) -> Iterator[str]:
    """Yield the texts that give a secret away: itself, quoted, encoded, and parts of it that are
    secrets of their own (what follows `Bearer`, the password in a URL, a line of a key)."""
    wholes = [secret, *_password(secret)]
    wholes += [line for line in secret.splitlines() if not line.startswith("-----")]
    if scheme := _SCHEME.fullmatch(secret):
        wholes.append(scheme[1])
    for whole in {text.strip() for text in wholes}:
        if len(whole) >= SHORTEST:
            yield whole
            yield from (repr(whole)[1:-1], ascii(whole)[1:-1], json.dumps(whole)[1:-1])
            content = whole.encode("utf-8", "surrogatepass")
            yield from (repr(content)[2:-1], content.hex(), content.hex().upper())
            for quoted in (quote(content), quote(content, safe=""), quote_plus(content)):
                yield from {quoted, _ESCAPE.sub(lambda escape: escape[0].lower(), quoted)}
            yield from _base64(content)


def _base64(content: bytes) -> Iterator[str]:
    """Yield what Base64 makes of it inside a longer text, which may begin at any of three places:
    the digits that depend on nothing else."""
    for shift, first in ((0, 0), (1, 2), (2, 3)):
        digits = b64encode(bytes(shift) + content).decode()[first : (shift + len(content)) * 4 // 3]
        yield from {digits, digits.replace("+", "-").replace("/", "_")}
