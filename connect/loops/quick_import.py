"""Imports modules of this package without a search for garbage meanwhile: their objects stay, and to walk them takes 25 ms."""

import gc
import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:  # as in `connect/__init__.py`
    from types import ModuleType

_OWN = 1000
"""Python 3.12 keeps nearly 400 objects of its own frozen. A program that freezes has thousands."""


def has_frozen() -> bool:
    """Whether the program has kept objects from the garbage collector, with `gc.freeze()`."""
    return gc.get_freeze_count() > _OWN


def quickly(name: str) -> "ModuleType":
    """The module *name*. What it makes belongs to the oldest generation from the start, as it would after some searches.

    So does what else is young then: it waits for the next search through everything. Where something is frozen nothing is moved,
    for that would thaw it. Raises: what the import raises.
    """
    searches = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        if not has_frozen():
            gc.freeze()
            gc.unfreeze()  # into the oldest generation
        if searches:
            gc.enable()
