"""Which hosts the entries of NO_PROXY stand for."""

import os

import pytest

from connect.transport.address import Address
from connect.transport.no_proxy import NoProxy
from connect.transport.proxies import Proxies

DIRECT = [
    ("*", "http://a.example"),
    ("*", "https://[::1]:8289"),
    ("b, *", "http://a.example"),
    ("example", "http://a.example"),
    (".example", "http://a.example"),
    (".a.example", "http://a.example"),
    ("a.example", "http://a.example"),
    ("*.example", "http://a.b.example"),
    ("*.a.example", "http://a.example"),
    ("gw-*.example", "http://gw-1.example"),
    ("10.*", "http://10.1.2.3"),
    ("example.", "http://a.example"),
    ("example", "http://a.example."),
    ("A.EXAMPLE", "http://a.Example"),
    ("b,a.example", "http://a.example"),
    ("b a.example", "http://a.example"),
    ("b , a.example ,", "http://a.example"),
    ("b;a.example", "http://a.example"),
    ("b\n\ta.example", "http://a.example"),
    ("a.example:8289", "ws://a.example:8289"),
    ("a.example:443", "wss://a.example"),
    ("a.example:80", "ws://a.example"),
    ("*:8289", "ws://a.example:8289"),
    ("localhost", "http://localhost:8288"),
    ("localhost:8288", "http://localhost:8288"),
    ("127.0.0.1", "http://127.0.0.1:8288"),
    ("127.0.0.1:8288", "http://127.0.0.1:8288"),
    ("10.0.0.0/8", "http://10.1.2.3"),
    ("10.1.2.3/8", "http://10.200.0.1"),
    ("10.0.0.0/255.0.0.0", "http://10.200.0.1"),
    ("10.1.2.3/32", "http://10.1.2.3."),
    ("::1", "http://[::1]:8288"),
    ("[::1]", "http://[::1]"),
    ("[::1]:8288", "http://[::1]:8288"),
    ("0:0:0:0:0:0:0:1", "http://[::1]"),
    ("fd00::/8", "http://[fd12::1]"),
    ("[fd00::]/8", "http://[fd12::1]"),
    ("fe80::1", "http://[fe80::1%25lo]"),
    ("bücher.example", "http://xn--bcher-kva.example"),
    ("xn--bcher-kva.example", "http://bücher.example"),
    ("BÜCHER.example", "http://a.bücher.example"),
    ("https://a.example", "wss://a.example"),
    ("http://a.example", "ws://a.example"),
    ("all://a.example", "https://a.example"),
    ("https://a.example:8289/", "wss://a.example:8289"),
    ("a.example/", "https://a.example"),
]
PROXIED = [
    ("", "http://a.example"),
    (" , ,", "http://a.example"),
    (".", "http://a.example"),
    ("ple", "http://a.example"),
    ("a.example", "http://a.example.evil"),
    ("a.example", "http://nota.example"),
    ("*.example", "http://notexample"),
    ("b.a.example", "http://a.example"),
    ("a.example:8289", "http://a.example"),
    ("a.example:8289", "http://a.example:8288"),
    ("[::1]:8289", "http://[::1]:8288"),
    ("https://a.example", "http://a.example"),
    ("http://a.example", "wss://a.example"),
    ("1", "http://127.0.0.1"),
    ("0.1", "http://127.0.0.1"),
    ("127.", "http://127.0.0.1"),
    ("127.0.0.0/33", "http://127.0.0.1"),
    ("127.0.0.0/8", "http://127.example"),
    ("10.0.0.0/8", "http://11.0.0.1"),
    ("10.0.0.0/8", "http://[fd00::1]"),
    ("fd00::/8", "http://10.0.0.1"),
    ("::/0", "http://10.0.0.1"),
    ("localhost", "http://127.0.0.1"),
    ("127.0.0.0/8", "http://localhost"),
]


@pytest.mark.parametrize(("text", "url"), DIRECT)
def test_it_is_reached_directly(text: str, url: str) -> None:
    assert NoProxy(text).has(Address.of(url))


@pytest.mark.parametrize(("text", "url"), PROXIED)
def test_it_is_reached_through_the_proxy(text: str, url: str) -> None:
    assert not NoProxy(text).has(Address.of(url))


@pytest.mark.parametrize(
    ("set_to", "direct"),
    [
        ({"NO_PROXY": "a.example"}, True),
        ({"no_proxy": "a.example"}, True),
        ({"no_proxy": "b", "NO_PROXY": "a.example"}, False),
        ({"no_proxy": "", "NO_PROXY": "a.example"}, False),
    ],
)
def test_lower_case_comes_first(monkeypatch: pytest.MonkeyPatch, set_to: dict[str, str], direct: bool) -> None:
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in {"ALL_PROXY": "proxy:1", **set_to}.items():
        monkeypatch.setenv(name, value)
    assert (Proxies.of_environment().find("http://a.example") is None) is direct
