"""The API's address is refused under the name of what it comes from."""

import pytest

from connect import origins
from connect.errors import ConfigurationError


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in origins.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variable", "text", "client"),
    [
        ("INNGEST_API_BASE_URL", "http://host:99999", "http://host:99999"),
        ("INNGEST_BASE_URL", " host:99999/ ", "https://host:99999"),
        ("INNGEST_DEV", "host:99999", "http://host:99999"),
        ("INNGEST_API_BASE_URL", "localhost", "https://api.inngest.com"),
        ("INNGEST_BASE_URL", "localhost", "http://127.0.0.1:8288"),
    ],
)
def test_the_variable_is_named(variables: pytest.MonkeyPatch, variable: str, text: str, client: str) -> None:
    """Also one that the SDK's client has left out, without a word."""
    variables.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=rf"^{variable} '.*' is no http or https address: write") as caught:
        origins.checked(None, client, is_key_sent=False)
    assert caught.value.option == ""


def test_the_option_and_the_client_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"^api_base_url 'x' is no http") as caught:
        origins.checked("x", "http://client:1", is_key_sent=False)
    assert caught.value.option == "api_base_url"
    with pytest.raises(ConfigurationError, match=r"^the client's api_base_url 'ftp://x' is no http"):
        origins.checked(None, "ftp://x", is_key_sent=False)


@pytest.mark.parametrize("text", ["1", "true", "yes"])
def test_a_variable_that_only_switches_to_development_is_no_address(variables: pytest.MonkeyPatch, text: str) -> None:
    variables.setenv("INNGEST_DEV", text)
    assert origins.checked(None, "http://127.0.0.1:8288", is_key_sent=True) == "http://127.0.0.1:8288"
    assert origins.source("http://127.0.0.1:8288") == "the default"


def test_a_variable_that_is_not_used_is_not_checked(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("INNGEST_API_BASE_URL", "localhost")
    assert origins.checked("http://mine", "https://api.inngest.com", is_key_sent=True) == "http://mine"
    assert origins.checked(None, "http://mine:1", is_key_sent=True) == "http://mine:1"


def test_a_password_is_not_sent_beside_a_key(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("INNGEST_BASE_URL", "http://me:word@host:1")
    with pytest.raises(ConfigurationError, match=r"^INNGEST_BASE_URL: .* cannot be sent beside") as caught:
        origins.checked(None, "http://me:word@host:1", is_key_sent=True)
    assert "word@" not in str(caught.value)
