"""Which hosts and addresses are let through, decided without a browser."""

import asyncio

import pytest

from planact_envs.chromium.gate import Gate
from planact_envs.chromium.proxy import Proxy

GATE = Gate(
    ("shop.example", "*.wild.example", "one.example:8080", "10.0.0.0/8", "192.168.1.5:80", "[::1]:9000"), {"virtual.test": ("127.0.0.1", 1)}
)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "https://SHOP.example:8443/a?b#c",
        "http://a.wild.example/",
        "http://a.b.wild.example/",
        "http://one.example:8080/",
        "http://10.1.2.3/",
        "http://192.168.1.5/",
        "http://[::1]:9000/",
        "http://virtual.test/",
        "wss://shop.example/",
    ],
)
def test_what_is_listed_may_be_opened(url):
    assert GATE.refusal(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/",
        "http://shop.example.evil.example/",
        "http://evil-shop.example/",
        "http://notwild.example/",
        "http://wild.example/",
        "http://one.example/",
        "https://one.example/",
        "http://11.0.0.1/",
        "http://192.168.1.5:8080/",
        "http://[::1]/",
        "http://localhost/",
        "http://localhost.evil/",
        "http://169.254.169.254/latest/meta-data/",
        "http://shop.example@evil.example/",
        "http://virtual.test.evil.example/",
    ],
)
def test_what_is_not_listed_may_not(url):
    assert "is outside this environment; its sites are " in GATE.refusal(url)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "data:text/html,x", "javascript:alert(1)", "about:blank", "chrome://version", "ftp://shop.example/", "", "x"],
)
def test_only_web_pages_are_opened(url):
    assert GATE.refusal(url).startswith("only http and https pages can be opened")


@pytest.mark.parametrize("url", ["http://[", "http://shop.example:99999/"])
def test_a_broken_address_is_refused(url):
    assert GATE.refusal(url)


def test_every_name_is_let_through_by_a_star_but_no_address():
    gate = Gate(("*",))
    assert gate.refusal("https://any.example/") == "" and gate.refusal("http://8.8.8.8/") and gate.refusal("http://[::1]/")


PRIVATE = ["127.0.0.1", "::1", "10.1.1.1", "192.168.0.1", "172.16.0.1", "169.254.169.254", "fe80::1", "fd00::1", "0.0.0.0"]
PRIVATE += ["::ffff:127.0.0.1", "100.64.0.1", "224.0.0.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_name_leads_into_a_private_network(address):
    """DNS rebinding: the name is allowed, what it resolves to is not."""
    assert "leads to the private address" in Gate(("*",)).refusal_of_address("rebind.example", address, 80)


def test_a_private_address_that_is_listed_is_meant():
    assert Gate(("site.example", "10.0.0.0/8")).refusal_of_address("site.example", "10.1.1.1", 80) == ""
    assert Gate(("site.example", "10.1.1.1:80")).refusal_of_address("site.example", "10.1.1.1", 81) != ""
    assert Gate(("localhost:7770",)).refusal_of_address("localhost", "127.0.0.1", 7770) == ""
    assert Gate(("*",)).refusal_of_address("public.example", "93.184.215.14", 443) == ""


async def request(proxy, text):
    url = await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(text)
    answer = await reader.read()
    writer.close()
    await proxy.close()
    return answer


async def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch):
    """A name server that answers differently the second time changes nothing: it is asked once."""
    answers = iter(["127.0.0.1"])

    async def getaddrinfo(host, port, **_):
        return [(2, 1, 6, "", (next(answers), port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    proxy = Proxy(Gate(("rebind.example",)))
    answer = await request(proxy, b"GET http://rebind.example/ HTTP/1.1\r\nHost: rebind.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403") and "private address 127.0.0.1" in proxy.unreached[0][1]


@pytest.mark.parametrize(
    "text, status",
    [
        (b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 403"),
        (b"GET http://evil.example/ HTTP/1.1\r\n\r\n", b"HTTP/1.1 403"),
        (b"GET http://evil.example/ HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n", b"HTTP/1.1 204"),
        (b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", b"HTTP/1.1 403"),
        (b"nonsense\r\n\r\n", b""),
        (b"GET http://shop.example:x/ HTTP/1.1\r\n\r\n", b""),
    ],
)
async def test_the_proxy_answers_what_it_does_not_carry(text, status):
    assert (await request(Proxy(GATE), text))[: len(status) or None] == status
