"""The claim of an instance id: by what workers count as the same, and where nothing can be claimed."""

import errno
import os
import socket
import sys
from typing import Any

import inngest
import pytest

from connect.claim import claimed
from connect.configuration import Configuration, resolve
from connect.options import Options

HOST = socket.gethostname()
SERVER = f"claims-{os.getpid()}.example"  # other tests run at the same time
KEY, OTHER_KEY = "signkey-test-" + "ab" * 32, "signkey-test-" + "cd" * 32

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the names that ids are claimed by")


def known(**options: Any) -> Configuration:
    client = inngest.Inngest(app_id="app", is_production=False)

    @client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="echo"))
    async def echo(ctx: inngest.Context) -> None: ...

    server = {"api_base_url": f"http://{SERVER}:8288", "signing_key": KEY}
    return resolve(Options([(client, [echo])], **{**server, **options}))


def beside(first: Configuration, second: Configuration) -> str:
    """The id that *second* gets while *first* runs."""
    with claimed(first), claimed(second) as got:
        return got.registration.instance_id


@on_linux
@pytest.mark.parametrize(
    ("options", "number"),
    [
        ({}, "-2"),
        ({"api_base_url": f"http://{SERVER.upper()}:8288/"}, "-2"),
        ({"max_worker_concurrency": 3}, "-2"),
        ({"api_base_url": f"http://{SERVER}:8289"}, ""),
        ({"env": "staging"}, ""),
        ({"signing_key": OTHER_KEY}, ""),
    ],
)
def test_workers_of_one_environment_of_one_server_count(options: dict[str, Any], number: str) -> None:
    assert beside(known(), known(**options)) == f"{HOST}{number}"


@on_linux
def test_a_default_id_leaves_out_one_that_was_given() -> None:
    with claimed(known()), claimed(known(instance_id=f"{HOST}-2")):
        assert beside(known(), known()) == f"{HOST}-4"
    with claimed(known()) as first:
        assert first.registration.instance_id == HOST


@on_linux
def test_the_name_shows_neither_key_nor_address() -> None:
    with claimed(known(instance_id="unmistakable")), open("/proc/net/unix") as names:
        shown = [line.split()[-1] for line in names if "@inngest-connect-" in line]
    assert {len(name) for name in shown} == {len("@inngest-connect-") + 64}


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EPERM, errno.EMFILE])
def test_without_such_sockets_the_id_stays(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(socket, "socket", refuse)
    assert beside(known(), known()) == HOST


def test_other_systems_claim_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert beside(known(), known()) == HOST
