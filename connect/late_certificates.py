"""Importing this imports aiohttp, whose TLS contexts read this machine's certificates at their first handshake.

aiohttp makes two contexts when it is imported. Together they take 40 ms and 4 MB, and the worker uses neither: `Route` has its own.
User code may use them, and finds them as they would be: they trust the same certificates, and verify as they did.
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

    def _read_now(self) -> None:
        _read(self)
        self.__class__ = _Plain  # type: ignore[assignment]

    def wrap_socket(self, *given: Any, **named: Any) -> ssl.SSLSocket:
        self._read_now()
        return self.wrap_socket(*given, **named)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        self._read_now()
        return self.wrap_bio(*given, **named)

    def get_ca_certs(self, *given: Any, **named: Any) -> Any:
        self._read_now()
        return self.get_ca_certs(*given, **named)

    def cert_store_stats(self) -> dict[str, int]:
        self._read_now()
        return self.cert_store_stats()


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
