"""Statements as features write them: what they are, and how a driver wants to have them.

`tokens(sql)` splits text, `Statements(domain, plugin).of(sql)` gives the prepared form: parameters
`$n` as `?`, or as `?n` where one is used twice; a leading comment that says whose
it is, so that a driver knows, and its cache of statements is one for each plugin.
Invariant: nothing inside a string, a quoted name or a comment is ever touched. Called by
`service.py` and `migrations.py`.
"""

import re
from collections.abc import Callable, Iterator
from enum import Enum, auto
from itertools import count, pairwise
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import quote, unquote

from msgspec import Struct

from ringfence.tools.db.contract import QueryError

# SQLite keeps as many prepared statements as it is told to; texts beyond this are made anew.
CACHED_STATEMENTS = 512
# SQLite's own limit for parameters of one statement.
MOST_PARAMETERS = 32_766

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\n\r\f\ufeff]++)
    | (?P<comment>--[^\n]*+ | /\*.*?(?:\*/|\Z))
    | (?P<text>'(?:[^']++|'')*+(?:'|\Z))
    | (?P<name>"(?:[^"]++|"")*+(?:"|\Z) | `(?:[^`]++|``)*+(?:`|\Z) | \[[^\]]*+(?:\]|\Z))
    | (?P<word>[A-Za-z0-9_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+)
    | (?P<parameter>\$[0-9]++(?![A-Za-z0-9_$\x80-\U0010ffff]))
    | (?P<placeholder>\?[0-9]*+ | [$:@\#][A-Za-z0-9_$\x80-\U0010ffff]++)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_SIGNED = re.compile(r"/\* (\S+) (\S+) \*/ ")
_WRITTEN = re.compile(r"\$\d+/\*(\d+)\*/")  # of a parameter that is not in order, its number
_SILENT = frozenset({"space", "comment"})
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Token(NamedTuple):
    """A piece of a statement; the pieces put together again are the text."""

    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The word in upper case; empty for what is no bare word."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def called(self) -> str:
        """The name that it is, folded; what is quoted in any way without its quotes."""
        if self.kind not in {"name", "text"}:
            return fold(self.text)
        mark = self.text[-1]
        return fold(self.text[1:-1].replace(mark * 2, mark))


def fold(name: str) -> str:
    """Return a name in lower case, ASCII alone: to SQLite `Ä` and `ä` are two names."""
    return name.lower() if name.isascii() else name.translate(_LOWER)


def tokens(sql: str) -> Iterator[Token]:
    """Split a text into tokens, comments and spaces among them."""
    for match in _TOKEN.finditer(sql):
        yield Token(match.lastgroup or "sign", match.group(), match.start())


def significant(sql: str) -> Iterator[Token]:
    """Split a text into tokens, without comments and spaces."""
    return (token for token in tokens(sql) if token.kind not in _SILENT)


class Kind(Enum):
    """What a statement does to the data."""

    READ = auto()
    WRITE = auto()


class Pace(Enum):
    """What is known of a statement's duration; decides where a driver runs it."""

    UNPROVEN = auto()
    SHORT = auto()
    SLOW = auto()


_KINDS = {
    "SELECT": Kind.READ,
    "VALUES": Kind.READ,
    "EXPLAIN": Kind.READ,
    "INSERT": Kind.WRITE,
    "UPDATE": Kind.WRITE,
    "DELETE": Kind.WRITE,
    "REPLACE": Kind.WRITE,
}
_TRANSACTIONAL = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})


Values = tuple[object, ...]
Bound = Callable[[Values], Values | dict[str, object]]


class Statement(Struct, eq=False):
    """A statement, prepared.

    `text` is the driver's text; `shown` is the author's, shortened, for errors. `bound` says how
    the text takes its values: as they come where it is `in_order`. The last four change: the driver
    learns them by running the statement.
    """

    text: str
    shown: str
    kind: Kind
    parameters: int
    in_order: bool
    bound: Bound
    common: bool  # opens with WITH: drivers cannot always count its changes by themselves
    pace: Pace = Pace.UNPROVEN
    runs: int = 0  # on the event loop
    slow_runs: int = 0  # of these, such as took its processor's time
    watched: bool = False  # the last one kept the event loop; the next one is looked at

    def expect(self, params: tuple[object, ...]) -> None:
        """Raise QueryError unless there is a value for each parameter, and none besides."""
        if len(params) == self.parameters:
            return
        upto = f" ($1 to ${self.parameters})" if self.parameters > 1 else ""
        raise QueryError(
            f"wrong number of parameters; expected {self.parameters}{upto}, got {len(params)}.",
            subject=self.shown,
            hint="Give one value for each $n, in the order of n.",
        )


class Signature(NamedTuple):
    """Who prepared a statement. An empty domain is the kernel's, or a test's."""

    domain: str
    plugin: str

    def comment(self) -> str:
        """Return it as the comment that a statement begins with. No two have the same, nor does
        one begin as another does: so no domain can write the text of another's statement."""
        return f"/* {quote(self.domain, safe='') or '*'} {quote(self.plugin, safe='') or '*'} */ "


def signature(text: str) -> Signature | None:
    """Return who prepared a statement; None for what a driver wrote itself."""
    signed = _SIGNED.match(text)
    if signed is None:
        return None
    domain, plugin = ("" if part == "*" else unquote(part) for part in signed.groups())
    return Signature(domain, plugin)


class Statements:
    """The prepared statements of one plugin; the oldest give way when there are too many."""

    def __init__(self, domain: str, plugin: str = "") -> None:
        self._prefix = Signature(domain, plugin).comment()
        self._known: dict[str, Statement] = {}

    def of(self, sql: str) -> Statement:
        """Return the prepared form of `sql`.

        Raises:
            QueryError: It is empty, several statements, of a kind that does not belong in a
                feature, or marks its parameters in another way than `$1`.
        """
        known = self._known.get(sql)
        if known is None:
            known = prepare(sql, self._prefix)
            if len(self._known) >= CACHED_STATEMENTS:
                del self._known[next(iter(self._known))]
            self._known[sql] = known
        return known


def prepare(sql: str, prefix: str = "") -> Statement:
    """Read one statement; see `Statements.of`."""
    shown = shorten(sql)
    if "\0" in sql:
        raise QueryError("a statement cannot contain a NUL character.", subject=shown)
    try:
        sql.encode()
    except UnicodeEncodeError:
        what = "a statement cannot contain half a surrogate pair."
        raise QueryError(what, subject=shown.encode(errors="replace").decode()) from None
    pieces = list(tokens(sql))
    words = [piece for piece in pieces if piece.kind not in _SILENT]
    while words and words[-1].text == ";":
        words.pop()
    if any(word.text == ";" for word in words):
        raise QueryError(
            "several statements at once; expected one.",
            subject=shown,
            hint="Run them one by one, inside one transaction() where they belong together.",
        )
    if ("OR", "ROLLBACK") in pairwise(word.keyword for word in words):
        raise QueryError(
            "OR ROLLBACK would undo what others have written; expected another conflict clause.",
            subject=shown,
            hint="Leave it out: what fails is undone, and the error says so.",
        )
    kind = _kind(words, shown)
    most = _parameters(words, shown)
    used = [int(word.text[1:]) for word in words if word.kind == "parameter"]
    once, common = len(used) == most, words[0].keyword == "WITH"
    in_order = used == list(range(1, most + 1))
    text = prefix + "".join(_translated(piece, once, in_order) for piece in pieces)
    return Statement(text, shown, kind, most, in_order, _bound(used, most), common)


def _bound(used: list[int], most: int) -> Bound:
    """Return how values are given to sqlite3: one after another where each is used once."""
    if used == list(range(1, most + 1)):
        return _as_they_come
    if len(used) == most:
        return itemgetter(*(n - 1 for n in used))
    numbers = tuple(str(n) for n in range(1, most + 1))
    # From Python 3.14 on, it takes no sequence for `?n`.
    return lambda values: dict(zip(numbers, values, strict=True))


def _as_they_come(values: Values) -> Values:
    return values


def shorten(sql: str) -> str:
    """Return a statement on one line, at most 80 characters of it."""
    line = " ".join(sql.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def restored(text: str) -> str:
    """Return a prepared text with its parameters written as the author wrote them."""
    numbers = count(1)
    plain = "".join(
        f"${piece.text[1:] or next(numbers)}" if piece.kind == "placeholder" else piece.text
        for piece in tokens(text)
    )
    return _WRITTEN.sub(r"$\1", plain)


def _translated(piece: Token, once: bool, in_order: bool) -> str:
    if piece.kind != "parameter":
        return piece.text
    number = int(piece.text[1:])
    if not once:
        return f"?{number}"
    return "?" if in_order else f"?/*{number}*/"


def _kind(words: list[Token], shown: str) -> Kind:
    if not words:
        raise QueryError("no statement; expected one, got only space.", subject=shown or "db")
    first = words[0].keyword
    kind = _KINDS.get(_main(words) if first == "WITH" else first)
    if kind is not None:
        return kind
    if first in _TRANSACTIONAL:
        hint = "Open transactions with `async with db.transaction() as tx`."
    else:
        hint = "What changes the schema belongs in the domain's migrations."
    raise QueryError(
        "not a statement for a feature; expected SELECT, INSERT, UPDATE, DELETE, REPLACE, VALUES, "
        f"EXPLAIN or WITH, got {first or words[0].text}.",
        subject=shown,
        hint=hint,
    )


def _main(words: list[Token]) -> str:
    """Return the keyword after the last common table expression: it follows a parenthesis."""
    depth = 0
    closed = False
    for word in words:
        if closed and depth == 0 and word.keyword in _KINDS:
            return word.keyword
        depth += {"(": 1, ")": -1}.get(word.text, 0)
        closed = word.text == ")"
    return ""


def _parameters(words: list[Token], shown: str) -> int:
    used: set[int] = set()
    for word in words:
        if word.kind == "placeholder":
            raise QueryError(
                f"expected parameters written $1, $2, …, got {word.text}.",
                subject=shown,
                hint="Write $1 for the first value that follows the text, $2 for the second.",
            )
        if word.kind == "parameter":
            used.add(int(word.text[1:6]) if len(word.text) <= 6 else MOST_PARAMETERS + 1)
    if not used:
        return 0
    most = max(used)
    if min(used) < 1 or most > MOST_PARAMETERS:
        raise QueryError(
            f"expected parameters from $1 to ${MOST_PARAMETERS}, got another number.",
            subject=shown,
        )
    if len(used) < most:
        missing = next(n for n in range(1, most) if n not in used)
        raise QueryError(
            f"it uses ${most} but not ${missing}; expected each of $1 to ${most}.", subject=shown
        )
    return most
