"""The proxy that the environment sets for an address."""

import urllib.parse
import urllib.request


def proxy_for(url: str) -> str | None:
    """The proxy for *url*, http, https, ws or wss, by `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; None: connect directly."""
    parts = urllib.parse.urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(scheme)
