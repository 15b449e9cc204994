"""Secrets cannot be shown by accident; signing keys are read, hashed and turned to in order."""

import copy
import hashlib
import pickle

import pytest

from connect.errors import ConfigurationError
from connect.secrets import Keyring, Secret, SigningKey, without_passwords

KEY = "ab" * 32


def hashed(digits: str) -> str:
    return hashlib.sha256(bytes.fromhex(digits)).hexdigest()


# -- secrets ---------------------------------------------------------------------------------------------------------------------


def test_a_secret_cannot_be_printed_or_pickled() -> None:
    secret = Secret("hush")
    assert "hush" not in f"{secret} {secret!r} {[secret]} {secret:}"
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(secret)
    with pytest.raises(TypeError, match="does not leave its process"):
        copy.copy(secret)


def test_a_secret_is_known_by_its_text_alone() -> None:
    assert Secret("hush").reveal() == "hush"
    assert Secret("hush") == Secret("hush")
    assert Secret("hush") != Secret("other")
    assert Secret("hush") != "hush"
    assert len({Secret("hush"), Secret("hush"), Secret("other")}) == 2
    assert (bool(Secret("")), bool(Secret("hush"))) == (False, True)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:word@proxy:3128/x", "http://***@proxy:3128/x"),
        ("cannot reach ws://me@host or http://a:b@c", "cannot reach ws://***@host or http://***@c"),
        ("http://me:p@word@proxy:3128", "http://***@proxy:3128"),
        ("http://host/path@here", "http://host/path@here"),
        ("me@host", "me@host"),
        ("", ""),
    ],
)
def test_what_stands_before_the_host_of_an_address_is_blackened(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


# -- signing keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bearer", "is_branch"),
    [
        (KEY, hashed(KEY), False),
        (f"signkey-prod-{KEY}", f"signkey-prod-{hashed(KEY)}", False),
        (f"signkey-branch-{KEY}", f"signkey-branch-{hashed(KEY)}", True),
        (f"signkey-my_env1-{KEY}", f"signkey-my_env1-{hashed(KEY)}", False),
        (f"signkey-test-{KEY.upper()}", f"signkey-test-{hashed(KEY)}", False),
        ("ab", hashed("ab"), False),
    ],
)
def test_a_key_is_sent_as_its_hash_behind_its_prefix(text: str, bearer: str, is_branch: bool) -> None:
    """PROTOCOL.md §1.2: the bytes that the digits stand for are hashed."""
    key = SigningKey.parse(text)
    assert (key.bearer.reveal(), key.is_branch) == (bearer, is_branch)
    assert bearer not in repr(key)
    assert text not in repr(key)


@pytest.mark.parametrize(
    ("text", "odd"),
    [
        ("", False),
        ("signkey-prod-", False),
        ("signkey-prod-nothexatall", False),
        ("signkey-prod-" + "a" * 31, True),
        (KEY[:-1], True),
        (f"signkey--{KEY}", False),
        (f"key-{KEY}", False),
        ("ключ", False),
    ],
)
def test_what_is_no_key_is_refused_without_showing_it(text: str, odd: bool) -> None:
    with pytest.raises(ConfigurationError, match=r"^the_name is not a signing key: .* copy it again from") as caught:
        SigningKey.parse(text, "the_name")
    assert ("an odd number of digits" in str(caught.value)) is odd
    digits = text.rpartition("-")[2]
    assert not digits or digits not in str(caught.value)
    assert caught.value.__suppress_context__


# -- the ring --------------------------------------------------------------------------------------------------------------------


def ring(*digits: str) -> Keyring:
    return Keyring(*map(SigningKey.parse, digits)) if digits else Keyring(None)


def in_use(keyring: Keyring) -> str:
    """The digits of the key in use, which are two of a kind here."""
    assert keyring.bearer
    return next(digits for digits in ("aa", "bb") if hashed(digits) == keyring.bearer.reveal())


def test_without_a_key_no_header_is_sent() -> None:
    keyring = ring()
    assert (len(keyring), keyring.bearer, keyring.exhausted) == (0, None, False)
    keyring.refused(None)
    assert (keyring.bearer, keyring.exhausted) == (None, True)


def test_a_missing_first_key_gives_way_to_the_fallback() -> None:
    assert in_use(Keyring(None, SigningKey.parse("bb"))) == "bb"


def test_a_refused_key_gives_way_to_the_other_and_back() -> None:
    keyring = ring("aa", "bb")
    assert (in_use(keyring), keyring.exhausted) == ("aa", False)
    keyring.refused(keyring.bearer)
    assert (in_use(keyring), keyring.exhausted) == ("bb", False)
    keyring.refused(keyring.bearer)
    assert (in_use(keyring), keyring.exhausted) == ("aa", True)


def test_a_refusal_of_a_key_that_is_not_in_use_any_more_changes_nothing() -> None:
    """Two requests with the same key were refused: the ring turns once."""
    keyring = ring("aa", "bb")
    first = keyring.bearer
    keyring.refused(first)
    keyring.refused(first)
    assert (in_use(keyring), keyring.exhausted) == ("bb", False)


@pytest.mark.parametrize("mend", [Keyring.accepted, Keyring.another_round])
def test_an_accepted_key_or_another_round_makes_every_key_worth_trying(mend: object) -> None:
    """The key in use stays the one in use."""
    keyring = ring("aa", "bb")
    for _ in range(3):
        keyring.refused(keyring.bearer)
    assert keyring.exhausted
    mend(keyring)  # type: ignore[operator]
    assert (in_use(keyring), keyring.exhausted) == ("bb", False)


def test_a_single_key_is_exhausted_by_one_refusal() -> None:
    keyring = ring("aa")
    keyring.refused(keyring.bearer)
    assert (in_use(keyring), keyring.exhausted) == ("aa", True)


def test_a_ring_can_be_taken_apart_the_key_in_use_first() -> None:
    keyring = ring("aa", "bb")
    keyring.refused(keyring.bearer)
    assert [(in_use(each), len(each)) for each in keyring.apart()] == [("bb", 1), ("aa", 1)]
    assert ring().apart() == []
