"""The command's name as the user typed it, for messages, hints and help."""

import sys

MODULE = "python -m connect"
SCRIPT = "statechart-connect"


def typed() -> str:
    """`MODULE`, if that runs; else `SCRIPT`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return MODULE if spec and spec.name == "connect.__main__" else SCRIPT
