"""Where a transaction's holder is, as text: for whoever must find out why it held on.

`whereabouts` looks at the task that opened it, and, for a `def` handler, at the threads. Frames are
looked at and let go. Used by drivers that limit how long a transaction may last.
"""

import asyncio
import sys
from collections.abc import Iterator
from inspect import iscoroutine
from itertools import dropwhile
from pathlib import Path
from types import FrameType

_RINGFENCE = str(Path(__file__).parents[2])
_STANDARD = str(Path(asyncio.__file__).parent.parent)  # it alone is nobody's: a queue, a pool
_MOST_FRAMES = 20


def whereabouts(task: "asyncio.Task[object] | None", plugin: str) -> tuple[str, ...]:
    """Return the application's frames that a transaction is held in, the outermost first.

    Args:
        task: The task that opened it.
        plugin: Its holder, `orders.place_order`: a `def` handler is found by its file.
    """
    frames = _own(_suspended(task)) or _own(_on_threads(plugin))
    return tuple(f"{f.f_code.co_filename}:{f.f_lineno} in {f.f_code.co_name}" for f in frames)


def _own(frames: Iterator[FrameType]) -> list[FrameType]:
    """Keep what the application wrote, and what that called but for Ringfence itself."""
    others = [f for f in frames if not f.f_code.co_filename.startswith((_RINGFENCE, "<"))]
    kept = dropwhile(lambda f: f.f_code.co_filename.startswith(_STANDARD), others)
    return list(kept)[:_MOST_FRAMES]


def _suspended(task: "asyncio.Task[object] | None") -> Iterator[FrameType]:
    """Follow a task's coroutine to what it waits for."""
    node: object = task.get_coro() if task is not None else None
    while node is not None:
        frame: FrameType | None = None
        for kind in ("cr", "gi", "ag"):
            frame = frame or getattr(node, f"{kind}_frame", None)
        if frame is not None:
            yield frame
        node = getattr(node, "cr_await", None) or getattr(node, "gi_yieldfrom", None)
        if node is None and frame is not None:  # the kernel drives a handler by hand
            node = next((each for each in frame.f_locals.values() if iscoroutine(each)), None)


def _on_threads(plugin: str) -> Iterator[FrameType]:
    """Find the thread that is in the plugin's file."""
    place = f"/{plugin.replace('.', '/')}.py"
    for top in sys._current_frames().values():
        frames: list[FrameType] = []
        frame: FrameType | None = top
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        if any(each.f_code.co_filename.replace("\\", "/").endswith(place) for each in frames):
            inside = next(i for i, f in enumerate(reversed(frames)) if _is_at(f, place))
            yield from list(reversed(frames))[inside:]
            return


def _is_at(frame: FrameType, place: str) -> bool:
    return frame.f_code.co_filename.replace("\\", "/").endswith(place)
