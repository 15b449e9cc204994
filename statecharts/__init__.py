"""The declared lifecycle of the worker: three charts, and what binds them to the code that acts.

`connection`, `link` and `request` are declarations: they import `statemachine` and `typing`, nothing that does I/O.
`binding` runs a chart against its actor, `compiler` turns a flat one into a table and runs that, `runner` is what both promise,
`model` reads any chart as plain data, and `library` says what of python-statemachine that takes.
"""

from statecharts import library as library  # first: it says what an older release lacks
from statecharts.binding import Bound
from statecharts.compiler import Compiled, Stepper, compile_chart
from statecharts.connection import Connection, ConnectionActions
from statecharts.link import Link, LinkActions
from statecharts.request import Request, RequestActions
from statecharts.runner import Move, Report, Runner, Unexpected

CHARTS = (Connection, Link, Request)

__all__ = [
    "CHARTS",
    "Bound",
    "Compiled",
    "Connection",
    "ConnectionActions",
    "Link",
    "LinkActions",
    "Move",
    "Report",
    "Request",
    "RequestActions",
    "Runner",
    "Stepper",
    "Unexpected",
    "compile_chart",
]
