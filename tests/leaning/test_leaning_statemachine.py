"""What is needed of python-statemachine beyond its documentation: each piece is there, and a missing one is named."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from statemachine import State, StateChart

from connect import connect
from connect.errors import ConfigurationError
from statecharts import Bound, Connection, Request, compile_chart, library, model
from statecharts.tools.coverage import watch
from statecharts.tools.coverage.watch import Watch
from statecharts.tools.walking.paths import note_taker
from tests.sdk_kit import make_client, make_function

STATEMACHINE = f"python-statemachine {importlib.metadata.version('python-statemachine')}"

try:
    from statemachine.engines.async_ import AsyncEngine
    from statemachine.engines.base import BaseEngine
    from statemachine.engines.sync import SyncEngine
except ImportError as error:
    pytest.fail(f"{STATEMACHINE}: {error}; see docs/leaning.md", pytrace=False)

TAPPED = [
    *(
        (engine, name)
        for engine in (BaseEngine, AsyncEngine)
        for name in ("_conditions_match", "_execute_transition_content")
    ),
    *((engine, "select_transitions") for engine in (SyncEngine, AsyncEngine)),
    *((BaseEngine, name) for name in ("put", "_drop_external_events")),
]


def nothing(_: object) -> None:
    """An action that does nothing."""


def told(*pieces: str) -> str:
    return f"{STATEMACHINE} lacks what this package needs ({', '.join(pieces)}): install {library.SUPPORTED!r}"


class Veil:
    """An object without one of its attributes, also in the objects that it holds."""

    def __init__(self, thing: Any, hidden: str) -> None:
        self._thing = thing
        self._hidden = hidden

    def __getattr__(self, name: str) -> Any:
        if name == self._hidden:
            raise AttributeError(name)
        found = getattr(self._thing, name)
        return [Veil(each, self._hidden) for each in found] if name == "cond" else found


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Hide the piece of this name from `library`."""
    library.check.cache_clear()

    def take(piece: str) -> None:
        owner, _, attribute = piece.partition(".")
        made = {"State": "_state", "HistoryState": "HistoryState"}.get(owner, "_transition")
        make = getattr(library, made)
        monkeypatch.setattr(library, made, lambda **named: Veil(make(**named), attribute.partition(".")[0]))

    yield take
    library.check.cache_clear()


@pytest.mark.parametrize("piece", library.PIECES)
def test_the_installed_library_has(piece: str) -> None:
    assert library.holds(library.PIECES[piece]), f"{STATEMACHINE} has no {piece} as it was; see docs/leaning.md"


@pytest.mark.parametrize("piece", library.PIECES)
def test_a_library_without_a_piece_is_refused_by_its_name(piece: str, lose: Callable[[str], None]) -> None:
    lose(piece)
    with pytest.raises(library.LackingError) as caught:
        library.check()
    callbacks = [name for name in library.PIECES if name.startswith("callback.")]
    assert str(caught.value) == told(piece, *(callbacks if piece == "Transition.cond" else []))


@pytest.mark.parametrize(
    "use",
    [lambda: Bound(Connection, note_taker(Connection), pytest.fail), lambda: compile_chart(Request)],
    ids=["bound", "compiled"],
)
def test_no_chart_is_bound_or_compiled_then(use: Callable[[], object], lose: Callable[[str], None]) -> None:
    lose("Transition.cond")
    with pytest.raises(library.LackingError, match=r"Transition\.cond"):
        use()


def test_no_worker_is_made_then(lose: Callable[[str], None]) -> None:
    async def hello(_: Any) -> None: ...

    client = make_client()
    lose("Transition.cond")
    with pytest.raises(ConfigurationError, match=r"Transition\.cond"):
        connect([(client, [make_function(client, "hello", hello)])])


CHANGED = """
import runpy, sys, types
from statemachine.transition import Transition
for module, name in (("graph", "iterate_states"), ("spec_parser", "replace_operators")):
    changed = types.ModuleType(module)
    vars(changed).update(vars(sys.modules[f"statemachine.{module}"]))
    delattr(changed, name)
    sys.modules[f"statemachine.{module}"] = changed
del Transition.is_eventless
import connect
"""
"""A release without two functions that were needed once, and without a piece that still is."""


def test_the_package_can_be_imported_and_a_worker_says_in_one_line_what_is_missing(start_process: Any) -> None:
    process = start_process("-c", f"{CHANGED}sys.argv[1:] = ['demo']\nrunpy.run_module('connect', run_name='__main__')")
    assert process.ends() == 2, process.text
    assert process.text == f"statechart-connect: {told('Transition.is_eventless')}\n"


def test_a_release_without_charts_is_named(start_process: Any) -> None:
    """Python imports the package before the command can print, so the error's own line says it."""
    # -E: what records transitions in the processes of tests would import the charts first.
    process = start_process("-E", "-c", "import statemachine\ndel statemachine.StateChart\nfrom connect import connect")
    assert process.ends() == 1, process.text
    lacking = told("cannot import name 'StateChart' from 'statemachine'")
    assert process.text.splitlines()[-1] == f"statecharts.library.LackingError: {lacking}"


def test_the_charts_command_says_in_one_line_what_is_missing(start_process: Any) -> None:
    run = "sys.argv[1:] = ['table', 'statecharts:Connection']\nrunpy.run_module('statecharts', run_name='__main__')"
    process = start_process("-c", f"{CHANGED}{run}")
    assert process.ends() == 2, process.text
    assert process.text == f"statecharts: {told('Transition.is_eventless')}\n"


# -- what the coverage of transitions taps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("engine", "name"), TAPPED, ids=lambda each: getattr(each, "__name__", each))
def test_an_engine_without_a_place_to_watch_is_refused_by_its_name(
    engine: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in vars(engine), f"{STATEMACHINE} has no {engine.__name__}.{name} of its own; see docs/leaning.md"
    before = [vars(each).get(method) for each, method in TAPPED if (each, method) != (engine, name)]
    with monkeypatch.context() as patch:
        patch.delattr(engine, name)
        with pytest.raises(library.LackingError, match=f"{engine.__name__}.{name}"):
            Watch([]).begin()
    assert [vars(each).get(method) for each, method in TAPPED if (each, method) != (engine, name)] == before


def test_engines_in_another_place_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statemachine.engines.sync", None)
    spec = importlib.util.spec_from_file_location("watch_anew", watch.__file__)
    assert spec
    assert spec.loader
    with pytest.raises(library.LackingError, match=f"{STATEMACHINE} lacks .*statemachine.engines.sync"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_coverage_is_refused_in_one_line(tmp_path: Path, start_process: Any) -> None:
    run = "sys.argv[1:] = ['-p', 'statecharts.tools.coverage', '--transition-cover', 'statecharts:Link', '-p', 'no:asyncio']"
    process = start_process("-c", f"{CHANGED}{run}\nrunpy.run_module('pytest', run_name='__main__')")
    assert process.ends() == pytest.ExitCode.USAGE_ERROR, process.text
    assert f"ERROR: --transition-cover: {told('Transition.is_eventless')}\n" in process.text


# -- what is done here instead ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("a ^ !b", "a and not b"),
        ("a v b", "a or b"),
        ("!a", "not a"),
        ("a != b", "a != b"),
        ("vivid ^ v2", "vivid and v2"),
    ],
)
def test_a_guards_operators_are_read_as_the_library_does(written: str, read: str) -> None:
    """The library documents the three signs; its engine shows how it reads them."""

    class Guarded(StateChart[Any]):
        here = State(initial=True)
        there = State(final=True)
        go = here.to(there, cond=written)
        wait = here.to(None, on="nothing")

    [edge] = [edge for edge in model.read(Guarded).edges if edge.event == "go"]
    assert edge.guard == read
    for truths in ({"a"}, {"b"}, {"a", "b"}, {"vivid", "v2"}, {"vivid"}, set[str]()):
        names = {name: name in truths for name in ("a", "b", "vivid", "v2")}
        actor = type("Actor", (), {**names, "nothing": nothing})()
        chart = Guarded(actor)
        chart.send("go")
        assert chart.there.is_active is bool(eval(read, {}, names)), f"{STATEMACHINE}: {written} with {truths}"  # noqa: S307
