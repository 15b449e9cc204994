"""The functions of the example image: replace them by your own."""

import datetime

import inngest

client = inngest.Inngest(app_id="shop")


@client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="shop/greet"))
async def greet(ctx: inngest.Context) -> str:
    """Greet after one second."""
    await ctx.step.sleep("a-moment", datetime.timedelta(seconds=1))
    return f"Hello, {ctx.event.data.get('name', 'world')}"


apps = [(client, [greet])]
