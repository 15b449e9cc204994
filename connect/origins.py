"""The API's address: which option, variable or client names it, and whether it is one."""

import os
import urllib.parse
from typing import Final

from connect.errors import ConfigurationError
from connect.secrets import without_passwords

VARIABLES: Final = ("INNGEST_API_BASE_URL", "INNGEST_BASE_URL", "INNGEST_DEV")
"""Those that the SDK's client reads, in its order."""
DEFAULTS: Final = ("https://api.inngest.com", "http://127.0.0.1:8288")

_OPTION: Final = "api_base_url"
_FORMS: Final = "write http://HOST:PORT or https://HOST"


def checked(option: str | None, client: str, *, is_key_sent: bool) -> str:
    """The address that the *option* gives, or else the *client*. Raises: ConfigurationError: it names where the address stands."""
    text = option or client
    origin = _OPTION if option else source(client)
    if option is None and client.rstrip("/") in DEFAULTS:
        _check_what_the_client_left_out()
    if not _is_address(text):
        problem = f"{origin} {without_passwords(text)!r} is no http or https address"
        raise ConfigurationError(f"{problem}: {_FORMS}", _OPTION if option else "")
    if is_key_sent and "@" in urllib.parse.urlsplit(text).netloc:
        raise ConfigurationError(
            f"{origin}: the API address has a user name or password in it, which cannot be sent beside a signing key: leave it out",
            _OPTION if option else "",
        )
    return text


def source(client: str) -> str:
    """What the address of the *client* comes from: a variable, the default, or the client's own arguments."""
    wanted = client.rstrip("/")
    for name in VARIABLES:
        if wanted and _of_variable(name) in (wanted, wanted.partition("://")[2]):
            return name
    return "the default" if wanted in DEFAULTS else "the client's api_base_url"


def _of_variable(name: str) -> str:
    return os.environ.get(name, "").strip().rstrip("/")


def _check_what_the_client_left_out() -> None:
    """The SDK's client takes its default where a variable names no address, and says nothing."""
    for name in VARIABLES[:2]:
        text = _of_variable(name)
        if text and "." not in text and ":" not in text:
            raise ConfigurationError(f"{name} {text!r} is no http or https address: {_FORMS}")


def _is_address(text: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, or half an IPv6 address
        return False
