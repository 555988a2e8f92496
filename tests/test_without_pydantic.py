"""An application that has no pydantic models, where pydantic is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Calls between features, and requests from binding to answers: all that an adapter could touch.
TESTS = [
    "tests/contracts/test_views.py",
    "tests/contracts/test_payload.py",
    "tests/test_wiring.py",
    "tests/tools/http/test_asgi.py",
    "tests/tools/http/test_binding.py",
    "tests/tools/http/test_openapi.py",
    "tests/tools/http/test_shape.py",
]
BLOCK = "import sys; sys.modules |= dict.fromkeys(('pydantic', 'pydantic_core'))\n"
RUN = "import pytest; sys.exit(pytest.main(sys.argv[1:]))"
SERVE = """
import asyncio, sys
from ringfence.testing import boot

async def main():
    async with boot('apps/shop') as app:
        answer = await app.http.post('/orders', json={'sku': 1})
        assert answer.status == 422, answer.status
        assert (await app.http.get('/openapi.json')).status == 200

asyncio.run(main())
assert not {'pydantic', 'pydantic_core'} & set(sys.modules)
"""


def python(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    left_out = ("RINGFENCE_REQUIRE_SERVICES", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [sys.executable, "-c", text, *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.timeout(250)
def test_nothing_needs_pydantic() -> None:
    """The tests of calls, of binding and of HTTP pass where it cannot be imported."""
    ran = python(BLOCK + RUN, "-q", "-p", "no:cacheprovider", *TESTS)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout


@pytest.mark.timeout(60)
def test_an_application_without_models_does_not_load_it() -> None:
    """Not to serve, not to refuse, not to describe itself."""
    ran = python(SERVE)
    assert ran.returncode == 0, ran.stderr[-2000:]


def test_its_own_tests_are_left_out_where_it_is_not_there() -> None:
    """They are skipped, and say why; where everything is required, they fail."""
    arguments = ["-q", "-rs", "-p", "no:cacheprovider", "tests/adapters"]
    ran = python(BLOCK + RUN, *arguments)
    assert "pip install 'ringfence[pydantic]'" in ran.stdout, ran.stdout + ran.stderr
    assert "passed" not in ran.stdout
    required = "import os; os.environ['RINGFENCE_REQUIRE_SERVICES'] = '1'\n"
    ran = python(BLOCK + required + RUN, *arguments)
    assert ran.returncode not in (0, 5)
    assert "pydantic is not installed" in ran.stdout + ran.stderr
