"""The TEST gateway: the server's end of the protocol, for tests, demos and the lab. The worker never imports it.

It listens on a loopback port in the test's own process. It answers `POST /v0/connect/start`, the WebSocket and
`POST /v0/connect/flush` as the server does, runs functions step by step, and misbehaves on demand:

    async with Gateway(heartbeat_interval="50ms", extend_lease_interval="50ms") as gw:
        conn = connect([(Inngest(app_id="app", api_base_url=gw.url, is_production=False), [fn])])
        ...
        await gw.wait_for_worker()
        run = await gw.invoke("app-fn", {"x": 1})
        assert run.status == "completed" and run.output == 2

        gw.faults.lose(Kind.WORKER_REPLY_ACK)       # lose the next frame of a kind, or all of them
        gw.flushes.push(500, 401)                   # answer the next HTTP requests with these statuses
        gw.starts.hold()                            # answer none, until release()
        gw.connections[0].drop()                    # cut one socket
        await gw.drain()                            # drain the whole gateway
        await gw.wait_for(Kind.WORKER_PAUSE)        # a frame of this kind: one in the log, or the next
        assert not gw.ledger.lost                   # the outcome of each request

`in_thread(Gateway(...))` does the same for code that is not asynchronous; `connect.testing` has pytest fixtures.
"""

from connect.gateway.faults import GARBAGE, HANG, Answer, Faults, Script
from connect.gateway.ledger import Ledger, Request
from connect.gateway.log import UNREADABLE, Call, Ended, Frame, Kind, Log, Opened, Record, Retry, Unheard
from connect.gateway.run import Function, Run, Step
from connect.gateway.server import Gateway
from connect.gateway.settings import Settings
from connect.gateway.thread import ThreadedGateway, in_thread
from connect.gateway.worker_socket import Connection, Phase

__all__ = [
    "GARBAGE",
    "HANG",
    "UNREADABLE",
    "Answer",
    "Call",
    "Connection",
    "Ended",
    "Faults",
    "Frame",
    "Function",
    "Gateway",
    "Kind",
    "Ledger",
    "Log",
    "Opened",
    "Phase",
    "Record",
    "Request",
    "Retry",
    "Run",
    "Script",
    "Settings",
    "Step",
    "ThreadedGateway",
    "Unheard",
    "in_thread",
]
