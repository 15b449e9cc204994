"""Functions in processes have their spans, and their lines in a log for machines."""

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from connect.gateway import Gateway

PATH = os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[1])))
MODULE = """
import logging
import inngest

client = inngest.Inngest(app_id="app", is_production=False)


@client.create_function(fn_id="talk", trigger=inngest.TriggerEvent(event="talk"))
async def talk(ctx):
    logging.getLogger("mine").warning("said so")
    return "done"


apps = [(client, [talk])]
"""


async def test_spans_and_lines_come_from_the_process_that_ran_it(
    gw: Gateway, start_process: Any, tmp_path: Path
) -> None:
    """The span goes to the address in the environment and is in the user's trace. The line names the process."""
    (tmp_path / "talking.py").write_text(MODULE)
    came: asyncio.Queue[ExportTraceServiceRequest] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        came.put_nowait(ExportTraceServiceRequest.FromString(plain))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    gw.user_trace_ctx = b'{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'
    command = start_process(
        *(
            "-m",
            "connect",
            "run",
            "talking:apps",
            "--api-base-url",
            gw.url,
            "--isolation",
            "process",
            "--processes",
            "1",
        ),
        *("--traces", "--log-format", "json"),
        PYTHONPATH=PATH,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{runner.addresses[0][1]}",
        OTEL_BSP_SCHEDULE_DELAY="50",
    )
    await gw.wait_for_worker(timeout=60)
    run = await gw.invoke("app-talk")
    assert run.output == "done"
    names: dict[str, str] = {}
    async with asyncio.timeout(30):
        while "execute app-talk" not in names:
            for one in (await came.get()).resource_spans:
                for two in one.scope_spans:
                    names |= {span.name: span.trace_id.hex() for span in two.spans}
    assert names["execute app-talk"] == "0af7651916cd43dd8448eb211c80319c"
    line = json.loads(await asyncio.to_thread(command.expect, "said so"))
    assert (line["process"], line["logger"], line["level"]) == ("connect-1", "mine", "warning")
    command.signal()
    assert await asyncio.to_thread(command.ends) == 0
    await runner.cleanup()
