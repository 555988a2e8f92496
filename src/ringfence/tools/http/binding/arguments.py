"""Where one argument of an operation comes from, and how it is read from a request.

`read` reads it from the parts of a request, `take` from its own part alone; both raise at the first
fault. `faults` explains a request that was refused, and lists them all, after a failure only.
"""

from collections.abc import Mapping, Sequence

from msgspec import MsgspecError, Struct, ValidationError
from msgspec import field as default

from ringfence.contracts.payload import MOST_FAULTS
from ringfence.errors import Fault
from ringfence.kernel.ports import REQUIRED, Parameter
from ringfence.tools.http.binding import body
from ringfence.tools.http.binding.forms import Form
from ringfence.tools.http.binding.kinds import Kind, QueryField
from ringfence.tools.http.binding.query import Query
from ringfence.tools.http.binding.texts import Named, Whole, explain_text, read_text, under
from ringfence.tools.http.problem import Refused

# What a request is rejected for; anything else that reading it raises is a bug.
UNREADABLE = (MsgspecError, UnicodeDecodeError, RecursionError)
_MOST_LETTERS = 200  # of what a fault says, and of where
_NO_TEXT = "expected text, got a file"


class Parts(Struct):
    """The parts of a request that arguments come from. What no argument asks for stays empty."""

    captures: tuple[str, ...] = ()
    query: Query = {}
    content: bytes = b""
    headers: Query = {}
    cookies: dict[str, str] = {}
    form: Form = default(default_factory=Form)
    request: object = None
    stream: object = None
    socket: object = None


class FromPath(Struct, frozen=True):
    """The segment at `index` among the captured ones."""

    parameter: Parameter
    index: int
    field: QueryField

    @property
    def is_text(self) -> bool:
        """Whether the segment is the argument as it stands."""
        return self.parameter.annotation is str

    def take(self, text: str) -> object:
        """Read it. Raises ValidationError."""
        return read_text(text, self.field, self.parameter.annotation)

    def read(self, parts: Parts) -> object:
        return self.take(parts.captures[self.index])

    def faults(self, parts: Parts) -> list[Fault]:
        text = parts.captures[self.index]
        return explain_text(
            text, self.field, self.parameter.annotation, f"path.{self.parameter.name}"
        )


class FromQuery(Named, frozen=True):
    """The values under its name."""

    place = "query"

    def read(self, parts: Parts) -> object:
        return self.take(parts.query)

    def faults(self, parts: Parts) -> list[Fault]:
        return self.explain(parts.query)


class FromHeader(Named, frozen=True):
    """The values of the headers of its name, in lower case."""

    place = "header"
    secret = True

    def read(self, parts: Parts) -> object:
        return self.take(parts.headers)

    def faults(self, parts: Parts) -> list[Fault]:
        return self.explain(parts.headers)


class FromCookie(Named, frozen=True):
    """The cookie of its name."""

    place = "cookie"
    secret = True

    def read(self, parts: Parts) -> object:
        return self.take(self._values(parts))

    def faults(self, parts: Parts) -> list[Fault]:
        return self.explain(self._values(parts))

    def _values(self, parts: Parts) -> Query:
        value = parts.cookies.get(self.field.name)
        return {} if value is None else {self.field.name: [value]}


class FromFormField(Named, frozen=True):
    """The texts under its name in a form."""

    place = "form"

    def read(self, parts: Parts) -> object:
        _refuse_other(self.field.name, parts.form.files, _NO_TEXT)
        return self.take(parts.form.texts)

    def faults(self, parts: Parts) -> list[Fault]:
        if self.field.name in parts.form.files:
            return [Fault(f"form.{self.field.name}", _NO_TEXT)]
        return self.explain(parts.form.texts)


class FromFile(Struct, frozen=True):
    """The file under its name in a form, or all of them."""

    parameter: Parameter
    field: QueryField

    def read(self, parts: Parts) -> object:
        found = self.faults(parts)
        if found:
            raise ValidationError(found[0].message)
        files = parts.form.files.get(self.field.name)
        if files is None:
            return self.parameter.default
        return files if self.field.kind is Kind.FILES else files[0]

    def faults(self, parts: Parts) -> list[Fault]:
        place = f"form.{self.field.name}"
        if self.field.name in parts.form.texts:
            return [Fault(place, "expected a file, got text")]
        files = parts.form.files.get(self.field.name)
        if files is None:
            required = self.parameter.default is REQUIRED
            return [Fault(place, "is missing")] if required else []
        if self.field.kind is Kind.FILE and len(files) > 1:
            return [Fault(place, f"is given {len(files)} times; expected once")]
        return []


class FromWholeQuery(Whole, frozen=True):
    """An object, a field from each name of the query."""

    place = "query"

    def read(self, parts: Parts) -> object:
        return self.take(parts.query)

    def faults(self, parts: Parts) -> list[Fault]:
        return self.explain(parts.query, self.parameter.annotation)


class FromForm(Whole, frozen=True):
    """An object, a field from each name of a form; names that nothing takes are refused."""

    place = "form"

    def read(self, parts: Parts) -> object:
        for field in self.fields:
            _refuse_other(field.name, parts.form.files, _NO_TEXT)
        return self.take(_names(parts.form.files) | parts.form.texts)

    def faults(self, parts: Parts) -> list[Fault]:
        taken = {field.name for field in self.fields}
        wrong = [name for name in parts.form.files if name in taken]
        values = _names(parts.form.files) | parts.form.texts
        reader = body.reader(self.parameter.annotation)
        found = self.explain(values, reader.strict)
        found += [Fault(under("form", f.path), f.message) for f in reader.unknown(values)]
        kept = [fault for fault in found if fault.path.removeprefix("form.") not in wrong]
        return kept + [Fault(f"form.{name}", _NO_TEXT) for name in wrong]


class FromBody(Struct):
    """The whole body."""

    parameter: Parameter
    built: body.BodyReader | None = None

    @property
    def reader(self) -> body.BodyReader:
        """How it is read; made when it is first read, since making it costs a class."""
        self.built = self.built or body.reader(self.parameter.annotation)
        return self.built

    @property
    def is_struct(self) -> bool:
        """Whether a decoded body only has to be given its declared class."""
        return self.reader.declared is not None and self.parameter.default is REQUIRED

    def take(self, content: bytes) -> object:
        """Read it. Raises ValidationError, DecodeError, UnicodeDecodeError, RecursionError."""
        if not content and self.parameter.default is not REQUIRED:
            return self.parameter.default
        value = self.reader.decode(content)
        if self.reader.declared is not None:
            value.__class__ = self.reader.declared
        return value

    def read(self, parts: Parts) -> object:
        return self.take(parts.content)

    def faults(self, parts: Parts) -> list[Fault]:
        if not parts.content and self.parameter.default is not REQUIRED:
            return []
        if self.reader.carried:  # what explains it reads it
            return body.explain(parts.content, self.reader)
        try:
            self.take(parts.content)
        except UNREADABLE as wrong:
            return body.explain(parts.content, self.reader) or [Fault("$", str(wrong))]
        return []


class _Plain(Struct, frozen=True):
    """What is taken as it is."""

    parameter: Parameter

    def faults(self, parts: Parts) -> list[Fault]:
        return []


class FromRawBody(_Plain, frozen=True):
    """The bytes of the body, whatever they are."""

    def read(self, parts: Parts) -> object:
        if not parts.content and self.parameter.default is not REQUIRED:
            return self.parameter.default
        return parts.content


class FromBodyStream(_Plain, frozen=True):
    """The body as it comes in."""

    def read(self, parts: Parts) -> object:
        return parts.stream


class FromRequest(_Plain, frozen=True):
    """The request itself."""

    def read(self, parts: Parts) -> object:
        return parts.request


class FromIfMatch(_Plain, frozen=True):
    """The version that a request is for."""

    def read(self, parts: Parts) -> object:
        from ringfence.tools.http.answers.conditional import IfMatch

        given = parts.headers.get("if-match")
        return IfMatch(None if given is None else ", ".join(given))


class FromSocket(_Plain, frozen=True):
    """The WebSocket that the request opened."""

    def read(self, parts: Parts) -> object:
        return parts.socket


Argument = (
    FromPath
    | FromQuery
    | FromWholeQuery
    | FromBody
    | FromHeader
    | FromCookie
    | FromForm
    | FromFormField
    | FromFile
    | FromRawBody
    | FromBodyStream
    | FromRequest
    | FromIfMatch
    | FromSocket
)


HotArgument = FromPath | FromQuery | FromWholeQuery | FromBody


def reread(arguments: Sequence[Argument], parts: Parts, error: BaseException) -> tuple[object, ...]:
    """Read once more what `error` kept from being read; `2.0` is an integer too.

    Raises:
        Refused: 400, 422: it cannot be read, with every fault of it.
    """
    whole = body.whole_numbers(parts.content, error)
    if whole is not None:
        parts.content = whole
        try:
            return tuple([argument.read(parts) for argument in arguments])
        except UNREADABLE as again:
            error = again
    raise refusal(arguments, parts, error) from None


def refusal(arguments: Sequence[Argument], parts: Parts, error: BaseException) -> Refused:
    """Return the answer to a request that `error` kept from being read: every fault of it."""
    found: list[Fault] = []
    for argument in arguments:
        try:
            found += argument.faults(parts)
        except RecursionError:  # it can be read deeper than it can be explained
            found.append(Fault("$", str(error)))
    found = found or [Fault("$", str(error))]
    if len(found) > MOST_FAULTS:
        found[MOST_FAULTS:] = [Fault("$", f"and more; the first {MOST_FAULTS} faults are listed")]
    shown = [Fault(_shortened(fault.path), _shortened(fault.message)) for fault in found]
    return Refused(422, "invalid", "the request does not fit", errors=shown)


def _shortened(text: str) -> str:
    """A name or a value that is echoed is as long as whoever sent it decides."""
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"


def _names(files: Mapping[str, object]) -> Query:
    """Files as fields without a value: their names may be unknown like any other."""
    return {name: [""] for name in files}


def _refuse_other(name: str, others: Mapping[str, object], message: str) -> None:
    if name in others:
        raise ValidationError(message)
