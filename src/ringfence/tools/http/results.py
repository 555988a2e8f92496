"""What an operation answers when all goes well, as OpenAPI writes it.

A result is JSON of its type, nothing for None, or one of the answers that are not plain JSON; of
those, only what is known beforehand is said: the type of a stream is in its value.
"""

import types
from collections.abc import Iterator
from typing import Annotated, Union, get_args, get_origin

from ringfence.tools.http.responses import phrase
from ringfence.tools.http.schemas import Schema, Schemas
from ringfence.tools.http.streams import EventStream, Stream

_NULL = type(None)
_ANY = "*/*"


def types_in(result: object) -> Iterator[object]:
    """Yield the types that a result is made of and that JSON carries."""
    if _is_json(result):
        yield result
        return
    for arm in _arms(result):
        if _class_of(arm) is EventStream:
            yield from get_args(arm)
        elif _is_json(arm):
            yield arm


def successes(status: int, result: object, said: str, schemas: Schemas) -> Schema:
    """Return the responses of an operation that are no errors.

    Args:
        status: Of its route.
        result: What it returns.
        said: What its docstring says of that.
        schemas: Of the document.
    """
    found: Schema = {}
    if any(arm is None or arm is _NULL for arm in _arms(result)):
        empty = 204 if status == 200 else status
        found[str(empty)] = {"description": phrase(empty)}
    content = _content(result, schemas)
    if content:
        found[str(status)] = {"description": said or phrase(status), "content": content}
    return found


def _content(result: object, schemas: Schemas) -> Schema:
    if _is_json(result):
        return {"application/json": {"schema": schemas.of(result)}}
    content: Schema = {}
    for arm in _arms(result):
        if _class_of(arm) is Stream:
            content[_ANY] = {}
        elif _class_of(arm) is EventStream:
            media: Schema = {"schema": {"type": "string"}}
            for item in get_args(arm):
                media["x-itemSchema"] = schemas.of(item)
            content["text/event-stream"] = media
        elif _is_json(arm):
            content["application/json"] = {"schema": schemas.of(arm)}
    return content


def _is_json(result: object) -> bool:
    arms = _arms(result)
    wide = any(_class_of(arm) in (Stream, EventStream) for arm in arms)
    return not wide and any(arm is not None and arm is not _NULL for arm in arms)


def _arms(result: object) -> tuple[object, ...]:
    if get_origin(result) is Annotated:
        return _arms(get_args(result)[0])
    if get_origin(result) in (Union, types.UnionType):
        return get_args(result)
    return (result,)


def _class_of(hint: object) -> object:
    return get_origin(hint) or hint
