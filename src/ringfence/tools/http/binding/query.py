"""The query string, or a form that is written as one, read into its parameters.

`parse` keeps every value of a repeated name in order. It is bounded: the length of a target is
checked before it comes here, the number of parameters here.
"""

import re
from string import hexdigits

from ringfence.tools.http.problem import Refused

Query = dict[str, list[str]]
# urllib's reading of 1 MB of `%` takes 180 MB: what is no escape costs nothing here.
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_BYTES = {
    f"{high}{low}".encode(): bytes.fromhex(high + low) for high in hexdigits for low in hexdigits
}


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
        return _ESCAPE.sub(_unescaped, raw.replace(b"+", b" ")).decode()
    return raw.decode()


def _unescaped(escape: re.Match[bytes]) -> bytes:
    return _BYTES[escape[1]]
