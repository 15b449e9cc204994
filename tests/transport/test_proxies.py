"""Which proxy the environment names for an address."""

import base64
import os
import urllib.request
from typing import Any

import pytest

from connect.errors import ConfigurationError
from connect.transport.proxies import Proxies, parse


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy; a test sets what it needs."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    return monkeypatch


def proxy_for(url: str) -> str | None:
    """The address of the proxy for *url*, without user and password."""
    proxy = Proxies.of_environment().find(url)
    return proxy.url if proxy else None


@pytest.mark.parametrize("url", ["http://a.example", "https://a.example", "ws://a.example", "wss://a.example:8289/x"])
def test_without_a_variable_there_is_none(variables: pytest.MonkeyPatch, url: str) -> None:
    assert proxy_for(url) is None


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://a.example/v0/connect/start", "http://plain:3128"),
        ("ws://a.example/v0/connect", "http://plain:3128"),
        ("https://a.example/v0/connect/start", "http://secure:3128"),
        ("wss://a.example:8289/v0/connect", "http://secure:3128"),
    ],
)
def test_a_websocket_goes_through_the_proxy_of_its_http_scheme(
    variables: pytest.MonkeyPatch, url: str, proxy: str
) -> None:
    variables.setenv("HTTP_PROXY", "http://plain:3128")
    variables.setenv("https_proxy", "http://secure:3128")
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("url", "bypassed"),
    [
        ("wss://inside.example/v0/connect", True),
        ("https://api.inside.example", True),
        ("http://127.0.0.1:8288", True),
        ("wss://outside.example", False),
    ],
)
def test_no_proxy_names_hosts_that_are_reached_directly(
    variables: pytest.MonkeyPatch, url: str, bypassed: bool
) -> None:
    variables.setenv("HTTP_PROXY", "http://plain:3128")
    variables.setenv("HTTPS_PROXY", "http://plain:3128")
    variables.setenv("NO_PROXY", "127.0.0.1,inside.example")
    assert proxy_for(url) == (None if bypassed else "http://plain:3128")


def test_an_address_without_a_host_harms_nothing(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("HTTPS_PROXY", "http://secure:3128")
    assert proxy_for("") is None


ALL = {f"{kind}_PROXY": f"{kind.lower()}:1" for kind in ("HTTP", "HTTPS", "WS", "WSS", "ALL")} | {
    "SOCKS_PROXY": "socks:1"
}


@pytest.mark.parametrize(
    ("scheme", "order"),
    [
        ("http", ["HTTP_PROXY", "ALL_PROXY"]),
        ("https", ["HTTPS_PROXY", "ALL_PROXY"]),
        ("ws", ["WS_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "SOCKS_PROXY", "ALL_PROXY"]),
        ("wss", ["WSS_PROXY", "HTTPS_PROXY", "SOCKS_PROXY", "ALL_PROXY"]),
    ],
)
@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
def test_the_first_variable_that_is_set_counts(
    variables: pytest.MonkeyPatch, scheme: str, order: list[str], case: Any
) -> None:
    for name, value in ALL.items():
        variables.setenv(case(name), value)
    for name in order:
        found = Proxies.of_environment().find(f"{scheme}://a.example")
        assert found
        assert (found.source, found.address.host) == (case(name), ALL[name].partition(":")[0])
        variables.setenv(case(name), "")
    assert proxy_for(f"{scheme}://a.example") is None


@pytest.mark.parametrize(
    ("set_to", "counts"),
    [
        ({"HTTP_PROXY": "u:1", "http_proxy": "l:1"}, "http_proxy"),
        ({"Http_Proxy": "m:1"}, "Http_Proxy"),
        ({"HTTP_PROXY": "u:1", "http_proxy": ""}, None),
        ({"HTTP_PROXY": "", "ALL_PROXY": "u:1"}, "ALL_PROXY"),
        ({"http_proxy": "", "all_proxy": "l:1"}, "all_proxy"),
        ({"HTTP_PROXY": "u:1", "REQUEST_METHOD": "GET"}, None),
        ({"Http_Proxy": "m:1", "REQUEST_METHOD": ""}, None),
        ({"HTTP_PROXY": "u:1", "http_proxy": "l:1", "REQUEST_METHOD": "GET"}, "http_proxy"),
        ({"HTTP_PROXY": "u:1", "all_proxy": "l:1", "REQUEST_METHOD": "GET"}, "all_proxy"),
        ({"ALL_PROXY": "u:1", "REQUEST_METHOD": "GET"}, "ALL_PROXY"),
        ({"FTP_PROXY": "u:1", "PROXY": "u:1", "HTTPPROXY": "u:1", "HTTP_PROXY_URL": "u:1", "_PROXY": "u:1"}, None),
    ],
)
def test_of_several_spellings_one_counts(
    variables: pytest.MonkeyPatch, set_to: dict[str, str], counts: str | None
) -> None:
    """As Python, httpx and websockets have it; and the variable that counts is the one that messages name."""
    for name, value in set_to.items():
        variables.setenv(name, value)
    found = Proxies.of_environment().find("http://a.example")
    assert (found and found.source) == counts
    assert (found and str(found.address)) == (set_to[counts] if counts else None)
    assert urllib.request.getproxies_environment().get("all" if counts and "all" in counts.lower() else "http") == (
        set_to[counts] if counts else None
    )


@pytest.mark.parametrize(
    ("value", "address", "login"),
    [
        ("proxy", "http://proxy:80", None),
        ("proxy:3128", "http://proxy:3128", None),
        (" proxy:3128\n", "http://proxy:3128", None),
        ("//proxy:3128", "http://proxy:3128", None),
        ("http://proxy:3128/", "http://proxy:3128", None),
        ("http://proxy:3128/path?a=b#c", "http://proxy:3128", None),
        ("http://proxy?a", "http://proxy:80", None),
        ("http://proxy:", "http://proxy:80", None),
        ("HTTP://Proxy.Example:3128", "http://proxy.example:3128", None),
        ("https://proxy", "https://proxy:443", None),
        ("socks://proxy", "socks5://proxy:1080", None),
        ("socks5://proxy:9050", "socks5://proxy:9050", None),
        ("SOCKS5H://proxy", "socks5://proxy:1080", None),
        ("[::1]:3128", "http://[::1]:3128", None),
        ("http://[::1]", "http://[::1]:80", None),
        ("http://[fe80::1%25lo]:3128/", "http://[fe80::1%lo]:3128", None),
        ("bücher.example:3128", "http://xn--bcher-kva.example:3128", None),
        ("me@proxy:3128", "http://proxy:3128", "me:"),
        ("me:pw@[::1]:3128", "http://[::1]:3128", "me:pw"),
        ("http://me:pw@proxy", "http://proxy:80", "me:pw"),
        ("http://:pw@proxy", "http://proxy:80", ":pw"),
        ("http://@proxy", "http://proxy:80", None),
        ("http://:@proxy", "http://proxy:80", None),
        ("http://m%40e:p%3Aw%2F%25%20@proxy", "http://proxy:80", "m@e:p:w/% "),
        ("http://me:p%C3%A4ss@proxy", "http://proxy:80", "me:päss"),
        ("http://me:p@s/s?w#d:x@proxy:3128/", "http://proxy:3128", "me:p@s/s?w#d:x"),
        ("http://DOMAIN\\me:100%@proxy", "http://proxy:80", "DOMAIN\\me:100%"),
    ],
)
def test_each_form_of_a_value(value: str, address: str, login: str | None) -> None:
    found = parse(value, "HTTP_PROXY")
    assert found.url == address
    assert (found.login.reveal() if found.login else None) == login
    shown = base64.b64encode(login.encode()).decode() if login else ""
    assert found.authorization == ({"proxy-authorization": f"Basic {shown}"} if login else {})
    assert not login or login.partition(":")[2] not in f"{found} {found!r}" or login == "me:"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        *(
            (value, "kind")
            for value in ("socks4://zz", "socks4a://zz:1", "ftp://zz", "ws://zz", "quic://zz", "://zz:1")
        ),
        *((value, "kind") for value in ("http:/zz:1", "https:/me:zz@proxy", "'http://zz:1'", "HTTP_PROXY=http://zz")),
        *(
            (value, "host and port")
            for value in (" ", "http://", "http://zz:x", "http://zz:-1", "http://zz:+1", "zz: 1")
        ),
        *(
            (value, "host and port")
            for value in ("zz:0", "zz:65536", "zz:1_0", "zz:1:2", "::1", "[::1", "[zz]:1", "http:zz:1")
        ),
        *(
            (value, "host and port")
            for value in ("http://me:zz@", ":3128", "a zz:1", "a\r\nzz: 1", "http://zz..é:1", "zz:٣")
        ),
    ],
)
def test_what_is_no_proxy_is_refused(value: str, why: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"^ALL_PROXY names a proxy .*{why}.*: write http://HOST:PORT"
    ) as refused:
        parse(value, "ALL_PROXY")
    assert "zz" not in str(refused.value)


@pytest.mark.parametrize("value", ["socks:1", "http://socks:1", "socks5://socks:1", "socks5h://socks:1"])
def test_a_socks_proxy_may_be_written_as_macos_does(variables: pytest.MonkeyPatch, value: str) -> None:
    variables.setenv("SOCKS_PROXY", value)
    assert proxy_for("wss://a.example") == "socks5://socks:1"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "True"),
        (0, "of type int"),
        (3128, "of type int"),
        ([], "of type list"),
        ({"https": "http://me:zz@proxy"}, "of type dict"),
        (b"http://me:zz@proxy", "of type bytes"),
        (("proxy", 3128), "of type tuple"),
    ],
)
def test_the_option_is_text_or_false(value: Any, kind: str) -> None:
    """The text of a value of another type could have a password in it."""
    with pytest.raises(ConfigurationError, match=f"^proxy is {kind}: pass an address as a str, or False for none$"):
        Proxies.of(value)


@pytest.mark.parametrize("value", [False, ""])
def test_the_option_may_say_that_there_is_none(variables: pytest.MonkeyPatch, value: Any) -> None:
    variables.setenv("ALL_PROXY", "proxy:1")
    assert Proxies.of(value).find("https://a.example") is None


def test_the_option_is_for_every_host(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("NO_PROXY", "*")
    variables.setenv("HTTPS_PROXY", "ftp://another")
    for scheme in ("http", "https", "ws", "wss"):
        found = Proxies.of("proxy:1").find(f"{scheme}://localhost")
        assert found
        assert str(found) == "the proxy proxy:1 (proxy)"
