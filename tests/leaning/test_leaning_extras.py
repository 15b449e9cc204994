"""What is needed of tenacity, OpenTelemetry, pytest, protobuf and Python beyond their documentation."""

import argparse
import asyncio
import contextlib
import importlib.metadata
import multiprocessing.util
import os
import platform
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tenacity
import typer
from google.protobuf import runtime_version
from google.protobuf.internal import builder
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from connect import connect
from connect.errors import ConfigurationError
from connect.execution import otel_spans, tracebacks
from connect.loops import watch
from statecharts.tools.coverage import children
from statecharts.tools.coverage.watch import Watch
from tests.sdk_kit import make_client, make_function

pytest_plugins = ["pytester"]


def installed(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


# -- tenacity --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sleep", "stop", "wait"])
def test_a_policy_of_tenacity_shows(name: str) -> None:
    assert hasattr(tenacity.AsyncRetrying(), name), f"{installed('tenacity')}: AsyncRetrying has no {name}"


@pytest.mark.parametrize("name", ["sleep", "stop", "wait"])
def test_a_policy_without_it_is_refused(name: str) -> None:
    async def hello(_: Any) -> None: ...

    client, policy = make_client(), tenacity.AsyncRetrying()
    delattr(policy, name)
    with pytest.raises(ConfigurationError, match=f"a policy of {installed('tenacity')} has no {name}"):
        connect([(client, [make_function(client, "hello", hello)])], retry=policy)


# -- OpenTelemetry ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "none"), [(trace.ProxyTracerProvider, True), (TracerProvider, False)])
def test_opentelemetry_tells_whether_a_provider_was_set_up(
    monkeypatch: pytest.MonkeyPatch, provider: Callable[[], Any], none: bool
) -> None:
    made = provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made)
    assert otel_spans._has_no_provider() is none, (
        f"{installed('opentelemetry-api')}: ProxyTracerProvider is no stand-in now"
    )


def test_without_its_stand_in_spans_are_sent_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry keeps the first provider that was set up, as it documents."""
    monkeypatch.delattr(trace, "ProxyTracerProvider")
    assert otel_spans._has_no_provider()


# -- typer -----------------------------------------------------------------------------------------------------------------------


def test_typer_hands_on_what_click_documents() -> None:
    app, heard = typer.Typer(), []

    @app.callback()
    def options(ctx: typer.Context) -> None:
        heard.extend(ctx.help_option_names)
        ctx.default_map = {"run": {"port": 7}}

    @app.command()
    def run(port: int = 1) -> int:
        heard.append(str(port))
        return 0

    code = app(["run"], standalone_mode=False, prog_name="leaning")
    assert (code, heard) == (0, ["--help", "7"]), f"{installed('typer')}: its Context is not click's any more"


def test_typer_tells_what_was_typed() -> None:
    app, heard = typer.Typer(context_settings={"default_map": {"kept": 1}}), []

    @app.command()
    def run(ctx: typer.Context, typed: int = 1, kept: int = 0, missing: int = 1) -> None:
        heard.extend(source.name for name in ctx.params if (source := ctx.get_parameter_source(name)))

    app(["--typed", "1"], standalone_mode=False)
    sources = ["COMMANDLINE", "DEFAULT_MAP", "DEFAULT"]
    assert sorted(heard) == sorted(sources), f"{installed('typer')}: flags that do nothing are not refused any more"


def test_typer_tells_where_a_value_comes_from() -> None:
    app, heard = typer.Typer(), []

    class Command(typer.core.TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            try:
                return super().parse_args(ctx, args)
            except typer.BadParameter as error:
                heard.append((ctx.meta, error.param.name, ctx.get_parameter_source(error.param.name).name))  # type: ignore[union-attr]
                raise

        def invoke(self, ctx: Any) -> Any:
            heard.append(ctx.get_parameter_source("port").name)
            return super().invoke(ctx)

    @app.callback()
    def options(ctx: typer.Context) -> None:
        ctx.default_map = {"run": {"port": "nine"}}
        ctx.meta["said"] = "above"

    @app.command(cls=Command)
    def run(port: int = 1) -> None: ...

    with pytest.raises(typer.BadParameter):
        app(["run"], standalone_mode=False)
    app(["run", "--port", "7"], standalone_mode=False)
    assert heard == [({"said": "above"}, "port", "DEFAULT_MAP"), "COMMANDLINE"], f"{installed('typer')}: see sources.py"


# -- protobuf --------------------------------------------------------------------------------------------------------------------


def test_protobuf_has_what_generated_code_needs() -> None:
    names = ("BuildMessageAndEnumDescriptors", "BuildTopDescriptorsAndMessages")
    assert all(hasattr(builder, name) for name in names), f"{installed('protobuf')}: make proto"
    assert hasattr(runtime_version, "ValidateProtobufRuntimeVersion"), f"{installed('protobuf')}: make proto"


# -- what the coverage of transitions needs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Finalize", "register_after_fork"])
def test_python_tells_of_forks(name: str) -> None:
    said = f"Python {platform.python_version()}: multiprocessing.util has no {name}; forks are not covered"
    assert callable(getattr(multiprocessing.util, name, None)), said


def test_without_them_other_forks_are_covered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    followed: list[str] = []
    monkeypatch.setattr(os, "register_at_fork", lambda **when: followed.extend(when))
    monkeypatch.delattr(multiprocessing.util, "register_after_fork")
    children.follow_forks(Watch([]), tmp_path)
    assert followed == ["after_in_child"]


def test_argparse_names_its_subparsers() -> None:
    """The name stands in an annotation, which only type checkers read."""
    made = argparse.ArgumentParser().add_subparsers()
    said = f"Python {platform.python_version()}: argparse has another name for it"
    assert type(made) is argparse._SubParsersAction, said


def test_a_plugin_may_fail_a_pytest_session(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_sessionfinish(session): session.exitstatus = 1")
    pytester.makepyfile("def test_it(): pass")
    ended = pytester.runpytest_subprocess("-p", "no:asyncio")
    assert ended.ret == 1, f"{installed('pytest')}: Session.exitstatus is not heard"


def test_a_worker_of_xdist_hands_over_what_it_found(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_sessionfinish(session):
            if hasattr(session.config, "workeroutput"):
                session.config.workeroutput["found"] = "it"

        def pytest_testnodedown(node):
            print("handed over:", node.workeroutput["found"])
        """
    )
    pytester.makepyfile("def test_it(): pass")
    ended = pytester.runpytest_subprocess("-p", "no:asyncio", "-n", "1", "-s")
    assert "handed over: it" in ended.stdout.str(), f"{installed('pytest-xdist')}: there is no workeroutput"


def test_python_tells_frames_that_have_ended_from_those_that_have_not() -> None:
    async def wait() -> None:
        await asyncio.sleep(0)

    def end() -> None:
        raise ValueError

    said = f"Python {platform.python_version()}: frames that have ended look like others"
    waiting = wait()
    waiting.send(None)
    assert not tracebacks._has_ended(waiting.cr_frame), said
    assert not tracebacks._has_ended(sys._getframe()), said
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        end()
    assert tracebacks._has_ended(caught.tb.tb_next.tb_frame), said
    waiting.close()


def test_python_shows_what_another_thread_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, there is nothing to tell."""
    here = threading.get_ident()
    seen: list[str] = []
    looking = threading.Thread(
        target=lambda: seen.extend(each.name for each in traceback.extract_stack(watch._frames().get(here)))
    )
    looking.start()
    looking.join()
    said = f"Python {platform.python_version()}: the frames of other threads are not shown"
    assert "test_python_shows_what_another_thread_runs" in seen, said
    monkeypatch.delattr(sys, "_current_frames")
    assert watch._frames() == {}


def test_uvloop_closes_the_descriptor_of_a_socket() -> None:
    uvloop = pytest.importorskip("uvloop")
    ours, theirs = socket.socketpair()

    async def main() -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        ours.detach()
        transport.abort()
        await asyncio.sleep(0.01)

    uvloop.run(main())
    theirs.setblocking(False)
    with theirs, contextlib.suppress(BlockingIOError):
        assert theirs.recv(1) == b""
        return
    pytest.fail(f"{installed('uvloop')} leaves the descriptor of a detached socket open")
