"""The proxy that the environment sets for an address, and the passwords for proxies."""

import urllib.parse
import urllib.request


def proxy_for(url: str) -> str | None:
    """The proxy for *url*, http, https, ws or wss, by `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; None: connect directly."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(scheme)


def passwords() -> set[str]:
    """What the environment has of proxies' passwords: each as it is written, decoded, and with its user's name before it."""
    found: set[str] = set()
    for address in urllib.request.getproxies().values():
        try:
            parts = urllib.parse.urlsplit(address)
            user, password = parts.username or "", parts.password or ""
        except ValueError:  # no address: the attempt to use it says so
            continue
        if password:
            decoded = urllib.parse.unquote(password)
            found |= {password, decoded, f"{urllib.parse.unquote(user)}:{decoded}"}
    return found
