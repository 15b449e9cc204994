"""A worker with HTTP probes of its own, `/ready` and `/status`. Run it: `python status_probe.py [PORT]`, with INNGEST_DEV set."""

import asyncio
import dataclasses
import json
import sys

import hello
from aiohttp import web

from connect import connect
from connect.events import StateChanged


async def main(port: int) -> None:
    worker = connect(hello.apps)
    worker.on(StateChanged, lambda event: print(event.to_state, flush=True))

    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=200 if worker.is_ready else 503)

    async def status(_: web.Request) -> web.Response:
        return web.json_response(dataclasses.asdict(worker.status()), dumps=lambda it: json.dumps(it, default=str))

    app = web.Application()
    app.add_routes([web.get("/ready", ready), web.get("/status", status)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    print(f"probes on port {runner.addresses[0][1]}", flush=True)
    await worker.start()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8080))
