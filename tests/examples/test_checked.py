"""The examples as a whole."""

import pytest

from ringfence.app import check
from ringfence.testing import TestApplication
from tests.examples.applications import EXAMPLES

pytestmark = pytest.mark.anyio


def test_nothing_is_wrong_with_them() -> None:
    """`ringfence check examples` has no findings."""
    assert check(EXAMPLES) == []


def test_each_is_one_file() -> None:
    """What is to be copied is one file and its migrations."""
    for domain in (EXAMPLES / "domains").iterdir():
        assert len(list(domain.glob("*.py"))) == 1


async def test_all_of_their_paths_are_described(app: TestApplication) -> None:
    """The document tells of each path but those of WebSockets, which OpenAPI knows nothing of."""
    document = (await app.http.get("/openapi.json")).json(into=dict[str, object])
    paths = document["paths"]
    assert isinstance(paths, dict)
    assert set(paths) == {
        "/books",
        "/books/{book_id}",
        "/archives",
        "/archives/{archive_id}",
        "/archives/{archive_id}/file",
        "/documents",
        "/documents/{name}",
        "/webhooks/payments",
        "/payments/{payment_id}",
        "/visits.csv",
        "/news",
        "/news/live",
    }
