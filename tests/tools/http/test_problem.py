"""What strangers are told when a request fails."""

import json
import logging

import pytest

from ringfence.errors import (
    AppError,
    BudgetExceeded,
    Conflict,
    DeadlineExceeded,
    Fault,
    Invalid,
    KernelBug,
    NotGranted,
    PluginFailed,
    RingfenceError,
    ToolError,
    ToolUnavailable,
    TooMany,
    TransactionHeld,
)
from ringfence.tools.http.doubles import endpoint
from ringfence.tools.http.problem import answer_to, explained


class OutOfStock(Conflict, code="orders.out_of_stock"):
    """A feature's own error."""


def told(error: Exception) -> dict[str, object]:
    answer = answer_to(error, "orders.place")
    body: dict[str, object] = json.loads(answer.body)
    assert body["status"] == answer.status
    assert (b"content-type", b"application/problem+json") in answer.headers
    return body


def test_an_error_of_a_feature_is_told_whole() -> None:
    """Code, message, hint and faults are its author's words to the caller."""
    error = OutOfStock("2 ordered, 1 on hand", hint="Order fewer.")
    error.trace_id = "ab" * 16
    assert told(error) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "code": "orders.out_of_stock",
        "detail": "2 ordered, 1 on hand Order fewer.",
        "trace_id": "ab" * 16,
    }
    listed = told(Invalid("no", faults=[Fault("$.sku", "is missing")]))
    assert listed["errors"] == [{"path": "$.sku", "message": "is missing"}]


@pytest.mark.parametrize("kind", [BudgetExceeded, DeadlineExceeded, ToolUnavailable])
def test_of_what_the_application_lacks_only_the_code_is_told(kind: type[RingfenceError]) -> None:
    """It may say which host is down, or which plugin spent what."""
    body = told(kind("db-3.internal is down", subject="orders.Place", hint="Ask alice."))
    assert (body["code"], body["status"]) == (kind.code, kind.status)
    assert "detail" not in body
    assert set(body) == {"type", "title", "status", "code"}


@pytest.mark.parametrize(
    "kind", [NotGranted, TransactionHeld, ToolError, KernelBug, RingfenceError]
)
def test_a_fault_of_the_server_is_internal(kind: type[RingfenceError]) -> None:
    """What exactly went wrong is for those who run it."""
    body = told(kind("orders.Place may not call billing.charge"))
    assert (body["status"], body["code"]) == (500, "internal")
    assert "detail" not in body


def test_what_a_tool_says_is_for_the_author_alone() -> None:
    """A constraint that broke is told by its code: its text names tables and columns."""

    class UniqueViolation(ToolError, code="db.unique_violation"):
        status = 409

    body = told(UniqueViolation("UNIQUE constraint failed: products.sku", hint="ON CONFLICT"))
    assert (body["status"], body["code"]) == (409, "db.unique_violation")
    assert "detail" not in body


def test_an_error_of_a_feature_that_is_500_is_not_told() -> None:
    """A status of the server's own says nothing, whoever raised it."""

    class Broken(AppError, code="orders.broken"):
        status = 500

    body = told(Broken("secret"))
    assert body["code"] == "internal"
    assert "detail" not in body


def test_when_to_try_again_is_a_header() -> None:
    """In whole seconds, rounded up."""
    assert (b"retry-after", b"2") in answer_to(TooMany("slow", retry_after_s=1.2), "x").headers
    assert not [h for h in answer_to(TooMany("slow"), "x").headers if h[0] == b"retry-after"]


def test_an_unknown_exception_is_logged_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its message may quote the request; kind and place do not."""
    try:
        raise KeyError("\x1b]0;from outside")
    except KeyError as error:
        body = told(error)
    assert body["code"] == "internal"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "orders.place: KeyError at " in record.getMessage()
    assert "outside" not in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize(
    "name, package, is_told",
    [
        ("HTTPException", "fastapi.exceptions", True),
        ("Http404", "django.http.response", True),
        ("HTTPException", "http.client", False),
    ],
)
def test_an_error_of_another_framework_is_told_what_stands_for_it(
    name: str, package: str, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """To the author, in the log; the client learns no more than of any bug."""

    async def show() -> None: ...

    raised = type(name, (Exception,), {"__module__": package})("no such order")
    failed = PluginFailed("it failed unexpectedly.", subject="orders.show")
    failed.__cause__ = raised
    answer = explained(failed, endpoint("GET", "/o", show))
    assert answer.status == 500
    assert b"order" not in answer.body
    assert (f"{name} of {package.partition('.')[0]}" in caplog.text) is is_told
