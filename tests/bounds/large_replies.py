"""A worker process whose functions are all held until the file GO appears and then return SIZE characters at once:
`python large_replies.py ISOLATION LIMIT SIZE GO`. It prints a line for each reply that is kept or lost.

The garbage collector is off: nothing here may depend on it.
"""

import asyncio
import gc
import os
import sys
from typing import Any

import inngest
import tenacity

from connect import WorkerConnection, connect, events

ISOLATION, LIMIT, SIZE, GO = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]


async def work() -> None:
    client = inngest.Inngest(app_id="app", is_production=False, api_base_url=os.environ["INNGEST_DEV"])

    @client.create_function(fn_id="large", trigger=inngest.TriggerEvent(event="large"), retries=0)
    async def large(ctx: inngest.Context) -> str:
        while not os.path.exists(GO):  # noqa: ASYNC240, ASYNC110 - the test makes the file, in another process
            await asyncio.sleep(0.05)
        return "x" * SIZE

    patient: Any = tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.2))
    worker: WorkerConnection = connect([(client, [large])], isolation=ISOLATION, outbox_limit=LIMIT, retry=patient)
    worker.on(events.ReplyLost, lambda _: sys.stdout.write("lost\n"))
    worker.on(events.ReplyBuffered, lambda _: sys.stdout.write("kept\n"))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    gc.disable()
    await worker.start()


asyncio.run(work())
