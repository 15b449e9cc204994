"""Two apps over one connection, in a program of your own. Run it: `python several_apps.py`, with INNGEST_DEV set."""

import asyncio
import logging

import inngest

from connect import connect

sales = inngest.Inngest(app_id="sales")
support = inngest.Inngest(app_id="support")


@sales.create_function(fn_id="invoice", trigger=inngest.TriggerEvent(event="order/placed"))
async def invoice(ctx: inngest.Context) -> str:
    return f"invoice for {ctx.event.data['order']}"


@support.create_function(fn_id="thank", trigger=inngest.TriggerEvent(event="order/placed"))
async def thank(ctx: inngest.Context) -> str:
    return f"thanks for {ctx.event.data['order']}"


async def main() -> None:
    await connect([(sales, [invoice]), (support, [thank])]).start()  # until SIGTERM or Ctrl-C


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
