"""What Schemathesis is told about the shop beside its document: what a schema cannot say.

Loaded by the process that `test_schemathesis.py` starts, never by pytest.
"""

from typing import Any

import schemathesis
from schemathesis import Case, GenerationMode, HookContext


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, object]) -> None:
    """Let requests that are meant to be right be right."""
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        body: Any = _told_apart(case.body)
        case.body = body
        case.query.pop("cursor", None)  # of a page; only an answer can give one
        if case.method == "PATCH":
            case.headers["If-Match"] = "*"  # the version that is there


def _told_apart(body: object) -> object:
    """Order each product in one line."""
    lines = body.get("lines") if isinstance(body, dict) else None
    seen: set[object] = set()
    for number, line in enumerate(lines if isinstance(lines, list) else ()):
        if line["sku"] in seen:
            line["sku"] += f"-{number}"
        seen.add(line["sku"])
    return body
