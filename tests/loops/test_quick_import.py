"""The import of this package does not look for garbage, and leaves the collector as it was."""

import gc
import subprocess
import sys

import pytest

from connect.loops.quick_import import quickly

SEARCHES = """
import gc, inngest
before = [each["collections"] for each in gc.get_stats()]
from connect import connect
after = [each["collections"] for each in gc.get_stats()]
young = [id(each) for generation in (0, 1) for each in gc.get_objects(generation)]
import connect.worker
print(sum(after) - sum(before), id(vars(connect.worker)) not in young, gc.isenabled())
"""


FROZEN = """
import gc
from connect.loops.quick_import import has_frozen, quickly
own = gc.get_freeze_count()
quickly("wave")
print(gc.get_freeze_count() <= own, has_frozen())
gc.freeze()
quickly("colorsys")
print(has_frozen())
"""


def printed(code: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return ran.stdout.split()


def test_from_connect_import_connect_searches_nothing() -> None:
    searches, is_old, is_enabled = printed(SEARCHES)
    assert int(searches) <= 2  # once it is over
    assert (is_old, is_enabled) == ("True", "True")


@pytest.mark.parametrize("searches", [True, False])
def test_the_collector_is_on_or_off_as_before(searches: bool) -> None:
    """Also where the import raises."""
    if not searches:
        gc.disable()
    try:
        assert quickly("colorsys").rgb_to_hsv
        with pytest.raises(ModuleNotFoundError, match="No module named 'nothing_of_that_name'"):
            quickly("nothing_of_that_name")
        assert gc.isenabled() is searches
    finally:
        gc.enable()


def test_nothing_is_left_frozen_and_what_is_frozen_stays_so() -> None:
    assert printed(FROZEN) == ["True", "False", "True"]
