"""Ringfence: write each feature as one file, and a kernel keeps it from breaking the others.

The author's vocabulary, and all of it. Tools are imported from `ringfence.tools.<name>`, the rest
of the error tree from `ringfence.errors`.
"""

from ringfence.author import Plugin, event, on, requires, service, upcast
from ringfence.embed import asgi
from ringfence.errors import (
    AppError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    Invalid,
    NotFound,
    PluginQuarantined,
    RingfenceError,
    ToolUnavailable,
    TooMany,
    Unauthenticated,
)
from ringfence.kernel.context import Budget, Context, Principal
from ringfence.kernel.delivery import Delivery
from ringfence.settings import Secret, Settings
from ringfence.threads.waiting import wait

__all__ = [
    "AppError",
    "Budget",
    "Conflict",
    "Context",
    "DeadlineExceeded",
    "Delivery",
    "Forbidden",
    "Invalid",
    "NotFound",
    "Plugin",
    "PluginQuarantined",
    "Principal",
    "RingfenceError",
    "Secret",
    "Settings",
    "TooMany",
    "ToolUnavailable",
    "Unauthenticated",
    "asgi",
    "event",
    "on",
    "requires",
    "service",
    "upcast",
    "wait",
]
