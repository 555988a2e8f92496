"""The configuration: what it reads, and how it says what is wrong."""

import copy
import logging
import pickle
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

from ringfence.config import (
    Config,
    KernelLimits,
    Seconds,
    Secret,
    Settings,
    hide,
    load,
    section,
    tool_options,
)
from ringfence.errors import Finding, StartRefused
from ringfence.kernel.context import Budget

CANARY = "canary-7f3a"


class Rate(Struct, frozen=True):
    country: str
    percent: Annotated[float, Meta(ge=0, le=100)]


class Billing(Settings, section="billing"):
    currency: str = "EUR"
    api_key: Secret
    spare: Secret | None = None
    patience: Seconds = Seconds(5)
    rounding: Literal["up", "down"] = "up"
    rates: list[Rate] = msgspec.field(default_factory=list)
    fallback: Rate | None = None
    ledger: Path = Path("ledger")


class HttpOptions(Struct, frozen=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    debug: bool = False


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RINGFENCE_ENV", raising=False)
    root = tmp_path / "shop"
    root.mkdir()
    return root


def write(root: Path, text: str, name: str = "ringfence.toml") -> None:
    (root / name).write_text(text)


def refused(root: Path, text: str) -> list[Finding]:
    write(root, text)
    with pytest.raises(StartRefused) as caught:
        load(root)
    return list(caught.value.findings)


def billing(root: Path, text: str) -> Billing:
    write(root, text)
    return section(load(root), Billing)


def billing_refused(root: Path, text: str) -> list[Finding]:
    with pytest.raises(StartRefused) as caught:
        billing(root, text)
    return list(caught.value.findings)


# ---- what is read


def test_without_a_file_the_defaults_hold(app: Path) -> None:
    """An application needs no configuration at all."""
    config = load(app)
    assert config.name == "shop"
    assert config.root == app
    assert config.tools == {}
    assert config.budget("http") == Budget(1000, 200, 200, 32, 30.0)
    assert config.kernel.start_timeout == 10.0
    assert config.kernel.plugin_threads == max(1, config.kernel.threads // 2)
    assert config.tool("db").tool == "db"


@pytest.mark.parametrize(
    "folder, name",
    [("My Shop", "my-shop"), ("2024", "app"), ("a_b-c", "a_b-c"), ("ÄÖ", "app")],
)
def test_the_folder_gives_a_name_that_is_always_valid(
    tmp_path: Path, folder: str, name: str
) -> None:
    """Only a name that somebody wrote is refused."""
    (tmp_path / folder).mkdir()
    assert load(tmp_path / folder).name == name


def test_tools_are_read_by_instance(app: Path) -> None:
    """An instance's tool is the one of its name, unless it says otherwise."""
    write(app, '[tools.db]\ndriver = "sqlite"\npath = "x"\n[tools.archive]\ntool = "db"\n')
    config = load(app)
    db = config.tools["db"]
    archive = config.tools["archive"]
    assert (db.tool, db.driver, db.options) == ("db", "sqlite", {"path": "x"})
    assert (archive.tool, archive.driver, archive.options) == ("db", None, {})


def test_a_budget_of_its_own_is_laid_over_the_default(app: Path) -> None:
    """What `http` does not say, `default` does."""
    write(app, '[budgets.default]\ncalls = 7\nwall = "500ms"\n[budgets.http]\nqueries = 0\n')
    config = load(app)
    assert config.budget("http") == Budget(7, 0, 200, 32, 0.5)
    assert config.budget("elsewhere") == Budget(7, 200, 200, 32, 0.5)


@pytest.mark.parametrize(
    "written, seconds",
    [("30", 30), ("0.5", 0.5), ('"250ms"', 0.25), ('"2m"', 120), ('"1h"', 3600), ('"3"', 3)],
)
def test_a_span_of_time_is_a_number_or_has_a_unit(app: Path, written: str, seconds: float) -> None:
    """Seconds are the unit when none is written."""
    write(app, f"[kernel]\ndrain_timeout = {written}\n")
    assert load(app).kernel.drain_timeout == pytest.approx(seconds)


def test_the_overlay_of_an_environment_wins_key_by_key(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overlay says only what differs."""
    write(app, '[tools.http]\nhost = "::1"\nport = 1\n')
    write(app, "[tools.http]\nport = 2\n", "ringfence.test.toml")
    assert load(app).tools["http"].options == {"host": "::1", "port": 1}
    assert load(app, env="test").tools["http"].options == {"host": "::1", "port": 2}
    monkeypatch.setenv("RINGFENCE_ENV", "test")
    assert load(app).tools["http"].options["port"] == 2


def test_overrides_come_last_and_as_they_are(app: Path) -> None:
    """`--port` beats every file, and a missing variable that it stands in for is not missed."""
    write(app, '[tools.http]\nhost = "::1"\nport = "${NO_SUCH_PORT}"\n')
    config = load(app, overrides={"tools": {"http": {"port": 0}}, "settings": {"x": {"a": "${"}}})
    assert config.tools["http"].options == {"host": "::1", "port": 0}
    assert config.settings["x"] == {"a": "${"}


def test_variables_are_filled_in_with_defaults(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME:-default}` takes the default when the variable is unset or empty."""
    monkeypatch.setenv("SHOP_HOST", "h")
    monkeypatch.setenv("SHOP_EMPTY", "")
    write(
        app,
        '[settings.a]\nx = "http://${SHOP_HOST}:${SHOP_PORT:-80}/${SHOP_EMPTY:-e}"\n'
        'y = ["${SHOP_HOST}", 1, {z = "$${SHOP_HOST}"}]\n',
    )
    assert load(app).settings["a"] == {"x": "http://h:80/e", "y": ["h", 1, {"z": "${SHOP_HOST}"}]}


def test_a_number_may_come_from_the_environment(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the environment has is text; written in a file, text is no number."""
    monkeypatch.setenv("SHOP_PORT", "81")
    write(app, '[tools.http]\nport = "${SHOP_PORT}"\ndebug = "${SHOP_DEBUG:-true}"\n')
    assert tool_options(load(app).tool("http"), HttpOptions) == HttpOptions(port=81, debug=True)
    write(app, '[tools.http]\nport = "81"\n')
    with pytest.raises(StartRefused, match="expected int, got '81'"):
        tool_options(load(app).tool("http"), HttpOptions)


# ---- settings


def test_settings_are_read_as_the_class_declares_them(app: Path) -> None:
    """Nested tables, lists, paths, spans and secrets all have their types."""
    got = billing(
        app,
        '[settings.billing]\ncurrency = "CHF"\napi_key = "k"\npatience = "1m"\nledger = "books"\n'
        'rates = [{country = "CH", percent = 8.1}]\nfallback = {country = "DE", percent = 19}\n',
    )
    assert got == Billing(
        currency="CHF",
        api_key=Secret("k"),
        patience=Seconds(60),
        rates=[Rate("CH", 8.1)],
        fallback=Rate("DE", 19.0),
        ledger=app / "books",
    )


def test_settings_are_plain_values_in_a_unit_test() -> None:
    """A test constructs them by keyword, and nobody changes them afterwards."""
    made = Billing(api_key=Secret("k"))
    assert made.currency == "EUR"
    with pytest.raises(AttributeError):
        made.currency = "CHF"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Billing("CHF")  # type: ignore[call-arg]


def test_a_settings_class_names_its_section() -> None:
    """Forgetting `section=` is told where the class is written."""
    with pytest.raises(TypeError, match="no section"):

        class Nameless(Settings):
            x: int


def test_overrides_may_hold_values_of_the_declared_class(app: Path) -> None:
    """A test hands in a Secret as it is."""
    config = load(app, overrides={"settings": {"billing": {"api_key": Secret("k")}}})
    assert section(config, Billing).api_key == Secret("k")


def test_a_secret_from_the_environment_is_kept(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configured secret reveals the variable's value, and prints as stars."""
    monkeypatch.setenv("SHOP_KEY", CANARY)
    got = billing(app, '[settings.billing]\napi_key = "${SHOP_KEY}"\n')
    assert got.api_key.reveal() == CANARY
    assert CANARY not in repr(got)


def test_a_secret_shows_itself_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Neither text, nor format, nor log, nor encoding holds it."""
    secret = Secret(CANARY)
    logging.getLogger("test").warning("%s %r", secret, secret)
    encoded = msgspec.json.encode({"a": secret}, enc_hook=hide)
    assert (str(secret), repr(secret), f"{secret:>5}", f"{secret!r}") == (
        "***",
        "***",
        "  ***",
        "***",
    )
    assert encoded == b'{"a":"***"}'
    assert CANARY not in caplog.text
    for refuses in (msgspec.json.encode, pickle.dumps):
        with pytest.raises(TypeError) as caught:
            refuses(secret)
        assert CANARY not in str(caught.value)


@given(st.text(), st.text())
def test_secrets_are_equal_when_their_texts_are(left: str, right: str) -> None:
    """Equality and hash follow the text; nothing else equals a secret."""
    assert (Secret(left) == Secret(right)) == (left == right)
    assert hash(Secret(left)) == hash(Secret(left))
    assert Secret(left) != left
    assert copy.deepcopy(Secret(left)) == Secret(left)


# ---- what is wrong


def test_every_fault_is_told_at_its_line(app: Path) -> None:
    """One start tells all that is wrong with a file, in the order of its lines."""
    found = refused(
        app,
        '[app]\nnmae = "shop"\n\n[kernel]\nspans = "many"\ncall_path = "fusd"\n\n'
        "[budgets.http]\ncalls = -1\n\n[tool.db]\n",
    )
    assert [(f.line, f.rule) for f in found] == [
        (2, "config-unknown-key"),
        (5, "config-wrong-value"),
        (6, "config-wrong-value"),
        (9, "config-wrong-value"),
        (11, "config-unknown-key"),
    ]
    assert {f.file for f in found} == {"ringfence.toml"}
    assert found[0].message == "app.nmae: unknown key; expected one of name"
    assert found[0].fix == "did you mean `name`?"
    assert found[1].message == "kernel.spans: wrong value; expected int, got 'many'"
    assert found[2].message.endswith('expected "fused" or "plain", got \'fusd\'')
    assert found[2].fix == 'did you mean "fused"?'
    assert found[3].message == "budgets.http.calls: wrong value; expected int >= 0, got -1"
    assert found[4].fix == "did you mean `tools`?"


def test_every_fault_of_a_section_is_told(app: Path) -> None:
    """Missing, unknown and wrong keys of one section come together, nested ones too."""
    found = billing_refused(
        app,
        '[settings.billing]\ncurency = "EUR"\nspare = 5\npatience = "soon"\nrounding = "dwn"\n'
        'rates = [{country = "CH", percent = 101}, {county = "DE", percent = 1}]\n'
        'fallback = {country = "DE", percent = 1, extra = 2}\n',
    )
    told = {f.message.partition(":")[0]: f for f in found}
    assert told.keys() == {
        "settings.billing.api_key",
        "settings.billing.curency",
        "settings.billing.fallback.extra",
        "settings.billing.patience",
        "settings.billing.rates[0].percent",
        "settings.billing.rates[1].country",
        "settings.billing.rates[1].county",
        "settings.billing.rounding",
        "settings.billing.spare",
    }
    assert told["settings.billing.curency"].fix == "did you mean `currency`?"
    assert told["settings.billing.curency"].line == 2
    missing = told["settings.billing.api_key"]
    assert missing.message.endswith("missing; expected str, kept secret, got nothing")
    assert missing.fix == 'add `api_key = "${BILLING_API_KEY}"` under [settings.billing]'
    assert told["settings.billing.rates[0].percent"].message.endswith("got 101")


def test_a_missing_variable_is_named_with_its_key(app: Path) -> None:
    """A deployment without its secret is told which variable to set, and where it is used."""
    (found,) = refused(app, '\n[settings.billing]\napi_key = "${NO_SUCH_VARIABLE}"\n')
    assert (found.line, found.rule) == (3, "config-missing-variable")
    assert "settings.billing.api_key" in found.message
    assert "NO_SUCH_VARIABLE" in found.message


@pytest.mark.parametrize("text", ["${}", "${A B}", "${OPEN", "x${1}", "${A:-${B}}", "${A:-{b}}"])
def test_a_malformed_variable_is_refused(app: Path, text: str) -> None:
    """What looks like a variable and is none is a mistake, never text."""
    (found,) = refused(app, f'[settings.a]\nx = "{text}"\n')
    assert found.rule == "config-bad-variable"


def test_bad_toml_is_told_by_line_and_column(app: Path) -> None:
    """Whoever made the typo sees where."""
    (found,) = refused(app, '[app]\nname = "shop"\nx = = 1\n')
    assert found.line == 3
    assert "line 3, column 5" in found.message


def test_a_file_that_is_no_text_is_told(app: Path) -> None:
    """A file that cannot be read as UTF-8 is refused by name."""
    (app / "ringfence.toml").write_bytes(b"\xff\xfe[app]")
    with pytest.raises(StartRefused, match=r"ringfence\.toml: expected UTF-8"):
        load(app)


def test_a_file_that_cannot_be_read_is_told(app: Path) -> None:
    """A folder of that name is no configuration."""
    (app / "ringfence.toml").mkdir()
    with pytest.raises(StartRefused, match=r"ringfence\.toml: cannot be read"):
        load(app)


@pytest.mark.parametrize("name", ["", "Shop", "a b", "../x", "1a", "a\x1b[31m"])
def test_a_bad_application_name_is_refused(app: Path, name: str) -> None:
    """A written name must do as a folder's, a metric's and a header's."""
    with pytest.raises(StartRefused) as caught:
        load(app, overrides={"app": {"name": name}})
    assert "app.name: bad name" in str(caught.value)


@pytest.mark.parametrize("key", ["tool", "driver"])
def test_a_name_that_would_leave_its_folder_is_refused(app: Path, key: str) -> None:
    """Names of tools and drivers become module names, and nothing else."""
    (found,) = refused(app, f'[tools.db]\n{key} = "../../evil"\n')
    assert found.rule == "config-bad-name"
    assert found.line == 2


def test_the_name_of_an_environment_stays_in_the_folder(app: Path) -> None:
    """`RINGFENCE_ENV` picks a file beside the first, never one elsewhere."""
    with pytest.raises(StartRefused, match="RINGFENCE_ENV"):
        load(app, env="../other")


def test_a_fault_in_an_overlay_names_the_overlay(app: Path) -> None:
    """The file that is wrong is the one to open."""
    write(app, "[kernel]\nspans = 5\n")
    write(app, "\n[kernel]\nspans = 0\n", "ringfence.test.toml")
    with pytest.raises(StartRefused) as caught:
        load(app, env="test")
    (found,) = caught.value.findings
    assert (found.file, found.line) == ("ringfence.test.toml", 3)


# ---- secrets stay secret


class Wanted(Settings, section="wanted"):
    number: int = 0
    flag: bool = False
    numbers: list[int] = msgspec.field(default_factory=list)
    choice: Literal["a", "b"] = "a"
    span: Seconds = Seconds(1)
    rate: Rate | None = None


@pytest.mark.parametrize("field", ["number", "flag", "numbers", "choice", "span", "rate", "choise"])
@pytest.mark.parametrize("text", ['"${SHOP_VALUE}"', '["${SHOP_VALUE}"]', '{a = "${SHOP_VALUE}"}'])
def test_a_value_of_the_environment_is_in_no_message(
    app: Path, monkeypatch: pytest.MonkeyPatch, field: str, text: str
) -> None:
    """Whatever the declared type, a refusal says what it expected and not what it got."""
    monkeypatch.setenv("SHOP_VALUE", CANARY)
    write(app, f"[settings.wanted]\n{field} = {text}\n")
    with pytest.raises(StartRefused) as caught:
        section(load(app), Wanted)
    assert f"settings.wanted.{field}" in str(caught.value)
    assert CANARY not in str(caught.value)


class Guarded(Settings, section="guarded"):
    dsn: Secret = Secret("")
    password: int = 0

    def __post_init__(self) -> None:
        if self.dsn.reveal():
            raise ValueError(f"cannot use {self.dsn.reveal()}")


@pytest.mark.parametrize(
    "text",
    [
        f'password = "{CANARY}"',
        f'dsn = ["{CANARY}"]',
        'dsn = "${SHOP_VALUE}"',
        'password = "${SHOP_VALUE}"',
        'pasword = "${SHOP_VALUE}"',
    ],
)
def test_what_looks_secret_is_in_no_message(
    app: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A password written into the file by mistake is not repeated on the screen."""
    monkeypatch.setenv("SHOP_VALUE", CANARY)
    write(app, f"[settings.guarded]\n{text}\n")
    with pytest.raises(StartRefused) as caught:
        section(load(app), Guarded)
    assert "settings.guarded" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_class_that_refuses_its_values_is_told(app: Path) -> None:
    """A `__post_init__` is part of the check."""

    class Window(Settings, section="window"):
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    config = load(app, overrides={"settings": {"window": {"low": 2, "high": 1}}})
    with pytest.raises(
        StartRefused, match=r"settings\.window: Window refuses it: low is above high"
    ):
        section(config, Window)


def test_a_reason_may_name_the_key_of_a_secret(app: Path) -> None:
    """The name is none: whoever reads it knows where to look."""

    class Mail(Settings, section="mail"):
        password: Secret

        def __post_init__(self) -> None:
            raise ValueError("password is too simple")

    config = load(app, overrides={"settings": {"mail": {"password": CANARY}}})
    with pytest.raises(StartRefused, match="Mail refuses it: password is too simple"):
        section(config, Mail)


def test_a_configuration_prints_no_values(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that ends in a log says whose it is and no more."""
    monkeypatch.setenv("SHOP_VALUE", CANARY)
    write(app, '[tools.db]\nurl = "${SHOP_VALUE}"\n[settings.a]\nb = "${SHOP_VALUE}"\n')
    config = load(app)
    assert config.tools["db"].options["url"] == CANARY
    assert CANARY not in repr(config)
    assert CANARY not in repr(config.tools["db"])


# ---- junk


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


_TEXT = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["${", "${A}", "${A:-b}", "$${", "db", "30s", "../x", "\x1b[31m", "http"]
)
_SCALAR = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | _TEXT
_ONES = ["app", "name", "tools", "db", "tool", "driver", "budgets", "default", "http", "calls"]
_OTHERS = ["wall", "settings", "billing", "api_key", "rates", "kernel", "spans", "threads"]
_KEYS = st.sampled_from(_ONES) | st.sampled_from(_OTHERS)
_VALUE = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | _TEXT, inner, max_size=3),
    max_leaves=12,
)
_DOCUMENT = st.dictionaries(_KEYS, _VALUE, max_size=4)
_IN_ONE_FOLDER = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _outcome(root: Path, overrides: Mapping[str, object]) -> Sequence[Finding] | None:
    try:
        _check_all(load(root, overrides=overrides))
    except StartRefused as refusal:
        return refusal.findings
    return None


def _check_all(config: Config) -> None:
    assert isinstance(config.kernel, KernelLimits)
    for instance in config.tools:
        tool_options(config.tools[instance], HttpOptions)
    section(config, Billing)


@_IN_ONE_FOLDER
@given(
    st.binary(max_size=64) | st.text(max_size=64).map(lambda text: text.encode("utf-8", "ignore"))
)
@example(b"a = " + b"[" * 5000)
@example(b"a." * 3000 + b"b = 1")
def test_a_file_of_junk_gives_a_configuration_or_a_refusal(app: Path, junk: bytes) -> None:
    """Whatever bytes are in the file, nothing else comes out."""
    (app / "ringfence.toml").write_bytes(junk)
    assert _outcome(app, {}) != ()


@_IN_ONE_FOLDER
@given(_DOCUMENT)
def test_a_document_of_junk_gives_a_configuration_or_a_refusal(
    app: Path, document: dict[str, object]
) -> None:
    """Well-formed TOML that means nothing is refused with findings, each at a place."""
    text = "\n".join(f"{_toml(key)} = {_toml(value)}" for key, value in document.items())
    assert tomllib.loads(text) is not None
    write(app, text)
    found = _outcome(app, {})
    assert found is None or (found and all(one.file and one.message for one in found))


@_IN_ONE_FOLDER
@given(_DOCUMENT)
def test_junk_in_overrides_gives_a_configuration_or_a_refusal(
    app: Path, document: dict[str, object]
) -> None:
    """What a test or the command line hands in is checked like a file."""
    (app / "ringfence.toml").unlink(missing_ok=True)
    assert _outcome(app, document) != ()


@pytest.mark.parametrize(
    "value,fix",
    [
        ("True", "write true in small letters"),
        ("FALSE", "write false in small letters"),
        ("None", "leave the key out: TOML has no empty value"),
        ("sqlite", "write text in quotes"),
        ("@", "correct it there; text stands in quotes"),
    ],
)
def test_a_word_that_is_no_value_says_what_to_write(tmp_path: Path, value: str, fix: str) -> None:
    """Where it stands; the word itself is not shown."""
    (tmp_path / "ringfence.toml").write_text(f"[tools.db]\nmigrate = {value}\n")
    with pytest.raises(StartRefused) as caught:
        load(tmp_path)
    assert [(each.line, each.fix) for each in caught.value.findings] == [(2, fix)]
