"""Secrets that cannot be printed by accident, and what the protocol makes of a signing key."""

import hashlib
import itertools
import re
import weakref
from dataclasses import dataclass
from typing import Final

from connect.errors import ConfigurationError

_PREFIX: Final = re.compile(r"^signkey-[A-Za-z0-9_]+-")
_ODD: Final = re.compile(r"([0-9a-fA-F]{2})*[0-9a-fA-F]")
_PASSWORD: Final = re.compile(r"(?<=//)[^/\s]+@")


def without_passwords(text: str) -> str:
    """*text*, with user name and password in addresses replaced: `http://user:password@proxy` becomes `http://***@proxy`."""
    return _PASSWORD.sub("***@", text) if "@" in text else text


_NUMBERS: Final = itertools.count(1)
_LIVING: Final[dict[int, "weakref.ref[Secret]"]] = {}
"""By a number that grows."""
_generation = 0


def living_secrets() -> list["Secret"]:
    """The secrets that this process has now, each once. From any thread."""
    return list({secret for reference in list(_LIVING.values()) if (secret := reference())})


def generation_of_secrets() -> int:
    """It is another one than before if the living secrets are. From any thread."""
    return _generation


def _forget(number: int) -> None:
    _LIVING.pop(number, None)
    _changed()


def _changed() -> None:
    """Call it after the change: a reader that has seen the new generation has to find what is new in it."""
    global _generation
    _generation = next(_NUMBERS)  # no two threads store the same number


class Secret:
    """A text that only `reveal()` shows: repr, str and format say nothing of it, and it does not pickle.

    While it lives it is taken out of every text that a peer sends (`connect.redaction`).
    """

    __slots__ = ("__weakref__", "_text", "index")

    def __init__(self, text: str) -> None:
        self._text = text
        self.index: object = None
        """What `connect.redaction` knows it by."""
        number = next(_NUMBERS)
        _LIVING[number] = weakref.ref(self, lambda _: _forget(number))
        _changed()

    def reveal(self) -> str:
        """The text itself: for a header or a frame, never for a message."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a Secret does not leave its process")


@dataclass(frozen=True)
class SigningKey:
    """A signing key, checked and hashed as the API wants it (PROTOCOL.md §1.2)."""

    bearer: Secret
    is_branch: bool
    text: Secret
    """The key itself. It is never sent; it is here so that it is known as a secret."""

    @classmethod
    def parse(cls, text: str, name: str = "signing_key") -> "SigningKey":
        """Raises: ConfigurationError: not hexadecimal behind its prefix; the message holds nothing of the key."""
        prefix = _PREFIX.match(text)
        digits = text[prefix.end() :] if prefix else text
        try:
            raw = bytes.fromhex(digits)
        except ValueError:
            raw = b""
        if not raw:
            odd = f", and it has an odd number of digits ({len(digits)})" if _ODD.fullmatch(digits) else ""
            raise ConfigurationError(
                f"{name} is not a signing key: behind an optional `signkey-<env>-` it has to be hexadecimal{odd}; "
                "copy it again from the Inngest dashboard"
            ) from None
        hashed = hashlib.sha256(raw).hexdigest()
        return cls(
            bearer=Secret((prefix.group() if prefix else "") + hashed),
            is_branch=text.startswith("signkey-branch-"),
            text=Secret(text),
        )


class Keyring:
    """The signing key in use, and another to use when it is refused."""

    def __init__(self, primary: SigningKey | None, fallback: SigningKey | None = None) -> None:
        self._keys = [key for key in (primary, fallback) if key is not None]
        self._refused = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def bearer(self) -> Secret | None:
        """What follows `Bearer ` in the Authorization header; None: send no such header (dev server)."""
        return self._keys[0].bearer if self._keys else None

    @property
    def exhausted(self) -> bool:
        """Every key has been refused since one was last accepted."""
        return self._refused >= max(1, len(self._keys))

    def apart(self) -> list["Keyring"]:
        """A keyring for each key, the one in use first."""
        return [Keyring(key) for key in self._keys]

    def refused(self, bearer: Secret | None) -> None:
        """*bearer* was answered with 401: use the other key, unless that is in use already."""
        if bearer == self.bearer:
            self._refused += 1
            self._keys = self._keys[1:] + self._keys[:1]

    def accepted(self) -> None:
        """The key in use was accepted."""
        self._refused = 0

    def another_round(self) -> None:
        """Try every key again."""
        self._refused = 0
