"""What an operation answers when all goes well, as OpenAPI writes it.

A result is JSON of its type, nothing for None, or one of the answers that are not plain JSON; of
those, only what is known beforehand is said: the type of a stream is in its value.
"""

from collections.abc import Iterator
from typing import get_args

from ringfence.tools.http.binding.kinds import answer_of, arms_of
from ringfence.tools.http.description.responses import phrase
from ringfence.tools.http.description.schemas import Schema, Schemas

_NULL = type(None)
_ANY = "*/*"


def types_in(result: object) -> Iterator[object]:
    """Yield the types that a result is made of and that JSON carries."""
    if _is_nothing(result):
        return
    if not any(map(answer_of, arms_of(result))):
        yield result
        return
    for arm in arms_of(result):
        match answer_of(arm):
            case "":
                yield from types_in(arm)
            case "Reply":
                for value in get_args(arm):
                    yield from types_in(value)
            case "EventStream":
                yield from get_args(arm)


def successes(status: int, result: object, said: str, schemas: Schemas) -> Schema:
    """Return the responses of an operation that are no errors.

    Args:
        status: Of its route.
        result: What it returns.
        said: What its docstring says of that.
        schemas: Of the document.
    """
    found: Schema = {}
    answers = set(_answers(result))
    content = _content(result, schemas)
    if any(map(_is_nothing, arms_of(result))):
        empty = 204 if status == 200 else status
        found[str(empty)] = {"description": phrase(empty)}
    if content or "Reply" in answers:
        told = {"description": said or phrase(status)}
        found[str(status)] = {**told, "content": content} if content else told
    if "Reply" in answers:  # which says its status itself
        found["2XX"] = found[str(status)]
        found["3XX"] = {"description": "Elsewhere, or as it was."}
    if "File" in answers:
        found["206"] = {"description": phrase(206), "content": {_ANY: {}}}
        found["304"] = {"description": phrase(304)}
    return found


def _answers(result: object) -> Iterator[str]:
    for arm in arms_of(result):
        yield answer_of(arm)
        if answer_of(arm) == "Reply":
            for value in get_args(arm):
                yield from _answers(value)


def _content(result: object, schemas: Schemas) -> Schema:
    if _is_nothing(result):
        return {}
    if not any(map(answer_of, arms_of(result))):
        return {"application/json": {"schema": schemas.of(result, sent=True)}}
    content: Schema = {}
    for arm in arms_of(result):
        match answer_of(arm):
            case "":
                content |= _content(arm, schemas)
            case "Reply":
                for value in get_args(arm):
                    content |= _replied(value, schemas)
            case "EventStream":
                media: Schema = {"schema": {"type": "string"}}
                for item in get_args(arm):
                    media["x-itemSchema"] = schemas.of(item, sent=True)
                content["text/event-stream"] = media
            case _:  # a Stream or a File: its value says what it is
                content[_ANY] = {}
    return content


def _replied(value: object, schemas: Schemas) -> Schema:
    """What a `Reply` of a type may hold: bytes, and text of a media type, go out as they are."""
    content = {} if value is bytes else _content(value, schemas)
    return {**content, _ANY: {}} if value in (bytes, str) else content


def _is_nothing(result: object) -> bool:
    return result is None or result is _NULL
