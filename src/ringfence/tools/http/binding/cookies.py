"""The header `Cookie`, read into names and values.

`parse` is bounded and never fails on what a browser may send: what is no pair is left out, and the
first value of a name is the one that counts, which browsers send for the most specific path.
"""

from ringfence.tools.http.problem import Refused


def parse(lines: list[str], limit: int) -> dict[str, str]:
    """Read `sid=abc; theme="dark"`.

    Args:
        lines: The values of all headers of that name.
        limit: How many cookies are read.

    Raises:
        Refused: 400, too many cookies.
    """
    cookies: dict[str, str] = {}
    if sum(line.count(";") + 1 for line in lines) > limit:
        raise Refused(400, "too_many_parameters", f"there are more than {limit} cookies")
    for line in lines:
        for pair in line.split(";"):
            name, given, value = pair.partition("=")
            if given and name.strip():
                cookies.setdefault(name.strip(), _unquoted(value.strip()))
    return cookies


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
