"""The tables that a statement names, as far as its text alone can say.

`named(sql)` goes by the words before a name: `FROM`, `JOIN`, `INTO`, `REFERENCES`, … A name that
the statement itself defines (`WITH name AS`) is none, wherever it stands; a column is never taken
for a table. So what is listed is meant, but not all that is meant is listed: the database has the
last word. Called by `migrations.py`, before there is a database.
"""

from collections.abc import Iterator, Sequence

from ringfence.tools.db.sql import Token, significant

_NAMES = frozenset({"word", "name", "text"})
_QUERIES = frozenset({"SELECT", "WITH", "VALUES"})
_ENDS_FROM = frozenset(
    {
        *("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT"),
        *("RETURNING", "SET", "SELECT", "VALUES", "BEGIN"),
    }
)
# Before UPDATE, these say that it is an event or an action and no statement.
_NO_STATEMENT = frozenset({"ON", "DO", "FOR", "OR", "AFTER", "BEFORE", "OF"})
# Between a statement's verb and the name of its table.
_SKIPPED = frozenset({"IF", "EXISTS", "NOT", "ONLY", "OR"})
_RESOLUTIONS = frozenset({"ABORT", "FAIL", "IGNORE", "REPLACE", "ROLLBACK"})


def named(sql: str) -> list[Token]:
    """Return the names in one statement that are those of tables or views which it uses."""
    words = list(significant(sql))
    own = set(_defined(words))
    return [word for word in _used(words) if word.called not in own]


def _defined(words: Sequence[Token]) -> Iterator[str]:
    """Yield what stands before `AS (`, with or without columns between: tables of its own."""
    opened: list[int] = []
    before = -1  # where the name would be, were AS to follow here
    for at, word in enumerate(words):
        if word.keyword == "AS" and before >= 0:
            after = [each.keyword or each.text for each in words[at + 1 : at + 4]]
            if "(" in after[:1] or "MATERIALIZED" in after[:2]:
                yield words[before].called
        before = at if word.kind in _NAMES else -1
        if word.text == "(":
            opened.append(at - 1)
        elif word.text == ")" and opened:
            before = opened.pop()


def _used(words: Sequence[Token]) -> Iterator[Token]:
    header = [word.keyword for word in words[:4] if word.keyword not in {"UNIQUE", "TEMP"}]
    places = header[:1] == ["CREATE"] and header[1:2] in (["INDEX"], ["TRIGGER"])
    scopes = [_Scope(query=True)]
    for at, word in enumerate(words):
        key, scope = word.keyword, scopes[-1]
        before = words[at - 1].keyword if at else ""
        if word.text == "(":
            inside = words[at + 1].keyword if at + 1 < len(words) else ""
            joined = at > 0 and scope.listing and _opens_item(words[at - 1])
            scopes.append(_Scope(query=joined or inside in _QUERIES, listing=joined))
            if joined and inside not in _QUERIES:
                yield from _table(words, at + 1, called=False)
        elif word.text == ")" and len(scopes) > 1:
            scopes.pop()
        elif word.text == ";" or key in _ENDS_FROM:
            scope.listing = False
        elif key == "FROM" and scope.query and before != "DISTINCT":
            scope.listing = True
            yield from _table(words, at + 1, called=False)
        elif key == "JOIN" or (word.text == "," and scope.listing):
            yield from _table(words, at + 1, called=False)
        elif key in {"INTO", "REFERENCES"} or (places and key == "ON" and len(scopes) == 1):
            places = places and key != "ON"
            yield from _table(words, at + 1)
        elif (key == "UPDATE" and before not in _NO_STATEMENT) or (
            key in {"TABLE", "VIEW"} and before in {"ALTER", "DROP"}
        ):
            yield from _table(words, at + 1)


class _Scope:
    """What is between two parentheses: whether it is a query, and inside its list of tables."""

    def __init__(self, query: bool, listing: bool = False) -> None:
        self.query = query
        self.listing = listing


def _opens_item(word: Token) -> bool:
    return word.keyword in {"FROM", "JOIN"} or word.text in {",", "("}


def _table(words: Sequence[Token], at: int, called: bool = True) -> Iterator[Token]:
    """Yield the name at a place where a table is expected; `called`: arguments may follow it."""
    while at < len(words) and words[at].keyword in _SKIPPED | _RESOLUTIONS:
        at += 1
    if at + 2 < len(words) and words[at + 1].text == ".":
        at += 2
    if at >= len(words) or words[at].kind not in _NAMES:
        return
    function = at + 1 < len(words) and words[at + 1].text == "("
    if called or not function:
        yield words[at]
