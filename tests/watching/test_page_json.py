"""A browser can read what a page is sent, whatever it is made of, and it is of limited size."""

import enum
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect.watching.page_json import SHOWN, cut, page_json


class Colour(enum.Enum):
    RED = "red"

    def __str__(self) -> str:
        return self.value


class Broken:
    def __str__(self) -> str:
        raise ZeroDivisionError


def nested(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels):
        made = [made]
    return made


def read(text: str) -> Any:
    """*text*, as a browser reads it."""
    assert text.isascii()
    return json.loads(text, parse_constant=pytest.fail)


ODD = {
    "nan": (float("nan"), "NaN"),
    "infinity": ([float("inf"), -float("inf")], ["Infinity", "-Infinity"]),
    "a long integer": (10**5000, "an integer of 16610 bits"),
    "an object": (Broken(), "an object of Broken"),
    "an enumeration": (Colour.RED, "red"),
    "bytes": (b"x", "b'x'"),
    "keys": ({1: 2, None: 3}, {"1": 2, "null": 3}),
    "odd keys": ({(1, 2): 3, Broken(): 4}, {"(1, 2)": 3, "an object of Broken": 4}),
    "surrogates": ("\ud800 \u2028", "\ud800 \u2028"),
    "a tuple": ((1, "a"), [1, "a"]),
}


@pytest.mark.parametrize("name", ODD)
def test_what_json_cannot_say_is_said_in_words(name: str) -> None:
    value, shown = ODD[name]
    assert read(page_json(value)) == shown


def test_what_json_can_say_is_left_as_it_is() -> None:
    """Also the largest numbers of a status."""
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": 2**70}, "long": "x" * 100_000, "deep": nested(100)}
    assert read(page_json(value)) == value


@pytest.mark.parametrize("levels", [100, 2_000, 100_000])
@pytest.mark.parametrize("make", [page_json, lambda value: page_json(cut(value))])
def test_what_is_nested_deep_is_readable(make: Any, levels: int) -> None:
    assert read(make({"value": nested(levels)}))["value"]


def test_what_contains_itself_ends() -> None:
    ring: dict[str, Any] = {}
    ring["ring"] = ring
    assert read(page_json(ring))["ring"]
    assert read(page_json(cut(ring)))["ring"]


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        ["x"] * 1_000_000,
        {str(n): n for n in range(100_000)},
        [["x" * 100] * 100] * 100,
        [[[]]] * 9_999,
    ],
    ids=["text", "list", "object", "lists", "empty"],
)
def test_a_large_value_is_cut(value: Any) -> None:
    shown = page_json(cut(value))
    assert "\\u2026" in shown
    assert len(shown) < 5 * SHOWN


def test_a_small_value_is_not_cut() -> None:
    value = {"name": "Ada", "list": [1, None, 2.5], "none": {}}
    assert cut(value) == value


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.floats(), inner),
)


@given(ANYTHING, st.integers(1, 100))
@settings(max_examples=200, deadline=None)
def test_anything_is_readable(value: Any, most: int) -> None:
    read(page_json(value))
    assert len(page_json(cut(value, most))) < 20 * (most + 30)
