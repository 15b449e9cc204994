"""While a worker runs, full garbage collections are short: they leave out what was there at its start."""

import gc
from typing import Any


async def test_what_is_there_at_the_start_is_frozen_until_the_worker_ends(start: Any, apps: Any) -> None:
    gc.unfreeze()

    @apps.function("idle")
    async def idle(ctx: Any) -> None: ...

    worker = await start()
    assert gc.get_freeze_count() > 10_000
    await worker.connection.close(wait=True)
    assert gc.get_freeze_count() == 0
