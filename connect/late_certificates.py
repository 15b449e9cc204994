"""Importing this imports aiohttp, whose TLS contexts read this machine's certificates at their first handshake.

aiohttp makes two contexts when it is imported. Together they take 40 ms and 4 MB, and the worker uses neither: `Route` has its own.
User code may use them: they verify as ever, and trust the certificates that are there at the first handshake, which takes 20 ms.
"""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from typing import Any, Final

_Plain = ssl.SSLContext
_read: Final = _Plain.set_default_verify_paths


class LateContext(ssl.SSLContext):
    """A context that was told to read this machine's certificates and has not yet. From its first use on it is a plain one."""

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        _read_now(self)
        return self.wrap_socket(*given, **named)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        _read_now(self)
        return self.wrap_bio(*given, **named)

    def get_ca_certs(self, *given: Any, **named: Any) -> Any:
        _read_now(self)
        return self.get_ca_certs(*given, **named)

    def cert_store_stats(self) -> dict[str, int]:
        _read_now(self)
        return self.cert_store_stats()


def _read_now(context: ssl.SSLContext) -> None:
    """Make a plain context of it. Two threads may come here at once, and a call that has begun late may end here."""
    if type(context) is LateContext:
        _read(context)
        context.__class__ = _Plain  # type: ignore[assignment]


@contextlib.contextmanager
def read_late() -> Iterator[None]:
    """Make each context that this thread makes meanwhile a `LateContext`, unless another library has replaced Python's contexts."""
    thread = threading.get_ident()

    def set_default_verify_paths(self: ssl.SSLContext) -> None:
        if threading.get_ident() == thread and type(self) is _Plain:
            self.__class__ = LateContext
        else:
            _read(self)

    if "set_default_verify_paths" in vars(_Plain):
        yield
        return
    _Plain.set_default_verify_paths = set_default_verify_paths  # type: ignore[method-assign]
    try:
        yield
    finally:
        del _Plain.set_default_verify_paths


with read_late():
    import aiohttp  # noqa: F401 - for what it makes
