"""Deadlines: how long the worker waits for the API, the gateway and its own processes."""

from dataclasses import dataclass
from typing import Final

ENDING_SECONDS: Final = 5.0
"""How long a process waits, at its end, for what user code has left running: threads, processes, exit handlers."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the worker waits for the API, the gateway and its own processes, in seconds."""

    start: float = 10.0
    """For the answer to a start request, or to a flush."""
    socket: float = 10.0
    """For the WebSocket to open."""
    hello: float = 10.0
    """From the open WebSocket to GATEWAY_HELLO."""
    ready: float = 30.0
    """From WORKER_CONNECT to GATEWAY_CONNECTION_READY. Doubled after each miss, up to `ready_max`: the server may be syncing."""
    ready_max: float = 300.0
    reply_ack: float = 5.0
    """From WORKER_REPLY to its WORKER_REPLY_ACK; then the reply is flushed over HTTP too."""
    settle: float = 5.0
    """For a link that was replaced to receive the ACKs that it still waits for; then it is closed."""
    remember: float = 120.0
    """How long a delivered reply is kept: if its request comes again, the worker sends that reply and does not run it again."""
    pause: float = 0.05
    """From the last WORKER_REQUEST_ACK to WORKER_PAUSE: sent at once, the gateway may read it first (PROTOCOL.md §5)."""
    process_start: float = 60.0
    """For a process of `isolation="process"` to start and import the apps."""
    process_end: float = 5.0
    """For such a process to exit once it is told to; then it gets SIGTERM, and after as long again SIGKILL."""
