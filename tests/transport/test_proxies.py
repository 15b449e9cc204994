"""Which proxy the environment names for an address."""

import os

import pytest

from connect.transport.proxies import Proxies


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
