"""A stranger chooses where a request goes: into the machine, its network, its cloud. It does not.

What listens on loopback here stands for all of these: it must never be reached, in whatever form
its address is written, whatever a name resolves to, and wherever an answer redirects.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ringfence.testing import TestApplication
from ringfence.tools.fetch import LinkUnavailable, RefusedTarget
from ringfence.tools.fetch.conformance import OtherSide
from ringfence.tools.fetch.doubles import Reply, StandingClock, served
from ringfence.tools.fetch.drivers import http
from ringfence.tools.fetch.options import Config
from tests.kernel.apps import feature, running
from tests.tools.fetch.support import GRANT, started

from .bystander import BYSTANDER, ask, asked_throughout, failed, logged

pytestmark = pytest.mark.anyio
PLUGIN = "webhooks.send"
SEND = feature(
    """
    from ringfence.tools.fetch import Fetch


    class Send(Plugin):
        hooks: Fetch

        @service("webhooks.send")
        async def send(self, url: str) -> int:
            return (await self.hooks.post(url, json={"event": "paid"})).status
    """
)
TOML = '[tools.hooks]\ntool = "fetch"\nabsolute = ["https://*", "http://127.0.0.1:{port}"]\n'

HOSTS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "127.0.0.1.",
    "000127.0.0.1",
    "0",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "127。0。0。1",
    "①②⑦.0.0.1",
    "public.example@127.0.0.1",
    "public.example:x@127.0.0.1",
    "127.0.0.1\\@public.example",
    "127.0.0.1#@public.example",
    "127.0.0.1%00.public.example",
    "127.0.0.1 public.example",
    "127.0.0.1\r\nHost: public.example",
    "127.0.0.1\t",
]
SCHEMES = ["http", "file", "ftp", "gopher", "dict", "ldap", "unix", "data", "jar"]


@asynccontextmanager
async def within_reach(tmp_path: Path) -> AsyncIterator[tuple[TestApplication, OtherSide, int]]:
    """An application with a link for any host, and what it must not reach."""
    inside = OtherSide()
    async with served(inside) as base_url:
        port = int(base_url.split(":")[2].split("/")[0])
        files = {
            "domains/webhooks/send.py": SEND,
            "ringfence.toml": TOML.format(port=port),
            **BYSTANDER,
        }
        async with running(tmp_path, files) as app:
            yield app, inside, port


async def test_no_form_of_an_inner_address_is_reached(tmp_path: Path) -> None:
    """Each is refused, recorded with its plugin, and nobody else notices."""
    async with within_reach(tmp_path) as (app, inside, port):
        async with asked_throughout(app):
            for host in HOSTS:
                with pytest.raises((RefusedTarget, LinkUnavailable)):
                    await app.call("webhooks.send", url=f"https://{host}:{port}/base/")
        refused = failed(app, PLUGIN, "RefusedTarget")
        assert len(refused) + len(failed(app, PLUGIN, "LinkUnavailable")) == len(HOSTS)
        assert len(refused) == len(HOSTS)
        assert len(logged(app, "warning", PLUGIN, "refused a target")) == len(refused)
    assert inside.requests == []


async def test_an_origin_that_is_named_is_still_checked_by_its_address(tmp_path: Path) -> None:
    """`absolute` allows a name; only `private` and `allow` allow an address."""
    async with within_reach(tmp_path) as (app, inside, port):
        async with asked_throughout(app):
            with pytest.raises(RefusedTarget, match="private = true"):
                await app.call("webhooks.send", url=f"http://127.0.0.1:{port}/base/")
        assert len(failed(app, PLUGIN, "RefusedTarget")) == 1
        assert logged(app, "warning", PLUGIN, "127.0.0.1")
    assert inside.requests == []


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_no_other_scheme_is_spoken(tmp_path: Path, scheme: str) -> None:
    """`https://*` is https, and nothing else."""
    async with within_reach(tmp_path) as (app, inside, port):
        with pytest.raises(RefusedTarget):
            await app.call("webhooks.send", url=f"{scheme}://public.example:{port}/etc/passwd")
        await ask(app)
        assert len(failed(app, PLUGIN, "RefusedTarget")) == 1
        assert logged(app, "warning", PLUGIN)
    assert inside.requests == []


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([["127.0.0.1"]], id="a public name for an inner address"),
        pytest.param([["93.184.216.34", "127.0.0.1"]], id="one of several"),
        pytest.param([["::ffff:127.0.0.1"]], id="mapped"),
        pytest.param([["fe80::1%lo"]], id="with a zone"),
        pytest.param([["127.1"]], id="not an address"),
    ],
)
async def test_a_name_is_what_it_resolves_to(answers: list[list[str]]) -> None:
    """Whoever owns a name decides where it leads, and not that it is reached."""
    inside, asked = OtherSide(), list[str]()

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    async with served(inside) as base_url:
        chosen = Config(base_url=base_url.replace("127.0.0.1", "public.example"))
        async with started(chosen, StandingClock(), resolve) as driver:
            with pytest.raises(RefusedTarget):
                await driver.handle(GRANT).get("it")
    assert asked == ["public.example"]
    assert inside.requests == []


async def test_a_name_that_changes_its_mind_is_connected_to_where_it_was_checked() -> None:
    """Rebinding: each connection has one resolution, which is checked and then used."""
    inside, outside = OtherSide(), OtherSide(Reply(503))
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    async with served(inside) as base_url, served(outside):
        # 127.0.0.2 is what this link may reach, as a public address would be; nobody listens there.
        chosen = Config(
            base_url=base_url.replace("127.0.0.1", "public.example"), allow=["127.0.0.2"]
        )
        async with started(chosen, StandingClock(), resolve) as driver:
            with pytest.raises(RefusedTarget, match=r"got 127\.0\.0\.1"):
                await driver.handle(GRANT).get("it")
    assert len(asked) == 2
    assert inside.requests == []


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/base/",
        "//127.0.0.1:{port}/base/",
        "https://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/base/",
        "file:///etc/passwd",
        "/outside",
        "/base/../outside",
        "/base/%2e%2e/outside",
    ],
)
async def test_no_answer_redirects_inside(location: str) -> None:
    """A link that follows redirects follows them within itself."""
    inside = OtherSide()
    async with served(inside) as inner:
        port = int(inner.split(":")[2].split("/")[0])
        outside = OtherSide(Reply(302, {"location": location.format(port=port)}))
        async with served(outside) as base_url:
            chosen = Config(base_url=base_url, private=True, redirects=5)
            async with started(chosen, StandingClock()) as driver:
                with pytest.raises(RefusedTarget):
                    await driver.handle(GRANT).get("it")
        assert len(outside.requests) == 1
    assert inside.requests == []


async def test_what_the_operator_allows_is_reached() -> None:
    """The same request, with the one key that the refusal names."""
    inside = OtherSide()
    async with served(inside) as base_url:
        named = base_url.replace("127.0.0.1", "localhost")
        for keys in ({"private": True}, {"allow": ["127.0.0.0/8", "::1/128"]}):
            async with started(Config(base_url=named, **keys), StandingClock()) as driver:
                assert isinstance(driver, http.Driver)
                assert (await driver.handle(GRANT).get("it")).status == 200
    assert len(inside.requests) == 2
