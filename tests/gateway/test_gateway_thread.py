"""The gateway on a thread, for code that is not asynchronous; and the pytest fixtures."""

import asyncio
import threading

import aiohttp
import pytest
from raw_worker import RawWorker

from connect.gateway import Gateway, Kind, ThreadedGateway, in_thread

pytest_plugins = ["pytester"]


def test_it_runs_on_a_thread_of_its_own_and_leaves_none_behind() -> None:
    before = threading.active_count()
    with in_thread(Gateway()) as gateway:
        assert gateway.url.startswith("http://127.0.0.1:")
        assert gateway.call(lambda gw: gw.ledger.summary()["requests"]) == 0
        gateway.run(lambda gw: gw.drain())
        with pytest.raises(TimeoutError, match="ready worker"):
            gateway.wait_for_worker(timeout=0.01)
    assert threading.active_count() == before


async def test_a_worker_of_another_loop_serves_it() -> None:
    def use(gateway: ThreadedGateway) -> object:
        gateway.wait_for_worker(app="app")
        return gateway.invoke("app-fn", {"x": 1}).output

    with in_thread(Gateway()) as gateway:
        async with aiohttp.ClientSession() as session:
            worker = RawWorker(gateway._gateway, session)
            await worker.open()
            await worker.expect(Kind.GATEWAY_HELLO)
            await worker.send(Kind.WORKER_CONNECT, worker.introduction())
            await worker.expect(Kind.GATEWAY_CONNECTION_READY)
            using = asyncio.create_task(asyncio.to_thread(use, gateway))
            await worker.reply(await worker.expect(Kind.GATEWAY_EXECUTOR_REQUEST), "from afar")
            assert await using == "from afar"
            await worker.leave()


def test_the_fixtures_give_a_running_gateway_whose_settings_can_be_overridden(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["connect.testing"]')
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def connect_gateway_settings():
            return {"groups": ("red",)}

        @pytest.mark.asyncio
        async def test_on_the_loop(connect_gateway):
            assert connect_gateway.port and connect_gateway.groups == ("red",)

        def test_on_a_thread(connect_gateway_thread):
            assert connect_gateway_thread.url.startswith("http://127.0.0.1:")
        """
    )
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=2)
