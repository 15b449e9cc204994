"""Rows of a Markdown table."""


def row(*cells: str) -> str:
    """A row; what a cell says cannot end it."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def rule(columns: int) -> str:
    """The line under a table's head."""
    return "|---" * columns + "|"
