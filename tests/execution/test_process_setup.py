"""A process's settings come over its standard input as they were written, and are never shown with the key that they hold."""

import io

import pytest

from connect.execution.process_setup import ProcessSetup

KEY = "signkey-test-" + "ab" * 16


@pytest.fixture
def setup() -> ProcessSetup:
    return ProcessSetup(
        number=3,
        apps="main:apps",
        signing_key=KEY,
        parent=4711,
        path=["", "/srv/über"],
        python_path=None,
        levels={"": 20, "connect.link": 10},
        signals=[2, 15],
        json_logs=True,
        traces=False,
        pipe=7,
    )


@pytest.mark.parametrize("key", [KEY, None])
def test_what_is_written_is_read_again(setup: ProcessSetup, key: str | None) -> None:
    stream = io.BytesIO()
    written = ProcessSetup(**{**vars(setup), "signing_key": key})
    written.write(stream)
    stream.seek(0)
    assert ProcessSetup.read(stream) == written


def test_a_process_is_called_by_its_number(setup: ProcessSetup) -> None:
    assert setup.name == "connect-3"


def test_the_key_is_not_shown(setup: ProcessSetup) -> None:
    assert repr(setup) == "<ProcessSetup of connect-3: main:apps>"
    assert KEY not in f"{setup} {[setup]}"
