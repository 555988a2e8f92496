"""Forms, urlencoded and multipart: their fields as arguments, their limits, their faults."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from ringfence.tools.http import Form, UploadFile, form
from ringfence.tools.http.binding.forms import SPOOL_BYTES, TEXT_BYTES
from ringfence.tools.http.problem import Refused
from tests.tools.http.arriving import (
    BOUNDARY,
    END,
    MULTIPART,
    URLENCODED,
    Sent,
    arrived,
    faults_of,
    part,
    status_of,
)

pytestmark = pytest.mark.anyio


class NewPhoto(Struct):
    title: str
    stars: Annotated[int, Meta(ge=1, le=5)] = 3
    tag: list[str] = []


def whole(photo: Form[NewPhoto]) -> None:
    """A whole form."""


def by_field(title: Form[str], file_name: Annotated[str, form("file-name")] = "") -> None:
    """Single fields."""


def several(tag: Form[list[int]]) -> None:
    """A repeated field."""


def mixed(photo: Form[NewPhoto], image: UploadFile | None = None) -> None:
    """A whole form, and a file beside it."""


def with_file(image: UploadFile) -> None:
    """A file."""


def urlencoded(text: str) -> Sent:
    return Sent(headers=URLENCODED, pieces=[text.encode()])


def multipart(*parts: bytes) -> Sent:
    return Sent(headers=MULTIPART, pieces=[*parts, END])


def checked(text: str) -> Sent:
    return multipart(*(part(name, value.encode()) for name, value in parse_qsl(text)))


@pytest.mark.parametrize(
    "sent",
    [
        urlencoded("title=a+b%C3%A9&stars=5&tag=x&tag=y"),
        multipart(
            part("title", "a bé".encode()),
            *(part("stars", b"5"), part("tag", b"x"), part("tag", b"y")),
        ),
    ],
)
async def test_a_struct_is_the_whole_form(sent: Sent) -> None:
    """In either encoding, each field as its type."""
    async with arrived(whole, sent) as args:
        assert args == (NewPhoto("a bé", 5, ["x", "y"]),)


@pytest.mark.parametrize("send", [urlencoded, checked])
async def test_a_checkbox_is_a_truth(send: Callable[[str], Sent]) -> None:
    """Browsers send `on` for one that is ticked, and nothing for another."""

    class Choice(Struct):
        ticked: bool
        left: bool | None = None
        several: list[bool] = []

    def take(choice: Form[Choice]) -> None:
        """A form of checkboxes."""

    take.__annotations__["choice"] = Form[Choice]
    async with arrived(take, send("ticked=on&several=off&several=Yes")) as args:
        assert args == (Choice(ticked=True, several=[False, True]),)
    with pytest.raises(Refused) as caught:
        async with arrived(take, send("ticked=on&left=on&several=off&several=none")):
            pass
    assert list(faults_of(caught.value)) == ["form.several[1]"]


async def test_a_scalar_is_one_field() -> None:
    """Under the name of its parameter, or of its mark; what else is in the form is ignored."""
    async with arrived(by_field, urlencoded("title=t&file-name=f&other=o")) as args:
        assert args == ("t", "f")
    async with arrived(several, multipart(part("tag", b"1"), part("tag", b"2"))) as args:
        assert args == ([1, 2],)


async def test_every_fault_of_a_form_is_listed() -> None:
    """What does not fit, is missing or is given twice; and what nothing takes, files as well."""
    sent = multipart(
        part("stars", b"9"),
        part("stars", b"1"),
        part("tlte", b""),
        part("tag", b"content", "tag.png"),
        part("imgae", b"content", "cat.png"),
    )
    with pytest.raises(Refused) as caught:
        async with arrived(mixed, sent):
            pass
    assert faults_of(caught.value) == {
        "form.stars": "Expected `int` <= 5",
        "form.title": "is missing",
        "form.tlte": "unknown field; did you mean 'title'?",
        "form.imgae": "unknown field",
        "form.tag": "expected text, got a file",
    }


async def test_what_another_parameter_takes_is_not_unknown() -> None:
    """The whole form is whole but for the files and fields that are asked for by name."""

    def take(photo: Form[NewPhoto], image: UploadFile, note: Form[str]) -> None:
        """All of it."""

    sent = multipart(part("title", b"t"), part("note", b"n"), part("image", b"i", "i.png"))
    async with arrived(take, sent) as args:
        assert args[0] == NewPhoto("t")
        assert args[2] == "n"


@pytest.mark.parametrize(
    "headers, function",
    [({"content-type": "application/json"}, whole), ({}, whole), (URLENCODED, with_file)],
)
async def test_a_body_of_another_type_is_refused(
    headers: dict[str, str], function: Callable[..., object]
) -> None:
    """With what was expected; a file needs a multipart form."""
    with pytest.raises(Refused) as caught:
        async with arrived(function, Sent(headers=headers, pieces=[b"title=t"])):
            pass
    answer = caught.value.answer()
    assert answer.status == 415
    assert b"multipart/form-data" in dict(answer.headers)[b"accept"]


async def test_an_empty_body_is_an_empty_form() -> None:
    """Whatever its type: what is required is missing, the rest has its defaults."""

    def take(photo: Form[NewPhoto] | None = None, note: Form[str] = "-") -> None:
        """All optional."""

    async with arrived(take, Sent(pieces=[b""])) as args:
        assert args == (None, "-")
    with pytest.raises(Refused) as caught:
        async with arrived(by_field, Sent(headers={"content-type": "text/plain"})):
            pass
    assert faults_of(caught.value) == {"form.title": "is missing"}


@pytest.mark.parametrize(
    "headers, body",
    [
        (MULTIPART, b"no part at all"),
        (MULTIPART, b"--" + BOUNDARY.encode() + b"\r\nx: y\r\n\r\n" + END),
        (MULTIPART, part("title", b"t")),
        (MULTIPART, part("title", b"t") + part("photo", b"half of", "cat.png")[:-4]),
        ({"content-type": "multipart/form-data"}, END),
        ({"content-type": f"multipart/form-data; boundary={'x' * 300}"}, END),
        (MULTIPART, part("a", b"")[:-20] + b"x" * 9000),
        (MULTIPART, part("title", b"\xff") + END),
        (MULTIPART, part("title", b"t").replace(b"title", b"titl\xe9") + END),
        (MULTIPART, part("p", b"p", "cat.png").replace(b"cat", b"c\xe9") + END),
        (MULTIPART, part("p", b"p" * SPOOL_BYTES * 2, "p") + part("title", b"\xff") + END),
        (URLENCODED, b"title=%ff"),
        (URLENCODED, b"title=\xff"),
    ],
)
async def test_a_malformed_form_is_refused(headers: dict[str, str], body: bytes) -> None:
    """It is the request that is wrong."""
    with pytest.raises(Refused) as caught:
        async with arrived(by_field, Sent(headers=headers, pieces=[body])):
            pass
    answer = caught.value.answer()
    assert (answer.status, b"malformed_form" in answer.body) == (400, True)


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "zlib", "nonsense", '"; x='])
async def test_a_form_is_utf_8_whatever_it_says(charset: str) -> None:
    """As one that is urlencoded."""
    headers = {"content-type": f"{MULTIPART['content-type']}; charset={charset}"}
    body = part("title", "é".encode()) + part("file-name", "ÿ€".encode()) + END
    async with arrived(by_field, Sent(headers=headers, pieces=[body])) as args:
        assert args == ("é", "ÿ€")


@pytest.mark.parametrize(
    "fit, over",
    [
        (urlencoded("title=1&b=2&c=3"), urlencoded("title=1&b=2&c=3&d=4")),
        (
            multipart(*(part(name, b"1") for name in ("title", "b", "c"))),
            multipart(*(part(name, b"1") for name in ("title", "b", "c", "d"))),
        ),
        (
            multipart(part("title", b"1"), *(part("f", b"1", "f") for _ in range(3))),
            multipart(part("title", b"1"), *(part("f", b"1", "f") for _ in range(4))),
        ),
    ],
)
async def test_a_form_of_too_many_fields_is_refused(fit: Sent, over: Sent) -> None:
    """Fields and files are counted alone."""
    async with arrived(by_field, fit, max_query_params=3) as args:
        assert args == ("1", "")
    with pytest.raises(Refused) as caught:
        async with arrived(by_field, over, max_query_params=3):
            pass
    assert status_of(caught.value) == 400


@pytest.mark.parametrize(
    "sent",
    [
        Sent(headers=URLENCODED, pieces=[b"title=", b"x" * TEXT_BYTES]),
        Sent(headers=URLENCODED, pieces=[b"title=" + b"x" * TEXT_BYTES]),
        multipart(part("title", b"x" * (TEXT_BYTES + 1))),
        multipart(*[part("title", b"x" * (TEXT_BYTES // 4))] * 5, END),
    ],
)
async def test_the_text_of_a_form_is_bounded(sent: Sent) -> None:
    """Where a route takes long bodies for the sake of its files."""
    with pytest.raises(Refused) as caught:
        async with arrived(by_field, sent, max_body_bytes=1 << 30):
            pass
    assert status_of(caught.value) == 413


@pytest.mark.parametrize("announced", [True, False])
async def test_a_form_of_more_than_its_route_allows_is_refused(announced: bool) -> None:
    """Whether it says so beforehand or not."""
    body = part("title", b"x" * 600) + END
    pieces = [body[:300], body[300:]]
    headers = {**MULTIPART, "content-length": str(len(body))} if announced else MULTIPART
    with pytest.raises(Refused) as caught:
        async with arrived(by_field, Sent(headers=headers, pieces=pieces), max_body_bytes=600):
            pass
    assert status_of(caught.value) == 413


def read_form(function: Callable[..., object], sent: Sent) -> tuple[object, ...]:
    async def run() -> tuple[object, ...]:
        async with arrived(function, sent) as args:
            return args

    return asyncio.run(run())


@given(st.text(st.characters(codec="utf-8")), st.integers(), st.lists(st.text(max_size=5)))
def test_what_a_browser_encodes_is_what_the_operation_reads(
    title: str, stars: int, tags: list[str]
) -> None:
    """Any text, any number, any list."""

    def take(title: Form[str], stars: Form[int], tag: Form[list[str]] = []) -> None:  # noqa: B006
        """Fields."""

    pairs = [("title", title), ("stars", str(stars)), *(("tag", tag) for tag in tags)]
    sent = urlencoded(urlencode(pairs))
    assert read_form(take, sent) == (title, stars, tags)


FRAGMENTS = st.sampled_from(
    [
        *(part("title", b"t"), part("image", b"i", "i.png"), part("image", b"", ""), END),
        *(b"--", b"\r\n", b"--" + BOUNDARY.encode(), b"content-disposition: form-data;", b"name="),
        *(b'filename="', b"content-disposition", b": ", b'"', b"%", b"=", b"&", b"title=", b"\xff"),
    ]
)
TYPES = st.sampled_from(
    [
        *(MULTIPART["content-type"], URLENCODED["content-type"], "multipart/form-data; boundary="),
        *("multipart/form-data; boundary=\xe9", "multipart/form-data; charset=x; boundary=-"),
        "multipart/form-data; boundary*=x",
    ]
)


@given(TYPES, st.lists(FRAGMENTS | st.binary(max_size=8)))
def test_no_form_is_worse_than_refused(kind: str, pieces: list[bytes]) -> None:
    """However it is broken: it is read, or the request is refused."""
    with suppress(Refused):
        read_form(mixed, Sent(headers={"content-type": kind}, pieces=pieces))
