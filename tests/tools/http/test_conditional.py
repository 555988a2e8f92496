"""Deciding whether a client has what it asks for, and whether it knows what it changes."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.tools.http.answers.conditional import (
    IfMatch,
    PreconditionFailed,
    PreconditionRequired,
    entity_tag,
    http_date,
    not_modified,
)
from tests.kernel.apps import feature, running

CHANGED = datetime(2026, 1, 2, 3, 4, 5, 999, UTC)
tags = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'))


@given(tags, tags, st.booleans())
def test_a_tag_is_known_if_it_is_one_of_those_sent(tag: str, other: str, weak: bool) -> None:
    """Whatever is in it, commas included, and whether it is weak or not."""
    sent = f'"{other}" , {"W/" if weak else ""}"{tag}"'
    headers = [(b"if-none-match", sent.encode())]
    assert not_modified(headers, tag)
    assert not_modified(headers, f'"{tag}"')
    assert not_modified(headers, f'W/"{tag}"')
    assert not not_modified(headers, tag + other + "x")
    IfMatch(sent).require(tag)
    with pytest.raises(PreconditionFailed):
        IfMatch(sent).require(tag + other + "x")


@pytest.mark.parametrize(
    "value, known",
    [
        (b"*", True),
        (b" * ", True),
        (b'"b","a"', True),
        (b'"b"', False),
        (b"a", False),
        (b"", False),
        (b'"a', False),
        (b'"\xff"', False),
    ],
)
def test_a_list_of_tags_is_read_as_it_is_written(value: bytes, known: bool) -> None:
    """What is no tag in it names nothing."""
    assert not_modified([(b"if-none-match", value)], "a") is known


def test_a_tag_may_be_in_the_second_of_two_headers() -> None:
    """Two headers of a name are one list."""
    assert not_modified([(b"if-none-match", b'"x"'), (b"if-none-match", b'"a"')], "a")


@pytest.mark.parametrize(
    "since, known",
    [
        (b"Fri, 02 Jan 2026 03:04:05 GMT", True),
        (b"Fri, 02 Jan 2026 03:04:06 GMT", True),
        (b"Fri, 02 Jan 2026 03:04:04 GMT", False),
        (b"Fri, 02 Jan 2026 03:04:05 -0000", True),
        (b"yesterday", False),
        (b"Fri, 02 Jan 99999999999 03:04:05 GMT", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_a_date_is_compared_in_whole_seconds(since: bytes, known: bool) -> None:
    """Headers have no fractions; what is no date is ignored."""
    assert not_modified([(b"if-modified-since", since)], None, CHANGED) is known


def test_a_tag_counts_before_a_date() -> None:
    """The date is for clients that know no tags."""
    headers = [
        (b"if-modified-since", b"Fri, 02 Jan 2026 03:04:05 GMT"),
        (b"if-none-match", b'"old"'),
    ]
    assert not not_modified(headers, "new", CHANGED)


def test_without_conditions_everything_is_sent() -> None:
    """As it is where the answer has nothing to compare with."""
    assert not not_modified([], "a", CHANGED)
    assert not not_modified([(b"if-none-match", b"*")])
    assert not not_modified([(b"if-modified-since", b"Fri, 02 Jan 2026 03:04:05 GMT")], "a")


def test_a_write_says_which_version_it_is_for() -> None:
    """Without the header it is for any, unless it is required."""
    IfMatch().require("3")
    IfMatch("*").require("3", required=True)
    IfMatch('"3"').require("3", required=True)
    IfMatch('W/"3"').require("3")  # compression marks it so on its way out
    with pytest.raises(PreconditionRequired, match="Send If-Match") as missing:
        IfMatch().require("3", required=True)
    with pytest.raises(PreconditionFailed, match="Read it again") as failed:
        IfMatch('"2"').require("3")
    assert (missing.value.status, missing.value.code) == (428, "precondition_required")
    assert (failed.value.status, failed.value.code) == (412, "precondition_failed")


def test_headers_are_written_as_they_are_read() -> None:
    """Quotes and time zones are the header's business."""
    assert entity_tag("3") == '"3"'
    assert entity_tag('W/"3"') == 'W/"3"'
    assert http_date(CHANGED) == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert http_date(CHANGED.astimezone(timezone(timedelta(hours=2)))) == http_date(CHANGED)


@pytest.mark.parametrize("etag", ['a"b', "a b", "a\r\nset-cookie: x=1", "ö\u20ac"])
def test_what_cannot_be_a_tag_is_refused(etag: str) -> None:
    """A header is not a place for any text."""
    with pytest.raises(ValueError, match="ETag"):
        entity_tag(etag)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    """It could be any of 24."""
    with pytest.raises(ValueError, match="time zone"):
        http_date(CHANGED.replace(tzinfo=None))


NOTES = feature(
    """
    from ringfence.tools.http import IfMatch, Reply, get, put


    class Note(Struct):
        text: str


    class Notes(Plugin):
        @get("/note")
        async def show(self) -> Reply[Note]:
            return Reply(Note("hello" * 100), etag="7")

        @put("/note")
        async def write(self, note: Note, match: IfMatch) -> Note:
            match.require("7", required=True)
            return note
    """
)


@pytest.mark.anyio
async def test_a_client_reads_and_changes_one_version(tmp_path: Path) -> None:
    """What it has is not sent again, what it has not seen is not overwritten; also where
    compression has marked the tag on its way."""
    http = {"tools": {"http": {"compress_min_bytes": 100}}}
    async with running(tmp_path, {"domains/notes/notes.py": NOTES}, overrides=http) as app:
        gzip = {"accept-encoding": "gzip"}
        for asked, etag in (({}, '"7"'), (gzip, 'W/"7"')):
            read = await app.http.get("/note", headers=asked)
            assert (read.status, read.headers["etag"]) == (200, etag)
            known = await app.http.get("/note", headers={**asked, "if-none-match": etag})
            assert (known.status, known.body) == (304, b"")
            text = {"text": "x"}
            written = await app.http.put("/note", json=text, headers={"if-match": etag})
            assert (written.status, written.json()) == (200, text)
        other = await app.http.put("/note", json=text, headers={"if-match": '"6"'})
        assert (other.status, other.json(dict)["code"]) == (412, "precondition_failed")
        blind = await app.http.put("/note", json=text)
        assert (blind.status, blind.json(dict)["code"]) == (428, "precondition_required")
