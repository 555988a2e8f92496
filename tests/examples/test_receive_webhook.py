"""A webhook with a signature over the raw body."""

import hmac
from collections.abc import Mapping

import pytest
from msgspec import json

from ringfence.testing import TestApplication
from ringfence.testing.http import HttpResponse
from tests.examples.applications import SECRET

pytestmark = pytest.mark.anyio


def event(event_id: str = "evt_1", status: str = "paid", **more: object) -> bytes:
    payment = {"id": "pay_1", "amount_cents": 1990, "status": status}
    return json.encode({"id": event_id, "payment": payment, **more})


def now(app: TestApplication) -> int:
    return int(app.clock.now().timestamp())


def signature(timestamp: int, body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), b"%d." % timestamp + body, "sha256").hexdigest()


async def sent(
    app: TestApplication, body: bytes, off_s: int = 0, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    at = now(app) + off_s
    signed = {"X-Timestamp": str(at), "X-Signature-256": signature(at, body)}
    given = {**signed, **(headers or {})}
    return await app.http.post("/webhooks/payments", content=body, headers=given)


async def status_of_payment(app: TestApplication) -> object:
    answer = await app.http.get("/payments/pay_1")
    return answer.json(into=dict[str, object]).get("status") if answer.status == 200 else None


async def test_a_signed_event_counts(app: TestApplication) -> None:
    """It is answered without a body; fields that the feature does not read are no fault."""
    assert (await sent(app, event(livemode=True))).status == 204
    assert await status_of_payment(app) == "paid"


async def test_an_event_counts_once(app: TestApplication) -> None:
    """One that comes again, late and newly signed, undoes nothing and is answered all the same."""
    await sent(app, event("evt_1", "paid"))
    await sent(app, event("evt_2", "refunded"))
    await app.clock.elapse(3600)
    assert (await sent(app, event("evt_1", "paid"))).status == 204
    assert await status_of_payment(app) == "refunded"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Signature-256": ""},
        {"X-Signature-256": "sha256="},
        {"X-Signature-256": "sha256=\xfc\xff"},
        {"X-Signature-256": signature(1, event())},
        {"X-Signature-256": "x" * 10_000},
        {"X-Timestamp": "0"},
        {"X-Timestamp": "1"},
    ],
)
async def test_a_signature_that_does_not_fit_counts_nothing(
    app: TestApplication, headers: dict[str, str]
) -> None:
    """Missing, cut short, not ASCII, of another time: 401, and nothing is written."""
    refused = await sent(app, event(), headers=headers)
    assert refused.status == 401
    assert refused.json(into=dict[str, object])["code"] == "payments.bad_signature"
    assert await status_of_payment(app) is None


async def test_a_body_that_was_changed_counts_nothing(app: TestApplication) -> None:
    """The signature is over each byte, a space included."""
    signed = {"X-Signature-256": signature(now(app), event())}
    refused = await sent(app, event() + b" ", headers=signed)
    assert refused.status == 401


async def test_a_signature_of_another_secret_counts_nothing(app: TestApplication) -> None:
    """Nobody signs with a secret that he does not know."""
    forged = signature(now(app), event(), "a guess")
    assert (await sent(app, event(), headers={"X-Signature-256": forged})).status == 401


@pytest.mark.parametrize("off_s", [-301, 301, -(10**9)])
async def test_a_request_is_good_for_some_minutes(app: TestApplication, off_s: int) -> None:
    """One that was recorded cannot be sent again later, nor one be signed for later."""
    refused = await sent(app, event(), off_s)
    assert refused.status == 401
    assert refused.json(into=dict[str, object])["code"] == "payments.too_old"


@pytest.mark.parametrize("timestamp", ["x", "-1", "1.5", "9" * 400, "NaN"])
async def test_a_time_that_is_none_is_refused(app: TestApplication, timestamp: str) -> None:
    """Before anything is computed with it."""
    assert (await sent(app, event(), headers={"X-Timestamp": timestamp})).status == 422


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 20_000, b'"\xff"', b'{"id": ""}'])
async def test_a_signed_body_that_does_not_fit_is_told(app: TestApplication, body: bytes) -> None:
    """Its sender learns every fault of it."""
    refused = await sent(app, body)
    assert refused.status == 422
    assert refused.json(into=dict[str, object])["errors"]


async def test_a_body_has_an_end(app: TestApplication) -> None:
    """It is refused before it is in memory, signed or not."""
    assert (await sent(app, event(pad="x" * (64 << 10)))).status == 413


async def test_no_answer_shows_what_would_have_fitted(app: TestApplication) -> None:
    """Neither the secret nor the signature that was expected."""
    refused = await sent(app, event(), headers={"X-Signature-256": "x"})
    assert SECRET not in refused.text
    assert signature(now(app), event()).removeprefix("sha256=") not in refused.text
