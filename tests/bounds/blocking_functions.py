"""Functions that block the thread that they run on, or the event loop; and one whose result is huge."""

import threading

import inngest

client = inngest.Inngest(app_id="app", is_production=False)
go = threading.Event()


@client.create_function(fn_id="thread", retries=0, trigger=inngest.TriggerEvent(event="thread"))
def block_a_thread(ctx: inngest.Context) -> None:
    go.wait(30)


@client.create_function(fn_id="loop", retries=0, trigger=inngest.TriggerEvent(event="loop"))
async def block_the_loop(ctx: inngest.Context) -> None:
    go.wait(30)


@client.create_function(fn_id="huge", retries=0, trigger=inngest.TriggerEvent(event="huge"))
async def return_a_huge_result(ctx: inngest.Context) -> str:
    return "x" * 30_000_000


apps = [(client, [block_a_thread, block_the_loop, return_a_huge_result])]
