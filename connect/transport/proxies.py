"""Proxies: which one the environment names for an address."""

import urllib.parse
import urllib.request


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for *url* (`HTTPS_PROXY`, `NO_PROXY` and so on), or None."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(scheme)
