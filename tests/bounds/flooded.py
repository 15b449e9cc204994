"""The worker of `hostile.worker`: `python flooded.py URL OPTIONS`, the options as a literal dictionary.

Its entry `unfinished` is no option: it stands for `connect.requests.UNFINISHED_BYTES`.
"""

import ast
import asyncio
import sys

import inngest
import tenacity

from connect import backoff, connect, log_format, requests

client = inngest.Inngest(app_id="app", api_base_url="http://127.0.0.1:1", is_production=False)


@client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="echo"), retries=0)
async def echo(ctx: inngest.Context) -> int:
    """Ends at once."""
    return 1


@client.create_function(fn_id="wait", trigger=inngest.TriggerEvent(event="wait"), retries=0)
async def wait(ctx: inngest.Context) -> None:
    """Ends when it is cancelled."""
    await asyncio.sleep(3600)


APPS = [(client, [echo, wait])]


async def main() -> None:
    backoff.AT_ONCE_MOST = 1000  # type: ignore[misc] # a test of many lost links does not wait between them
    log_format.to_stderr("INFO", "text")
    options = {"retry": tenacity.AsyncRetrying(wait=tenacity.wait_fixed(0.02)), **ast.literal_eval(sys.argv[2])}
    requests.UNFINISHED_BYTES = options.pop("unfinished", requests.UNFINISHED_BYTES)  # type: ignore[misc, assignment]
    apps = "flooded:APPS" if options.get("isolation") == "process" else APPS
    await connect(apps, api_base_url=sys.argv[1], **options).start()


if __name__ == "__main__":
    asyncio.run(main())
