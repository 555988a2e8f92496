"""A secret is in no log, no trace, no error, no manifest and no answer, however it got there."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from ringfence.cli import invoke
from ringfence.config import load
from tests.kernel.apps import feature, running, write

from .bystander import BYSTANDER, ask, failed
from .process import Process, process

# One canary for each way in which a secret comes in.
ENVIRONMENT = {
    "PAY_API_KEY": "canary-of-a-variable/+7f3a",
    "PAY_PASSWORD": "canary-of-a-plain-field-19c2",
    "PAY_TOKEN": "canary-inside-a-text-8d41",
    "PAY_DATABASE": "canary-inside-a-url-6b07",
}
LITERAL = "canary-in-the-file-of-settings"
DEFAULT = "canary-in-the-class-55aa"
NESTED = "canary-below-a-secret-name"
CERTIFICATE = "canary-on-the-first-line\ncanary-on-the-second-line"
SECRETS = (*ENVIRONMENT.values(), LITERAL, DEFAULT, NESTED, *CERTIFICATE.splitlines())

TOML = f"""\
    [settings.pay]
    api_key = "${{PAY_API_KEY}}"
    pin = "{LITERAL}"
    password = "${{PAY_PASSWORD}}"
    header = "Bearer ${{PAY_TOKEN}}"
    url = "postgres://pay:${{PAY_DATABASE}}@db.example/pay"
    certificate = "${{file:certificate.pem}}"
    logins = {{ passwords = {{ ann = "{NESTED}" }} }}
    """

HEAD = f"""
    import base64
    import logging
    import os
    import threading
    import urllib.parse
    import warnings

    from ringfence.tools.http import Header, get
    from ringfence.tools.log import Log


    class Pay(Settings, section="pay"):
        api_key: Secret
        pin: Secret
        password: str
        header: Secret
        url: str
        certificate: Secret
        spare: Secret = Secret("{DEFAULT}")
        logins: dict[str, dict[str, str]]

        def all(self) -> list[str]:
            secrets = (self.api_key, self.pin, self.header, self.certificate, self.spare)
            shown = [secret.reveal() for secret in secrets]
            return [*shown, self.password, self.url, self.logins["passwords"]["ann"]]


"""

LEAKY = (
    HEAD
    + """
    class Declined(Conflict, code="pay.declined"):
        "The bank said no."


    class Leak(Plugin):
        settings: Pay
        log: Log

        def forms(self) -> list[str]:
            plain = self.settings.all()
            quoted = [urllib.parse.quote(text) for text in plain]
            basic = [base64.b64encode(b"ann:" + text.encode()).decode() for text in plain]
            return [*plain, *quoted, *basic, repr(plain), str(self.settings), repr(self.settings)]

        @get("/leak/log")
        @service("pay.log")
        async def write(self) -> str:
            for text in self.forms():
                self.log.info(f"calling with {text}", note=text, deep=[{"x": text}])
                self.log.info("m", failed=OSError(text), error=OSError(text))
                logging.getLogger("httpx").warning("GET https://x/?key=%s", text, extra={"x": text})
            self.log.warning("m", settings=self.settings, password=self.settings.password)
            warnings.warn(f"careless {self.settings.all()}", stacklevel=1)
            return "logged"

        @get("/leak/bug")
        @service("pay.bug")
        async def bug(self) -> None:
            try:
                raise OSError(self.forms())
            except OSError as error:
                raise RuntimeError(f"no answer for {self.forms()}") from error

        @get("/leak/long")
        @service("pay.long")
        async def long(self) -> None:
            raise RuntimeError("x" * 1990 + self.settings.api_key.reveal())

        @get("/leak/told")
        @service("pay.told")
        async def told(self) -> None:
            raise Declined(f"declined for {self.forms()}", hint=str(self.settings.all()))

        @get("/leak/wide")
        async def wide(self, agent: Header[str] = "") -> None:
            raise Declined(f"declined for {self.forms()}")

        @get("/leak/task")
        @service("pay.task")
        async def task(self, ctx: Context) -> str:
            async def fail() -> None:
                raise RuntimeError(str(self.forms()))

            ctx.spawn(fail())
            return "spawned"

        @get("/leak/thread")
        @service("pay.thread")
        def thread(self) -> str:
            def fail() -> None:
                raise RuntimeError(str(self.forms()))

            started = threading.Thread(target=fail)
            started.start()
            started.join()
            return "started"
"""
)

FAILING = (
    HEAD
    + """
    class Failing(Plugin):
        settings: Pay

        async def start(self) -> None:
            raise RuntimeError(f"no bank at {self.settings.all()}")

        @get("/failing")
        @service("pay.failing")
        async def fail(self) -> None: ...
"""
)

IMPORTING = """
    import os

    raise RuntimeError(str([v for k, v in os.environ.items() if k.startswith("PAY_")]))
"""

FILES: Mapping[str, str] = {
    "ringfence.toml": TOML,
    "certificate.pem": CERTIFICATE + "\n",
    "domains/pay/leak.py": feature(LEAKY),
    "domains/pay/failing.py": feature(FAILING),
    "domains/pay/importing.py": feature(IMPORTING),
    **BYSTANDER,
}
WAYS = ("log", "bug", "long", "told", "wide", "task", "thread")


def leaks(text: str) -> list[str]:
    """Return the secrets that are in a text, as they are or as somebody encodes them."""
    forms = {
        secret: {secret, quote(secret), quote(secret, safe=""), secret[:12]} for secret in SECRETS
    }
    for secret, of in forms.items():
        of |= {b64encode(b"x" * n + secret.encode()).decode()[4:-4] for n in range(3)}
    return sorted(secret for secret, of in forms.items() if any(form in text for form in of))


Command = Callable[..., str]


@pytest.fixture
def command(app: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command of `ringfence` for the application; return all that it says."""

    def run(*arguments: str) -> str:
        capsys.readouterr()
        invoke([*arguments, "--app", str(app), "--debug"])
        said = capsys.readouterr()
        return said.out + said.err

    return run


def fetched(served: Process, path: str) -> str:
    """Send a GET; return status, headers and body, as text."""
    try:
        with urllib.request.urlopen(f"{served.address}{path}", timeout=10) as answer:
            return f"{answer.status} {answer.headers} {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.headers} {error.read().decode()}"


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return write(tmp_path / "shop", FILES)


def asked(served: Process, command: Command) -> Iterator[tuple[str, str]]:
    """Yield whatever an outsider and an operator get to see, with a name for it."""
    for way in WAYS:
        yield f"GET {way}", fetched(served, f"leak/{way}")
        for form in ([], ["--json"]):
            yield f"call {way} {form}", command("call", f"pay.{way}", *form)
    for path in ("failing", "docs", "openapi.json", "health/ready", "health/live"):
        yield path, fetched(served, path)
    for form in ([], ["--json"]):
        yield f"status {form}", command("status", *form)
        yield f"check {form}", command("check", *form)
    problem = json.loads(command("call", "pay.bug", "--json"))
    for form in ([], ["--json"]):
        yield f"trace {form}", command("trace", problem["trace_id"], *form)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_process_tells_no_secret(app: Path, command: Command, form: str) -> None:
    """Standard error, answers, commands and kept files: each canary is nowhere."""
    with (app / "ringfence.toml").open("a") as toml:
        toml.write(f'\n[tools.log]\nformat = "{form}"\n')
    with process(app) as served:
        served.serving()
        for what, told in asked(served, command):
            assert told, what
            assert leaks(told) == [], (what, told)
        assert served.get("weather/Ulm") == "sunny in Ulm"
        served.signal()
        served.end()
    said = "".join([*served.out, *served.err])
    for cause in ("no answer for", "no bank at", "careless", "httpx", "Thread-"):
        assert cause in said, cause
    assert leaks(said) == []
    for kept in (app / ".ringfence").rglob("*"):
        if kept.is_file():
            sources = "".join(FILES.values())
            text = kept.read_bytes().decode("latin-1")
            # What stands in a source is in the cache of sources, as it is in the file.
            assert [found for found in leaks(text) if found not in sources] == []


@pytest.mark.parametrize("verb", [["run", "--strict", "--port", "0"], ["check"]])
def test_a_start_that_is_refused_tells_no_secret(command: Command, verb: list[str]) -> None:
    """Neither its paragraph nor the traceback of `--debug`."""
    said = command(*verb)
    assert "domains/pay/importing.py" in said
    assert "***" in said
    assert leaks(said) == []


@pytest.mark.anyio
async def test_an_application_in_a_test_tells_no_secret(
    tmp_path: Path, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Manifest, findings, status, spans, records and configuration are free of all canaries."""
    async with running(tmp_path / "shop", FILES) as booted:
        await ask(booted)
        for way in WAYS[:-1]:
            answer = await booted.http.get(f"/leak/{way}")
            assert leaks(answer.body.decode()) == [], way
        await ask(booted)
        records = booted.driver("log").records  # type: ignore[attr-defined]
        for told in (
            booted.manifest,
            booted.findings,
            booted.status,
            booted.spans,
            booted.health,
            load(app),
            load(app).tools,
            *records,
        ):
            assert leaks(str(told)) == [], told
        (bug,) = failed(booted, "pay.leak", "RuntimeError")[:1]
        assert bug.failure
        assert "no answer for" in bug.failure.message
        (record,) = [r for r in records if "(pay.bug) failed" in r.message]
        assert (record.plugin, record.level) == ("pay.leak", "error")
        assert "no answer for" in record.traceback
