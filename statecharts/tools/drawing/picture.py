"""DOT text as an SVG picture, by Graphviz.

A picture is not the same bytes with another Graphviz or other fonts, so it carries a hash of the text that it was drawn from.
"""

import hashlib
import shutil
import subprocess

from statecharts.tools.load import UnusableError

_NO_GRAPHVIZ = (
    "the program `dot` is missing, so no SVG can be drawn: apt-get install graphviz fonts-dejavu-core (Debian), "
    "brew install graphviz (macOS), choco install graphviz (Windows)"
)


def svg(text: str) -> str:
    """The picture of *text*, a DOT file. Raises: UnusableError: Graphviz is missing, or does not take the text."""
    program = shutil.which("dot")
    if program is None:
        raise UnusableError(_NO_GRAPHVIZ)
    result = subprocess.run([program, "-Tsvg"], input=text, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    if result.returncode:
        raise UnusableError(f"dot drew no picture: {' '.join(result.stderr.split())}")
    head, mark, body = result.stdout.partition("<svg")
    return f"{head}<!-- {stamp(text)} -->\n{mark}{body}"


def stamp(text: str) -> str:
    """What the picture of *text* carries."""
    return f"drawn from DOT text with SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"
