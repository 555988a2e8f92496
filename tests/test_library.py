"""The static read of one file, and what is kept of it for the next start."""

import ast
import marshal
import os
from pathlib import Path
from textwrap import indent

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.source import absolute
from ringfence.library import Library
from tests.kernel.apps import feature, write


def read(folder: Path, text: str | bytes) -> Library:
    """Write a file and return a library that has read it as `it`."""
    folder.mkdir(exist_ok=True)
    content = text.encode() if isinstance(text, str) else text
    (folder / "it.py").write_bytes(content)
    return Library(folder)


FEATURE = feature("""
    import ringfence

    @requires("inventory.stock")
    class StockOf(Protocol):
        async def __call__(self, *, sku: str) -> int: ...

    class Place(Plugin):
        stock: StockOf

        @service("orders.place")
        @ringfence.service("orders.put", timeout_s=1)
        async def place(self, sku: str) -> int:
            return 1

        @service(NAME)
        async def unknown(self) -> None: ...

        @property
        def plain(self) -> int: ...
""")


def test_the_names_that_decorators_declare_are_read_from_the_text(tmp_path: Path) -> None:
    """Decorator and first argument, however it is spelled; nothing is run."""
    source = read(tmp_path, "1 / 0\n" + FEATURE).read(tmp_path / "it.py")
    assert source.names == (("service", "orders.place"), ("service", "orders.put"))
    assert source.error == ""


def test_events_and_subscriptions_are_read_from_the_text(tmp_path: Path) -> None:
    """So that those of a file that does not load are known; of a broadcast nothing is kept."""
    text = feature("""
        @event("orders.placed", key="sku")
        class Placed(Struct):
            sku: str

        class Listen(Plugin):
            @on("orders.placed")
            async def first(self, placed: Placed) -> None: ...

            @on("stock.*", retries=1, broadcast=False)
            def second(self, delivery: Delivery) -> None: ...

            @on("stock.held", broadcast=True)
            async def third(self, delivery: Delivery) -> None: ...
    """)
    source = read(tmp_path, "1 / 0\n" + text).read(tmp_path / "it.py")
    assert ("event", "orders.placed") in source.names
    assert source.listens == (("first", "orders.placed"), ("second", "stock.*"))


def test_lines_are_kept_of_classes_and_of_what_a_plugin_has(tmp_path: Path) -> None:
    """So that a finding can say where."""
    source = read(tmp_path, FEATURE).read(tmp_path / "it.py")
    texts = FEATURE.splitlines()
    said = {name: texts[line - 1].strip() for name, line in source.lines.items()}
    assert said["StockOf"].startswith("class StockOf")
    assert said["Place"].startswith("class Place")
    assert said["Place.stock"] == "stock: StockOf"
    assert said["Place.place"].startswith("async def place")


BROKEN = {
    "syntax": (b"x = 1\ndef broken(:\n", 2),
    "indent": (b"x = 1\nif x:\ny = 2\n", 3),
    "no text": (b"x = '\xff'\n", 1),
    "a zero byte": (b"x = 1\0\n", 1),
    "an unknown encoding": (b"# -*- coding: klingon -*-\n", 1),
    "brackets without end": (b"(" * 500, 1),
    "operators without end": (b"x = " + b"-" * 20_000 + b"1\n", 1),
    "return outside": (b"x = 1\nreturn x\n", 2),
}


@pytest.mark.parametrize("content, line", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_cannot_be_parsed_says_so_with_its_line(
    tmp_path: Path, content: bytes, line: int
) -> None:
    """It is a value, not an exception; asking for its code is one."""
    library = read(tmp_path, content)
    source = library.read(tmp_path / "it.py")
    assert source.error
    assert source.error_line == line
    with pytest.raises(SyntaxError):
        library.code(tmp_path / "it.py")


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=40) | st.text("()[]{}:=@.,\\'\"# \n\tdefclassx1", max_size=40))
def test_reading_never_fails(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    """Whatever a file holds, it either compiles or has an error."""
    folder = tmp_path_factory.getbasetemp() / "any"
    content = content.encode() if isinstance(content, str) else content
    library = read(folder, content)
    source = library.read(folder / "it.py")
    if not source.error:
        assert library.code(folder / "it.py").co_filename == str(folder / "it.py")


IMPORTS = [
    "import domains.a.b",
    "import json, lib.x as y, tools.z",
    "from domains.a import b, c",
    "from . import d",
    "from ..e import f as g, h",
    "import domains",
    "import json",
    "from collections.abc import Mapping",
    "import domainsx.y",
]
BLOCKS = [
    "if x:\n{0}\nelif y:\n{1}\nelse:\n{0}",
    "for x in y:\n{0}\nelse:\n{1}",
    "while x:\n{0}",
    "try:\n{0}\nexcept X:\n{1}\nelse:\n{0}\nfinally:\n{1}",
    "try:\n{0}\nexcept* X:\n{1}",
    "with x:\n{0}",
    "def f():\n{0}",
    "async def f():\n    async with x:\n{2}\n    async for x in y:\n{2}",
    "class C:\n{0}",
    "match x:\n    case 1:\n{2}\n    case _:\n{2}",
]


def block(template: str, first: str, second: str) -> str:
    return template.format(indent(first, "    "), indent(second, "    "), indent(first, "        "))


programs = st.recursive(
    st.sampled_from(IMPORTS),
    lambda inner: (
        st.builds(block, st.sampled_from(BLOCKS), inner, inner)
        | st.builds("{}\n{}".format, inner, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(text=programs)
def test_every_import_into_the_application_is_found(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """In whatever block it stands: as many as a walk of the whole tree finds, at the same lines."""
    folder = tmp_path_factory.getbasetemp() / "imports"
    source = read(folder, text).read(folder / "it.py")
    assert not source.error
    expected = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            expected += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (f"{node.module}." if node.module else "")
            expected += [(stem + alias.name, node.lineno) for alias in node.names]
    tops = ("domains", "lib", "tools", "")
    inward = [(n, line) for n, line in expected if n.partition(".")[0] in tops]
    assert sorted((site.name, site.line) for site in source.imports) == sorted(inward)


# ---- what is kept


def kept(folder: Path) -> Library:
    """Return another library over the same cache, as the next start has it."""
    return Library(folder)


def cache_of(folder: Path) -> Path:
    """Return the one file that all is kept in."""
    [cache] = (folder / ".ringfence").iterdir()
    return cache


def test_what_was_read_is_kept_for_the_next_start(tmp_path: Path) -> None:
    """The same source and the same code, without reading the file again."""
    path = tmp_path / "it.py"
    library = read(tmp_path, FEATURE)
    source, code = library.read(path), library.code(path)
    library.keep()
    os.truncate(path, 0)
    path.write_text("#" * source.stamp[1])
    os.utime(path, ns=(source.stamp[0], source.stamp[0]))  # as it was, as far as anyone can tell
    assert kept(tmp_path).read(path) == source
    assert kept(tmp_path).code(path) == code


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    """By its size, or by its time."""
    path = tmp_path / "it.py"
    library = read(tmp_path, "import lib.a\n")
    before = library.read(path)
    library.keep()
    path.write_text("import lib.b\n")
    os.utime(path, ns=(before.stamp[0] + 1, before.stamp[0] + 1))
    assert [site.name for site in kept(tmp_path).read(path).imports] == ["lib.b"]
    path.write_text("import lib.long\n")
    os.utime(path, ns=before.stamp[:1] * 2)
    assert [site.name for site in kept(tmp_path).read(path).imports] == ["lib.long"]


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x91\xc0", b"not a cache at all" * 100])
def test_a_cache_that_cannot_be_read_is_no_cache(tmp_path: Path, content: bytes) -> None:
    """Damaged or of another version: the files are read again."""
    path = tmp_path / "it.py"
    library = read(tmp_path, "import lib.a\n")
    library.read(path)
    library.keep()
    cache_of(tmp_path).write_bytes(content)
    assert [site.name for site in kept(tmp_path).read(path).imports] == ["lib.a"]


DAMAGED = {
    "cut off": marshal.dumps(compile("x = 1", "it.py", "exec"))[:-9],
    "empty": b"",
    "of another shape": b"\xff" * 40,
    "no code": marshal.dumps("x = 1"),
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED.keys())
def test_code_that_is_damaged_in_the_cache_is_compiled_again(
    tmp_path: Path, damaged: bytes
) -> None:
    """The next start has it whole again."""
    path = tmp_path / "it.py"
    library = read(tmp_path, "x = 1\n")
    code = library.code(path)
    library.keep()
    cache = cache_of(tmp_path)
    volumes = msgspec.msgpack.decode(cache.read_bytes())
    volumes[0]["code"] = damaged
    cache.write_bytes(msgspec.msgpack.encode(volumes))
    again = kept(tmp_path)
    assert again.code(path) == code
    again.keep()
    mended = msgspec.msgpack.decode(cache.read_bytes())[0]["code"]
    assert marshal.loads(mended) == code


def test_a_file_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    """The cache does not grow with every rename."""
    library = read(tmp_path, "x = 1\n")
    library.read(tmp_path / "it.py")
    library.keep()
    (tmp_path / "it.py").rename(tmp_path / "that.py")
    library = kept(tmp_path)
    library.read(tmp_path / "that.py")
    library.keep()
    volumes = msgspec.msgpack.decode(cache_of(tmp_path).read_bytes())
    assert [volume["source"]["path"] for volume in volumes] == [str(tmp_path / "that.py")]


def test_a_file_with_an_error_is_not_kept(tmp_path: Path) -> None:
    """It is looked at again at each start."""
    path = tmp_path / "it.py"
    library = read(tmp_path, "def broken(:\n")
    first = library.read(path)
    library.keep()
    path.write_text("x = 1" + " " * (first.stamp[1] - 6) + "\n")
    os.utime(path, ns=first.stamp[:1] * 2)
    assert kept(tmp_path).read(path).error == ""


def test_a_read_only_folder_is_no_error(tmp_path: Path) -> None:
    """Nothing is kept, and nothing is said."""
    (tmp_path / ".ringfence").write_text("a file where the folder would be")
    library = read(tmp_path, "x = 1\n")
    library.read(tmp_path / "it.py")
    library.keep()
    assert kept(tmp_path).read(tmp_path / "it.py").error == ""


@pytest.mark.parametrize(
    "name, resolved",
    [
        ("json", "json"),
        (".stock", "domains.orders.stock"),
        ("..inventory.stock", "domains.inventory.stock"),
        (".....far", ".....far"),
    ],
)
def test_relative_names_are_resolved_as_python_does(name: str, resolved: str) -> None:
    """From the package that the file stands in; what leads out of everything stays as it is."""
    assert absolute(name, "domains.orders") == resolved


def test_an_application_is_written_as_it_is_given(tmp_path: Path) -> None:
    """The builder of these tests dedents, and nothing more."""
    root = write(tmp_path, {"domains/a/b.py": "\n    x = 1\n    y = 2\n"})
    assert (root / "domains/a/b.py").read_text() == "x = 1\ny = 2\n"
