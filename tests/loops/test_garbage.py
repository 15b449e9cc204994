"""While a worker runs, the garbage collector does not walk through what was there at its start; afterwards it does again."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from connect.loops.garbage import start_left_out


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


class Node:
    other: "Node"


def test_what_is_there_is_frozen_as_long_as_one_of_several_runs() -> None:
    with start_left_out():
        frozen = gc.get_freeze_count()
        assert frozen > 1000
        with start_left_out():
            assert gc.get_freeze_count() == frozen, "the second freezes nothing more"
        assert gc.get_freeze_count() == frozen, "the first still runs"
    assert gc.get_freeze_count() == 0


def test_garbage_that_is_made_meanwhile_is_collected() -> None:
    with start_left_out():
        one, other = Node(), Node()
        one.other, other.other = other, one
        left = weakref.ref(one)
        del one, other
        gc.collect()
        assert left() is None


def test_garbage_of_before_is_collected_afterwards() -> None:
    one, other = Node(), Node()
    one.other, other.other = other, one
    left = weakref.ref(one)
    with start_left_out():
        del one, other
        gc.collect()
        assert left() is not None, "this is the price"
    gc.collect()
    assert left() is None


def test_what_the_program_has_frozen_stays_frozen() -> None:
    gc.freeze()
    frozen = gc.get_freeze_count()
    assert frozen > 1000
    with start_left_out():
        pass
    assert frozen - 100 < gc.get_freeze_count() <= frozen
