"""What a picture may say of single states and transitions: by a sign, and by a colour that says no more than the sign."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from statecharts.model import EdgeModel, StateModel


@dataclass(frozen=True, slots=True)
class Mark:
    """*sign* stands before the wording; *ink* colours text and line, *fill* a state's box. *dashed*: the line of what is gone."""

    sign: str
    ink: str
    fill: str
    meaning: str
    dashed: bool = False


Marks: TypeAlias = Mapping[StateModel | EdgeModel, Mark]

ADDED = Mark("+", "#116329", "#dafbe1", "added")
REMOVED = Mark("-", "#a40e26", "#ffebe9", "removed", dashed=True)
CHANGED = Mark("±", "#7d4e00", "#fff8c5", "changed")
TAKEN = Mark("✓", "#116329", "#dafbe1", "taken")
NEVER = Mark("✗", "#a40e26", "#ffebe9", "never taken")
HALF = Mark("◐", "#7d4e00", "#fff8c5", "taken, its guard seen one way only")
PASSED = Mark("▸", "#0550ae", "#ddf4ff", "on the path")
