"""Deadlines: how long the peer, or a process of the worker, may keep the worker waiting."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the peer, or a process of ours, may keep us waiting, in seconds."""

    start: float = 10.0
    """For the answer to a start request, and for one flush."""
    socket: float = 10.0
    """For the WebSocket to open."""
    hello: float = 10.0
    """From the open socket to GATEWAY_HELLO."""
    ready: float = 30.0
    """From WORKER_CONNECT to GATEWAY_CONNECTION_READY; doubled after each miss, up to `ready_max`: it may be syncing."""
    ready_max: float = 300.0
    reply_ack: float = 5.0
    """From a reply to its REPLY_ACK; then it is flushed too."""
    settle: float = 5.0
    """For a retired link to be told what it still waits for."""
    remember: float = 120.0
    """For a request to come again after its reply was delivered: until then it is answered from memory, not run again."""
    pause: float = 0.05
    """From the last ACK to WORKER_PAUSE, which can overtake it (PROTOCOL.md §5)."""
    process_start: float = 60.0
    """For a process of `isolation="process"` to import the apps."""
    process_end: float = 5.0
    """For such a process to end once it is told to; then it gets SIGTERM, and after as long again SIGKILL."""
