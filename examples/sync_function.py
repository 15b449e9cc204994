"""A function that is not async: it runs on a thread, and may block. Run it: `python -m connect run sync_function:apps`."""

import time
from typing import cast

import inngest

client = inngest.Inngest(app_id="sync")


@client.create_function(fn_id="crunch", trigger=inngest.TriggerEvent(event="numbers/came"))
def crunch(ctx: inngest.ContextSync) -> int:
    def add_up() -> int:
        time.sleep(0.2)  # meanwhile the worker sends heartbeats and extends leases
        return sum(cast(list[int], ctx.event.data["numbers"]))

    return ctx.step.run("add up", add_up)


apps = [(client, [crunch])]
