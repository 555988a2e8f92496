"""What a person who watches the log learns of a failed request."""

from pathlib import Path

import pytest

from ringfence.testing import boot

pytestmark = pytest.mark.anyio

FAILING = '''
"""Fail in several ways."""

from ringfence import Context, NotFound, Plugin
from ringfence.tools.db import Database
from ringfence.tools.http import get


class Fail(Plugin):
    db: Database

    @get("/bug")
    async def bug(self) -> int:
        return 1 // 0

    @get("/statement")
    async def statement(self) -> int:
        return await self.db.fetch_value("SELECT nothing FROM nowhere", into=int)

    @get("/grant")
    async def grant(self, ctx: Context) -> None:
        await ctx.call("orders.place", {})

    @get("/forgotten")
    async def forgotten(self) -> None:
        self.db.execute("DELETE FROM nowhere")

    @get("/guess")
    async def guess(self) -> None:
        await self.db.fetchall("SELECT 1")

    @get("/absent")
    async def absent(self) -> None:
        raise NotFound("none")
'''


@pytest.mark.parametrize(
    "path, cause",
    [("/bug", "ZeroDivisionError"), ("/statement", "QueryError"), ("/grant", "NotGranted")],
)
async def test_a_bug_is_logged_with_its_cause_and_answered_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str, cause: str
) -> None:
    """The caller gets the trace id alone; the log has that id and the traceback."""
    async with boot(_failing(tmp_path)) as app:
        problem = (await app.http.get(path)).json(into=dict[str, object])
        assert (problem["code"], problem.get("detail")) == ("internal", None)
        logged = [r for r in caplog.records if str(problem["trace_id"]) in r.getMessage()]
        assert len(logged) == 1
        assert logged[0].exc_info is not None
        assert cause in str(logged[0].exc_info[0])


async def test_an_await_that_was_forgotten_is_told_with_the_operation(tmp_path: Path) -> None:
    """Python's warning names what was not done, not the machinery around it."""
    async with boot(_failing(tmp_path)) as app:
        with pytest.warns(RuntimeWarning, match=r"\.execute' was never awaited"):
            await app.http.get("/forgotten")


async def test_a_method_that_a_tool_has_not_is_told_with_those_that_it_has(
    tmp_path: Path,
) -> None:
    """Whoever knows another library finds the name that is meant here."""
    async with boot(_failing(tmp_path)) as app:
        await app.http.get("/guess")
        said = next(span.failure.message for span in app.spans if span.failure)
    assert said.startswith("the tool has no 'fetchall'; did you mean 'fetch_all'? It has execute,")
    assert said.endswith("transaction")


async def test_an_expected_failure_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is an answer, and no news for whoever operates the application."""
    async with boot(_failing(tmp_path)) as app:
        assert (await app.http.get("/absent")).status == 404
    assert caplog.records == []


def _failing(folder: Path) -> Path:
    feature = folder / "domains" / "things" / "fail.py"
    feature.parent.mkdir(parents=True)
    feature.write_text(FAILING)
    return folder
