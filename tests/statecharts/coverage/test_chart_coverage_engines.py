"""Transition coverage sees both engines of the library and the compiled table, in any thread."""

import pytest
from coverage_kit import LIFT, TICKET, found, guards, lift, refused, taken, takers

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_the_librarys_engines_are_seen_through(pytester: pytest.Pytester, asynchronous: bool) -> None:
    """It sees nested, parallel, eventless and internal transitions, guards both ways, and refused events, also after the end."""
    pytester.makepyfile(
        lift=lift(asynchronous=asynchronous),
        test_it="""
            from lift import ride
            def test_up(): ride("tick", "call", "turn", "level", "stop")
            def test_out(): ride("tick", "call", "turn", powered=False)
            def test_end(): ride("tick", "tick", "call", "tick", broken=True)
        """,
    )
    chart = found(pytester, "--transition-cover=lift:Lift", passed=3)["Lift"]
    assert taken(chart) == {
        "idle --call [powered]--> moving": 1,
        "idle --call [else]--> (stays)": 1,
        "idle --tick--> (stays)": 3,
        "idle --(always) [broken]--> stuck": 1,
        "moving --stop--> idle": 1,
        "cabin --level (internal)--> rising": 1,
        "rising --turn--> falling": 1,
        "silent --turn--> ringing": 1,
    }
    always = guards(chart).pop("idle --(always) [broken]--> stuck")
    assert guards(chart) == {"idle --call [powered]--> moving": (1, 1), "idle --(always) [broken]--> stuck": always}
    assert always[0] == 1
    assert always[1] >= 4
    assert refused(chart) == {"idle turn": 1, "stuck call": 1, "stuck tick?": 2}


def test_each_hit_is_put_down_to_its_test(pytester: pytest.Pytester) -> None:
    """A test has its node id, with parameters; setup and teardown belong to it."""
    pytester.makepyfile(
        lift=lift(),
        test_it="""
            import pytest
            from lift import ride
            ride("tick")
            @pytest.fixture
            def ridden():
                ride("call")
                yield
                ride("call", "stop")
            @pytest.mark.parametrize("event", ["tick", "call"])
            def test_by(event): ride(event)
            class TestIn:
                def test_fixture(self, ridden): pass
        """,
    )
    chart = found(pytester, "--transition-cover=lift:Lift", passed=3)["Lift"]
    by = {each["wording"].partition(" --")[2]: (each["taken"], each["tests"]) for each in chart["transitions"]}
    assert by["tick--> (stays)"] == (1, ["test_it.py::test_by[tick]"])
    assert by["call [powered]--> moving"] == (3, ["test_it.py::TestIn::test_fixture", "test_it.py::test_by[call]"])
    assert by["stop--> idle"] == (1, ["test_it.py::TestIn::test_fixture"])
    held = chart["guards"][0]
    assert (held["guard"], held["held_by"], held["refused_by"]) == ("powered", by["call [powered]--> moving"][1], [])


def test_the_table_is_seen_through_and_no_guard_is_asked_twice(pytester: pytest.Pytester) -> None:
    """Which guards refused follows from the transition that was taken: those before it, or all if none was."""
    pytester.makepyfile(
        ticket=TICKET,
        test_it="""
            from ticket import buy
            def test_rich():
                moved, buyer = buy("pay", "look", "look", "tear", "look", rich=True)
                assert (moved, buyer.asked) == ([True, True, True, True, False], 1)
            def test_poor():
                moved, buyer = buy("pay", poor=True)
                assert (moved, buyer.asked) == ([True], 2)
            def test_neither():
                moved, buyer = buy("pay", "pay", "nonsense", "tear")
                assert (moved, buyer.asked) == ([False, False, False, True], 4)
        """,
    )
    chart = found(pytester, "--transition-cover=ticket:Ticket", passed=3)["Ticket"]
    assert taken(chart) == {
        "new --pay [rich]--> paid": 1,
        "new --pay [poor]--> void": 1,
        "new --tear--> void": 1,
        "paid --look--> (stays)": 2,
        "paid --tear--> void": 1,
    }
    assert guards(chart) == {"new --pay [rich]--> paid": (1, 3), "new --pay [poor]--> void": (1, 2)}
    assert refused(chart) == {"new pay": 2, "void look": 1}


def test_threads_count_every_hit(pytester: pytest.Pytester) -> None:
    """None is lost if many come at once, on either engine."""
    pytester.makepyfile(
        ticket=TICKET,
        lift=lift(),
        test_it="""
            import sys, threading
            from lift import ride
            from ticket import buy
            def test_threads():
                before = sys.getswitchinterval()
                sys.setswitchinterval(1e-6)
                def work():
                    buy("pay", *["look"] * 2000, rich=True)
                    ride(*["tick"] * 20)
                threads = [threading.Thread(target=work) for _ in range(8)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
                sys.setswitchinterval(before)
        """,
    )
    charts = found(pytester, "--transition-cover=lift:Lift", "--transition-cover=ticket:Ticket")
    assert taken(charts["Ticket"]) == {"new --pay [rich]--> paid": 8, "paid --look--> (stays)": 16000}
    assert taken(charts["Lift"]) == {"idle --tick--> (stays)": 160}


ODD = """
import copy, pickle
from statemachine import State, StateChart, StateMachine
from statemachine.exceptions import TransitionNotAllowed

class Old(StateMachine):
    a = State(initial=True)
    b = State(final=True)
    go = a.to(b)
    back = a.to(a)

class Twins(StateChart):
    a = State(initial=True)
    one = two = a.to(None, cond="never", on="act") | a.to(None, cond="never", on="other") | a.to(None, after="fails")
    error_execution = a.to(None)
    def never(self): return False
    def act(self): pass
    def other(self): pass
    def fails(self): raise ValueError

class Derived(Twins):
    def never(self): return True

BEFORE = Twins()

def test_made_before_the_test_began(): BEFORE.send("one")
def test_after_raises(): Twins().send("two")
def test_derived(): Derived().send("one")
def test_copies():
    copy.deepcopy(BEFORE).send("two")
    pickle.loads(pickle.dumps(BEFORE)).send("two")
    assert not BEFORE.active_listeners
def test_not_allowed():
    old = Old()
    old.send("go")
    try: old.send("back")
    except TransitionNotAllowed: pass
"""


def test_charts_made_early_copied_derived_or_failing_are_seen(pytester: pytest.Pytester) -> None:
    """Nothing is added to an instance, however it was made. Transitions with the same words are told apart."""
    pytester.makepyfile(test_odd=ODD)
    charts = found(pytester, "--transition-cover=test_odd:Twins", "--transition-cover=test_odd:Old", passed=5)
    assert taken(charts["Twins"]) == {
        "a --one [never]--> (stays)": 1,
        "a --one [else]--> (stays)": 1,
        "a --two [else]--> (stays)": 3,
        "a --error_execution--> (stays)": 4,
    }
    assert guards(charts["Twins"]) == {
        "a --one [never]--> (stays)": (1, 1),
        "a --two [never]--> (stays)": (0, 3),
        "a --one [never]--> (stays) #2": (0, 1),
        "a --two [never]--> (stays) #2": (0, 3),
    }
    assert taken(charts["Old"]) == {"a --go--> b": 1}
    assert refused(charts["Old"]) == {"b back": 1}


def test_other_charts_are_left_alone(pytester: pytest.Pytester) -> None:
    """Only the named chart is recorded, even if another has the same name."""
    pytester.makepyfile(
        lift=lift(),
        other=LIFT.replace("{async}", ""),
        test_it="""
            import lift, other
            def test_both():
                lift.ride("tick")
                other.ride("call")
        """,
    )
    charts = found(pytester, "--transition-cover=lift:Lift")
    assert taken(charts["Lift"]) == {"idle --tick--> (stays)": 1}
    both = found(pytester, "--transition-cover=lift:Lift", "--transition-cover=other:Lift")
    assert {name: set(taken(chart)) for name, chart in both.items()} == {
        "lift:Lift": {"idle --tick--> (stays)"},
        "other:Lift": {"idle --call [powered]--> moving"},
    }
    assert takers(both["other:Lift"]) == {"test_it.py::test_both"}
