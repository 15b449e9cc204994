"""A fresh ULID holds its time; texts that are no ULID are told apart."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect.wire import ulid


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", 1469922850.259),
        ("01arz3ndektsv4rrffq69g5fav", 1469922850.259),
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", 281474976710.655),
        ("00000000000000000000000000", 0.0),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA", None),
        ("O1ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("+1ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("0_ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("٣1ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("", None),
    ],
)
def test_a_ulid_says_its_time(text: str, at: float | None) -> None:
    """Upper and lower case mean the same. A text that is no ULID has no time."""
    assert ulid.timestamp(text) == at


@given(st.floats(0, 2**48 / 1000 - 1))
def test_a_fresh_one_says_the_time_that_it_was_made_for(at: float) -> None:
    made = ulid.new(at)
    assert ulid.is_ulid(made)
    assert ulid.timestamp(made) == pytest.approx(at, abs=0.002)


def test_a_fresh_one_is_made_for_now_and_is_like_no_other() -> None:
    made = [ulid.new() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(ulid.timestamp(each) == pytest.approx(time.time(), abs=60) for each in made)


@given(st.floats(0, 1e9), st.floats(1, 1e9))
def test_later_ones_come_later_in_the_alphabet(at: float, later: float) -> None:
    """So of two leases of one request the newer is the greater."""
    assert ulid.new(at) < ulid.new(at + later)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", True),
        ("01arz3ndektsv4rrffq69g5fav", True),
        ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", True),
        ("8ZZZZZZZZZZZZZZZZZZZZZZZZZ", False),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAU", False),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAL", False),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA!", False),
        ("01ARZ3NDEKTSV4RRFFQ69G5FA", False),
        ("", False),
    ],
)
def test_a_ulid_is_26_letters_of_its_alphabet_and_no_more_than_128_bits(text: str, is_one: bool) -> None:
    assert ulid.is_ulid(text) is is_one


@given(st.text(max_size=30))
def test_no_text_does_any_harm(text: str) -> None:
    assert ulid.is_ulid(text) in (True, False)
    ulid.timestamp(text)
