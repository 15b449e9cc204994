"""One function of two steps. Run it: `python -m connect run hello:apps`, with INNGEST_DEV set."""

import inngest

client = inngest.Inngest(app_id="hello")


@client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="guest/arrived"))
async def greet(ctx: inngest.Context) -> str:
    async def look_up() -> str:
        return str(ctx.event.data["name"]).title()

    async def say(greeting: str) -> str:
        return f"{greeting}!"

    name = await ctx.step.run("look up", look_up)
    return await ctx.step.run("say", say, f"Hello, {name}")


apps = [(client, [greet])]
