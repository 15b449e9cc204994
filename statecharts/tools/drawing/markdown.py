"""Rows of a Markdown table."""

import re


def row(*cells: str) -> str:
    """A row; what a cell says can neither end it nor begin a tag."""
    return f"| {' | '.join(re.sub(_UNSAFE, _ESCAPED, cell) for cell in cells)} |"


def rule(columns: int) -> str:
    """The line under a table's head."""
    return "|---" * columns + "|"


_UNSAFE, _ESCAPED = r"(\||<(?=[A-Za-z/!?]))", r"\\\1"
