"""The query string, or a form that is written as one, read into its parameters.

`parse` keeps every value of a repeated name in order. It is bounded: the length of a target is
checked before it comes here, the number of parameters here.
"""

from urllib.parse import unquote_to_bytes

from ringfence.tools.http.problem import Refused

Query = dict[str, list[str]]


def parse(raw: bytes, limit: int, what: str = "query") -> Query:
    """Read `a=1&b=two%20words&a=3`.

    Args:
        raw: What stands after `?`, or the body of a form.
        limit: How many parameters are read.
        what: Is read, for messages.

    Raises:
        Refused: 400, too many parameters, or text that is not UTF-8.
    """
    query: Query = {}
    if not raw:
        return query
    if raw.count(b"&") >= limit:
        raise Refused(400, "too_many_parameters", f"the {what} has more than {limit} parameters")
    try:
        for pair in raw.split(b"&"):
            name, _, value = pair.partition(b"=")
            if name:
                query.setdefault(_text(name), []).append(_text(value))
    except UnicodeDecodeError:
        raise Refused(400, f"malformed_{what}", f"the {what} is not UTF-8") from None
    return query


def _text(raw: bytes) -> str:
    if b"+" in raw or b"%" in raw:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    return raw.decode()
