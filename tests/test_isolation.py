"""Each isolation has its executor; an executor of the user's own goes before all of them."""

import asyncio
from typing import Any, cast

import inngest
import pytest

from connect.configuration import Configuration, resolve
from connect.execution import Executor, Invocation, Outcome
from connect.execution.caller_loop import CallerLoop
from connect.execution.process_pool import ProcessPool
from connect.execution.same_loop import SameLoop
from connect.isolation import executor_for
from connect.options import Options


class Own:
    """An executor of the user's."""

    async def start(self) -> None: ...
    async def execute(self, invocation: Invocation) -> Outcome:
        raise NotImplementedError

    async def stop(self) -> None: ...


def known(**options: Any) -> Configuration:
    client = inngest.Inngest(app_id="app", is_production=False)

    @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="fn"))
    async def fn(ctx: inngest.Context) -> None: ...

    return resolve(Options([(client, [fn])], **options))


@pytest.mark.parametrize(
    ("options", "kind"), [({}, CallerLoop), ({"isolation": "thread"}, CallerLoop), ({"isolation": "none"}, SameLoop)]
)
async def test_in_this_process_the_isolation_says_which_loop_runs_functions(options: Any, kind: type[Any]) -> None:
    executor = executor_for(known(**options), asyncio.get_running_loop())
    assert type(executor) is kind
    await executor.stop()


async def test_processes_have_a_pool(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is started before the worker is."""
    (tmp_path / "isolated.py").write_text(
        "import inngest\nclient = inngest.Inngest(app_id='app', is_production=False)\n"
        "@client.create_function(fn_id='fn', trigger=inngest.TriggerEvent(event='fn'))\nasync def fn(ctx): ...\n"
        "apps = [(client, [fn])]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = resolve(Options("isolated:apps", isolation="process", processes=2))
    assert isinstance(executor_for(made, asyncio.get_running_loop()), ProcessPool)


@pytest.mark.parametrize("isolation", ["thread", "none"])
async def test_an_executor_of_the_users_own_runs_all_functions(isolation: str) -> None:
    own = cast("Executor", Own())
    assert executor_for(known(isolation=isolation, executor=own), asyncio.get_running_loop()) is own
