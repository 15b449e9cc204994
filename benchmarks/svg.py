"""Line charts as SVG, made with the standard library alone. Each has a background of its own, for light and for dark pages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 285, 68, 54
GAP: Final = 17
"""Pixels from one label to the next."""

# For light and for dark pages; colour-blind readers can tell them apart.
_COLOURS: Final = (
    ("#6b7280", "#9ca3af"),
    ("#0072b2", "#56b4e9"),
    ("#c2410c", "#fb923c"),
    ("#047857", "#34d399"),
    ("#9d174d", "#f472b6"),
    ("#7c5c00", "#f0e442"),
)


@dataclass(frozen=True)
class Series:
    """A line: its name, and its points in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axes:
    """Turns figures into pixels. Both axes begin at zero, except a logarithmic x axis."""

    x_range: tuple[float, float]
    y_top: float
    log_x: bool

    def x(self, value: float) -> float:
        low, high = self.x_range
        if self.log_x:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return LEFT + (value - low) / ((high - low) or 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.y_top * (HEIGHT - TOP - BOTTOM)


def chart(title: str, x_name: str, y_name: str, series: Sequence[Series], *, log_x: bool = False) -> str:
    """The SVG document. With *log_x*, only the x values that occur are marked."""
    xs = sorted({x for each in series for x, _ in each.points})
    step = nice_step(max(y for each in series for _, y in each.points))
    top = step * math.ceil(max(y for each in series for _, y in each.points) / step)
    axes = Axes((xs[0] if log_x else 0.0, xs[-1]), top or 1.0, log_x)
    x_step = nice_step(xs[-1])
    x_marks = xs if log_x else [x_step * number for number in range(int(xs[-1] / x_step) + 1)]
    y_marks = [step * number for number in range(round(axes.y_top / step) + 1)]
    parts = [
        _head(title, len(series)),
        *(_text(title, LEFT, 28, "title"), _text(y_name, LEFT, TOP - 18, "name")),
        _text(x_name, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "name middle"),
        *(_level(axes, mark) for mark in y_marks),
        *(_text(_short(mark), axes.x(mark), HEIGHT - BOTTOM + 20, "middle") for mark in x_marks),
        *(_line(axes, number, each) for number, each in enumerate(series)),
        *_labels(axes, series),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def nice_step(top: float) -> float:
    """The step between marks: 1, 2 or 5 times a power of ten, so that four to ten steps reach *top*."""
    if top <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(top / 4))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= top / 4)


def _head(title: str, count: int) -> str:
    def colours(shade: int) -> str:
        pairs = [_COLOURS[number % len(_COLOURS)][shade] for number in range(count)]
        return "".join(
            f".s{number}{{stroke:{colour}}}.t{number}{{fill:{colour}}}" for number, colour in enumerate(pairs)
        )

    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">
<style>
text{{font:12.5px system-ui,sans-serif;fill:#24292f}}
.title{{font-size:15px;font-weight:600}} .name{{fill:#57606a}} .middle{{text-anchor:middle}} .end{{text-anchor:end}}
.ground{{fill:#fff}} .grid{{stroke:#d8dee4}} .line{{fill:none;stroke-width:2}} .dot{{stroke:none}}
{colours(0)}
@media (prefers-color-scheme:dark){{
text{{fill:#e6edf3}} .name{{fill:#9198a1}} .ground{{fill:#0d1117}} .grid{{stroke:#30363d}}
{colours(1)}
}}
</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>"""


def _text(text: str, x: float, y: float, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _level(axes: Axes, value: float) -> str:
    y = axes.y(value)
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(_short(value), LEFT - 8, y + 4, "end")


def _line(axes: Axes, number: int, series: Series) -> str:
    places = [(axes.x(x), axes.y(y)) for x, y in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle class="dot t{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    return f'<polyline class="line s{number}" points="{path}"/>' + (dots if len(places) < 20 else "")


def _labels(axes: Axes, series: Sequence[Series]) -> list[str]:
    """The name of each line at its end, moved down if it would overlap another, or up if it would leave the picture."""
    ends = sorted((axes.y(each.points[-1][1]), number) for number, each in enumerate(series))
    labels, last = [], -math.inf
    for place, (y, number) in enumerate(ends):
        last = min(max(y, last + GAP), HEIGHT - GAP * (len(ends) - place))
        labels.append(_text(series[number].name, WIDTH - RIGHT + 10, last + 4, f"t{number}"))
    return labels


def _short(value: float) -> str:
    """7000 as 7k."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
