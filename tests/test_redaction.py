"""What a redactor has learnt passes it in no form; what it has not, passes as it is."""

import json
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Struct

from ringfence.config import Secret, load, tool_options
from ringfence.errors import Finding, Invalid, StartRefused
from ringfence.redaction import SHORTEST, Redactor
from ringfence.settings import looks_secret

SECRET_NAMES = (
    "password db_password apiKey API-KEY Authorization Set-Cookie cookie access_token "
    "refreshToken secret client_secret private_key X-Auth-Token passwd credentials "
    "session_id jwt pwd"
)
OTHER_NAMES = (
    "key sort_key monkey tokens max_tokens author token_url secret_name password_file "
    "order_id authenticated path cookie_domain"
)
SECRET = "s3cr/et+of the=house"


def knowing(*values: object) -> Redactor:
    redactor = Redactor()
    for value in values:
        redactor.learn(value)
    return redactor


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET),
        repr(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        quote(SECRET, safe="").lower(),
        f"https://x/?key={quote(SECRET)}&page=2",
    ],
)
def test_a_secret_is_masked_in_the_forms_that_it_is_written_in(form: str) -> None:
    """As it is, quoted for a URL, for JSON and for Python."""
    masked = knowing(Secret(SECRET))(f"calling with {form} now")
    assert "***" in masked
    assert "et" not in masked
    assert masked.startswith("calling with ")
    assert masked.endswith(" now")


@given(st.text(min_size=SHORTEST))
def test_a_secret_is_masked_as_python_shows_text_and_bytes(secret: str) -> None:
    """Also spelled in ASCII, as messages are that repeat a name."""
    secret = secret.encode("utf-8", "replace").decode().strip()
    assume(len(secret) >= SHORTEST)
    redact = knowing(Secret(secret))
    for shown in (repr(secret), ascii(secret), repr(secret.encode())):
        assert "***" in redact(shown)


@given(st.text(min_size=SHORTEST), st.text(max_size=8))
def test_a_secret_is_masked_behind_any_name_in_base64(secret: str, user: str) -> None:
    """`Authorization: Basic` holds user and password in one text."""
    secret = secret.encode("utf-8", "replace").decode().strip()
    assume(len(secret) >= SHORTEST)
    content = f"{user}:{secret}".encode("utf-8", "replace")
    redact = knowing(Secret(secret))
    for encoded in (b64encode(content), urlsafe_b64encode(content)):
        assert "***" in redact(f"Basic {encoded.decode()}")


@given(st.text(min_size=SHORTEST), st.text(), st.text())
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    """Whatever stands around it."""
    assume(len(secret.strip()) >= SHORTEST and "*" not in secret)
    assert secret not in knowing(Secret(secret))(f"{before}{secret}{after}")


def test_a_short_secret_masks_nothing() -> None:
    """A secret of one letter would mask every such letter, and so give itself away."""
    redact = knowing(Secret("a"), Secret("x" * (SHORTEST - 1)))
    assert redact("a banana costs xxxxxxx") == "a banana costs xxxxxxx"


def test_parts_that_are_secrets_themselves_are_masked() -> None:
    """What follows `Bearer`, the password in a URL, each line of a key."""
    redact = knowing(
        Secret("Bearer abcdefgh-1"),
        "redis://ann:p%40ssw0rd1@cache/0",
        Secret("line-one-1\nline-two-2"),
    )
    told = redact("abcdefgh-1, p%40ssw0rd1, p@ssw0rd1, line-one-1, line-two-2, cache")
    assert told == "***, ***, ***, ***, ***, cache"


@pytest.mark.parametrize(
    "text, masked",
    [
        ("postgres://u:p@h/db", "postgres://u:***@h/db"),
        ("at redis://:p@h and amqp://u:a:b@h", "at redis://:***@h and amqp://u:***@h"),
        ("https://h/a@b:c", "https://h/a@b:c"),
        ("ssh://git@h/x", "ssh://git@h/x"),
        ("mail ann@example.org", "mail ann@example.org"),
    ],
)
def test_the_password_of_any_url_is_masked(text: str, masked: str) -> None:
    """Also of one that nobody configured."""
    assert Redactor()(text) == masked


def test_a_text_that_was_cut_keeps_no_beginning_of_a_secret() -> None:
    """The end of a bounded message may be half a secret."""
    redact = knowing(Secret(SECRET))
    for length in range(4, len(SECRET)):
        assert redact.cut(f"failed with {SECRET[:length]}") == "failed with ***"
    assert redact.cut("all is well") == "all is well"


def test_what_a_name_says_is_secret_is_learnt_at_any_depth() -> None:
    """Texts and numbers below a name that looks secret; nothing beside it."""
    redact = knowing(
        {"a": [{"passwords": {"ann": "pass-of-ann", "bob": 1234567890}}], "b": "open-door"}
    )
    assert redact("pass-of-ann 1234567890 open-door") == "*** *** open-door"


class Told(Exception):
    """An exception whose text is made of something else than its arguments."""

    def __init__(self, told: str) -> None:
        super().__init__()
        self.told = told

    def __str__(self) -> str:
        return self.told


def test_an_error_is_masked_with_all_that_led_to_it() -> None:
    """Text, findings, faults, notes and causes; a cause that cannot be masked is cut off."""
    redact = knowing(Secret(SECRET))
    refused = StartRefused(f"m {SECRET}", findings=[Finding("f", 1, "r", SECRET, f"use {SECRET}")])
    cause, group = LookupError(SECRET, 1), ExceptionGroup("g", [ValueError(SECRET)])
    refused.__cause__, refused.__context__ = cause, group
    cause.__context__ = Told(SECRET)
    refused.add_note(f"note {SECRET}")
    redact.error(refused)
    assert "***" in str(refused)
    assert cause.args == ("***", 1)
    assert getattr(cause, "__context__") is None
    assert str(group.exceptions[0]) == "***"
    assert refused.__notes__ == ["note ***"]
    assert SECRET not in str(refused)
    invalid = Invalid(SECRET, hint=SECRET)
    redact.error(invalid)
    assert SECRET not in str(invalid)


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_names_that_look_secret(name: str) -> None:
    """However they are spelled."""
    assert looks_secret(name)


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_names_that_do_not(name: str) -> None:
    """What is about a secret is none, and not every key is one."""
    assert not looks_secret(name)


def test_each_configuration_has_secrets_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two applications in a process, each masks what it was given, read again or not."""
    monkeypatch.setenv("SHOP_TOKEN", "value-of-the-token")
    (tmp_path / "ringfence.toml").write_text(
        '[settings.auth]\nissuer = "https://issuer.example"\ntoken = "tok-${SHOP_TOKEN}"\n'
    )
    one = load(tmp_path).redactor
    other = load(tmp_path, overrides={"settings": {"auth": {"token": "another-value"}}}).redactor
    text = "value-of-the-token another-value https://issuer.example"
    assert one(text) == "*** another-value https://issuer.example"
    assert other(text) == "value-of-the-token *** https://issuer.example"


def test_options_of_tools_are_learnt(tmp_path: Path) -> None:
    """By the type of the field, also its default."""

    class Options(Struct, frozen=True):
        pin: Secret
        spare: Secret = Secret("spare-secret")

    config = load(tmp_path, overrides={"tools": {"bank": {"pin": "pin-of-the-bank"}}})
    tool_options(config.tool("bank"), Options)
    assert config.redactor("pin-of-the-bank spare-secret") == "*** ***"
