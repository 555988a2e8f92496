"""The query string, read into its parameters.

`parse` keeps every value of a repeated name in order. It is bounded: the length of a target is
checked before it comes here, the number of parameters here.
"""

from urllib.parse import unquote_to_bytes

from ringfence.tools.http.problem import Refused

Query = dict[str, list[str]]


def parse(raw: bytes, limit: int) -> Query:
    """Read `a=1&b=two%20words&a=3`.

    Args:
        raw: What stands after `?`.
        limit: How many parameters are read.

    Raises:
        Refused: 400, too many parameters, or text that is not UTF-8.
    """
    query: Query = {}
    if not raw:
        return query
    if raw.count(b"&") >= limit:
        raise Refused(400, "too_many_parameters", f"the query has more than {limit} parameters")
    try:
        for pair in raw.split(b"&"):
            name, _, value = pair.partition(b"=")
            if name:
                query.setdefault(_text(name), []).append(_text(value))
    except UnicodeDecodeError:
        raise Refused(400, "malformed_query", "the query is not UTF-8") from None
    return query


def _text(raw: bytes) -> str:
    if b"+" in raw or b"%" in raw:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    return raw.decode()
