"""Why the SDK's HTTP client cannot be made: httpx reads the environment for each client, and its errors name no variable."""

import os
import ssl
from types import TracebackType
from typing import Any

from connect.errors import ConfigurationError
from connect.transport import authorities, proxies


def explain(error: BaseException) -> str:
    """The variable that made httpx raise *error*, and what to write there; "": *error* has another cause. No value is shown."""
    if not _is_of_httpx(error.__traceback__) or not _failure():
        return ""
    named = proxies.variables()
    wrong = (_wrong(named[kind]) for kind in ("http", "https", "all") if kind in named)
    if found := next(filter(None, wrong), "") or authorities.cure():
        return found
    return (
        f"{named.get('no', 'NO_PROXY')} has an entry that the SDK's HTTP client cannot read: write an IPv6 address without "
        "brackets and port, no IPv6 network, and a name in ASCII"
    )


def _is_of_httpx(trace: TracebackType | None) -> bool:
    while trace:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("httpx."):
            return True
        trace = trace.tb_next
    return False


def _failure(**given: Any) -> Exception | None:
    """What httpx raises if a client is made as *given*."""
    import httpx  # slow to import, and needed for an error alone

    try:
        httpx.Client(**given).close()
    except Exception as error:
        return error
    return None


def _wrong(variable: str) -> str:
    """What is wrong with the proxy that *variable* names; "": nothing."""
    text = os.environ[variable]
    quick = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reads no certificates; nothing is sent
    failure = _failure(proxy=text if "://" in text else f"http://{text}", trust_env=False, verify=quick)
    if failure is None:
        return ""
    try:
        proxies.parse(text, variable)
    except ConfigurationError as refused:
        return str(refused)
    if isinstance(failure, ImportError):
        return f"{variable} names a SOCKS proxy, which the SDK's HTTP client needs a package for: pip install 'httpx[socks]'"
    return (
        f"{variable} names a proxy that the SDK's HTTP client cannot read: write socks5:// for a SOCKS proxy, and "
        "%2F, %3F and %23 for /, ? and # in a password"
    )
