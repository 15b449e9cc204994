"""Options are declared once: the call, its documentation and the command's flags come from the declaration."""

import inspect
import re

import pytest

import connect
from connect.cli import config
from connect.cli.run import run
from connect.options import Options, declared


def test_the_call_takes_every_option_with_its_type_and_default() -> None:
    parameters = inspect.signature(connect.connect).parameters
    told = [(each.name, each.kind, each.default) for each in declared() if each.name != "apps"]
    assert [(name, each.annotation, each.default) for name, each in parameters.items() if name != "apps"] == told
    assert parameters["apps"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


def test_the_docstring_of_the_call_has_every_option() -> None:
    assert connect.connect.__doc__
    named = re.findall(r"^ {4}(\w+): \S", connect.connect.__doc__, re.MULTILINE)
    assert named == [each.name for each in declared()]


def test_the_command_has_every_option_that_names_a_flag() -> None:
    flags = {each.option.flag.partition("/")[0] for each in declared() if each.option.flag}
    taken = {f"--{name.replace('_', '-')}" for name in inspect.signature(run).parameters if name != "ctx"}
    own = {
        "--apps",
        "--app-dir",
        "--env-file",
        "--reload",
        "--reload-timeout",
        "--allow-remote",
        "--log-level",
        "--log-format",
    }
    assert taken == flags | own


def test_what_the_command_was_given_goes_under_the_names_of_the_call() -> None:
    assert config.as_options({"max_concurrency": 3, "env": "x"}) == {"max_worker_concurrency": 3, "env": "x"}


def test_no_key_can_be_given_on_a_command_line() -> None:
    """Other users of the machine can read a command line."""
    assert not [each.name for each in declared() if "key" in each.name and each.option.flag]


def test_options_show_no_key() -> None:
    shown = repr(Options([], signing_key="signkey-test-abc", signing_key_fallback="signkey-test-def"))
    assert "abc" not in shown
    assert "def" not in shown


@pytest.mark.parametrize(
    ("given", "named"), [(([], []), {}), ((), {}), (([],), {"instance": "x"}), (([],), {"apps": []})]
)
def test_a_wrong_call_names_connect(given: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"^connect\(\) "):
        connect.connect(*given, **named)  # type: ignore[arg-type]
