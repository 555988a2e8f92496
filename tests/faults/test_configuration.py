"""A configuration that is wrong prevents the start: exit code 2, key and file, and no value."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.cli import invoke
from tests.kernel.apps import feature, running, write

from .bystander import BYSTANDER, ask

BILLING = feature(
    """
    class Billing(Settings, section="billing"):
        currency: str = "EUR"
        attempts: int = 3
        api_key: Secret


    class Charge(Plugin):
        settings: Billing
        db: Database

        @service("billing.charge")
        async def charge(self) -> str:
            return self.settings.currency
    """
)
FILES = {"domains/billing/charge.py": BILLING, **BYSTANDER}
GOOD = '[settings.billing]\napi_key = "${BILLING_API_KEY}"\n'
CANARY = "canary-6f1b"


def run(app: Path, verb: str = "run", env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run the command; return its exit code and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", verb, str(app), *(["--port", "0"] * (verb == "run"))],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, **(env or {})},
    )
    return done.returncode, done.stdout + done.stderr


def test_every_fault_is_told_at_once_by_key_and_file(tmp_path: Path) -> None:
    """Unknown key with what was meant, wrong type, a variable that is not set."""
    toml = """\
        [app]
        name = "shop"

        [kernal]
        spans = 10

        [tools.http]
        prot = 80

        [kernel]
        drain_timeout = "soon"

        [settings.billing]
        currancy = "EUR"
        attempts = "many"
        api_key = "${BILLING_API_KEY}"
        """
    app = write(tmp_path / "shop", {**FILES, "ringfence.toml": toml})
    code, said = run(app)
    assert code == 2
    assert "Traceback" not in said
    for told in (
        "ringfence.toml:4: config-unknown-key kernal",
        "did you mean `kernel`?",
        "ringfence.toml:11: config-wrong-value kernel.drain_timeout",
        "ringfence.toml:16",
        "BILLING_API_KEY",
    ):
        assert told in said, told


@pytest.mark.parametrize(
    "toml, told",
    [
        ("[tools.http]\nprot = 80\n", ["ringfence.toml:2", "tools.http.prot", "`port`?"]),
        ("[tools.http]\nhost = 80\n", ["ringfence.toml:2", "tools.http.host", "expected str"]),
        ("[tools.db]\ndriver = 'sqlte'\n", ["tools.db", "sqlte"]),
        ("[tools.db]\ndriver = '../sqlite'\n", ["ringfence.toml:2", "tools.db.driver"]),
        ("[tools.stock]\ntool = 'databse'\n", ["ringfence.toml", "databse"]),
        ("[settings.billing]\nattempts = 'x'\n", ["settings.billing.attempts", "expected int"]),
        ("[settings.billing]\ncurrancy = 'x'\n", ["settings.billing.currancy", "`currency`?"]),
        ("", ["settings.billing.api_key", "missing"]),
        ("[app\n", ["ringfence.toml:1"]),
    ],
)
def test_each_fault_is_exit_code_2(tmp_path: Path, toml: str, told: list[str]) -> None:
    """Also those that are found only once the features are known."""
    good = "" if not toml or "billing" in toml else GOOD.replace("${BILLING_API_KEY}", "x")
    app = write(tmp_path / "shop", {**FILES, "ringfence.toml": toml + good})
    code, said = run(app)
    assert code == 2
    assert "Traceback" not in said
    for word in told:
        assert word in said, (word, said)


def test_a_missing_secret_names_its_variable_and_no_value_is_shown(tmp_path: Path) -> None:
    """Whatever else the environment holds, none of it is in what is said."""
    toml = GOOD + 'attempts = "${ATTEMPTS}"\n'
    app = write(tmp_path / "shop", {**FILES, "ringfence.toml": toml})
    code, said = run(app, env={"ATTEMPTS": CANARY})
    assert code == 2
    assert "ringfence.toml:2" in said
    assert "settings.billing.api_key" in said
    assert "BILLING_API_KEY" in said
    assert CANARY not in said


def test_a_wrong_value_of_the_environment_is_not_shown(tmp_path: Path) -> None:
    """The key and its type are; the text stays where it was."""
    toml = GOOD + 'attempts = "${ATTEMPTS}"\n'
    app = write(tmp_path / "shop", {**FILES, "ringfence.toml": toml})
    code, said = run(app, env={"BILLING_API_KEY": CANARY, "ATTEMPTS": CANARY})
    assert code == 2
    assert "settings.billing.attempts" in said
    assert "expected int" in said
    assert CANARY not in said


@pytest.mark.anyio
async def test_the_same_application_starts_once_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it was given as a secret is in nothing that it says of itself."""
    monkeypatch.setenv("BILLING_API_KEY", CANARY)
    async with running(tmp_path, {**FILES, "ringfence.toml": GOOD}) as app:
        await ask(app)
        assert await app.call("billing.charge") == "EUR"
        told = f"{app.manifest} {app.status} {app.spans} {app.findings}"
        assert CANARY not in told


WORDS = "app tools kernel settings budgets name db http driver port spans billing wall x"
KEYS = st.sampled_from(WORDS.split())
VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.sampled_from(["", "${HOME}", "sqlite", "30s", "é"])),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=8,
)


def toml_of(document: Mapping[str, object]) -> str:
    def shown(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            return f'"{value}"'
        if isinstance(value, list):
            return f"[{', '.join(map(shown, value))}]"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k} = {shown(v)}" for k, v in value.items()) + "}"
        return str(value)

    return "".join(f"{key} = {shown(value)}\n" for key, value in document.items())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(document=st.dictionaries(KEYS, VALUES, max_size=4))
def test_any_document_is_understood_or_refused_with_its_reason(
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
    document: dict[str, object],
) -> None:
    """`check` never ends in another way than with its findings, and shows no environment."""
    app = write(tmp_path_factory.mktemp("any"), {"ringfence.toml": toml_of(document)})
    home = os.environ["HOME"]
    code = invoke(["check", str(app)])
    said = "".join(capfd.readouterr())
    assert code in (0, 1, 2)
    assert "Traceback" not in said
    assert "--debug" not in said
    assert len(home) < 2 or home not in said.replace(str(app), "")
