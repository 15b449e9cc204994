"""Whatever happens, in whatever order: the real worker stands where a model of a few lines says, and leaves nothing behind.

By default the same few examples each time; `pytest tests/worker/model --hypothesis-profile thorough` tries many more, and others
each time. A failure prints the shortest sequence of happenings that hypothesis found for it, and the chart's picture with the way
there marked.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from player import Player
from rig import CLOSED, most_links
from standing import Standing

from connect import events
from connect.gateway import GARBAGE, Call, Frame, Kind
from connect.wire import SDKResponse

QUICK = settings(
    max_examples=40,
    stateful_step_count=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
GOODBYES = [(1000, ""), (1001, "connect_gateway_closing"), (1008, "connect_internal_error"), (1011, ""), (4000, "?")]
ODD = [GARBAGE[name] for name in ("truncated frame", "text", "unknown kind", "lease answer for nobody")]
WHICH = st.integers(0, 7)
"""Which of those that are there, counted round and round."""


@dataclass(frozen=True, repr=False)
class Chance:
    """A happening (a method of `Player`), its arguments, and how often it is drawn in a situation."""

    name: str
    weight: Callable[[Standing], int]
    given: tuple[st.SearchStrategy[Any], ...] = ()

    def __repr__(self) -> str:
        return self.name


def linked(weight: int) -> Callable[[Standing], int]:
    """How often to draw a happening that needs a link."""
    return lambda facts: weight * facts.link


CHANCES = [
    Chance("work_comes", lambda facts: facts.takes_work * (2 if facts.work else 12), (st.booleans(),)),
    Chance("gateway_drains", linked(5)),
    Chance("shutdown", lambda facts: 4 * bool(facts.open and not facts.closing)),
    Chance("link_drops", linked(4)),
    Chance("api_goes", lambda facts: 3 * facts.api_up),
    Chance("api_comes", lambda facts: 3 * (not facts.api_up)),
    Chance("acks_go", lambda facts: 2 * facts.acks),
    Chance("flush_goes", lambda facts: 2 * facts.flush_up),
    Chance("work_ends", lambda facts: 2 * bool(facts.work) + len(facts.work), (WHICH,)),
    Chance("work_comes_again", lambda facts: 2 * (facts.link and bool(facts.work)), (WHICH,)),
    Chance("answered_work_comes_again", lambda facts: 2 * (facts.takes_work and bool(facts.answered)), (WHICH,)),
    Chance("strange_work_comes", lambda facts: 6 * facts.takes_nothing_strange, (WHICH,)),
    Chance("work_is_taken_away", lambda facts: facts.link and bool(facts.work), (WHICH,)),
    Chance("link_is_closed", linked(2), (st.sampled_from(GOODBYES),)),
    Chance("link_falls_silent", lambda facts: facts.link and facts.api_up),
    Chance("a_start_is_refused", lambda facts: 2 * facts.ever, (st.sampled_from([401, 429, 500]),)),
    Chance("the_functions_are_refused", lambda facts: facts.ever and facts.api_up),
    Chance("nonsense_comes", linked(1), (st.sampled_from(ODD),)),
    Chance("hurry", lambda facts: facts.closing and not facts.hurried),
    Chance("shutdown_again", lambda facts: facts.closing),
    Chance("flush_comes", lambda facts: not facts.flush_up),
    Chance("acks_come", lambda facts: not facts.acks),
]
EARLY_ENDS = [
    Chance("shutdown", lambda facts: not facts.closing),
    Chance("a_start_is_refused", lambda facts: not facts.ever, (st.sampled_from([401, 500]),)),
    Chance("the_functions_are_refused", lambda facts: not facts.ever),
]


class Whatever(RuleBasedStateMachine):
    """One worker after another, and one happening after another. A shutdown mostly comes with work in flight, since that is the
    hard case.
    """

    @initialize(api_up=st.sampled_from([True, True, False]))
    def begin(self, api_up: bool) -> None:
        self.player = Player(api_up=api_up)
        self.player.play(self.player.worker_begins)

    def teardown(self) -> None:
        if hasattr(self, "player"):
            self.player.end()

    @rule(data=st.data(), early=st.sampled_from([False] * 30 + [True]))
    @precondition(lambda self: not self.player.facts.over)
    def happen(self, data: st.DataObject, early: bool) -> None:
        chances = [chance for chance in CHANCES + EARLY_ENDS * early for _ in range(chance.weight(self.player.facts))]
        chance = data.draw(st.sampled_from(chances))
        self.player.play(getattr(self.player, chance.name), *(data.draw(given) for given in chance.given))

    @rule(api_up=st.sampled_from([True, True, False]))
    @precondition(lambda self: self.player.facts.over)
    def another_worker_begins(self, api_up: bool) -> None:
        """The first worker has ended, and no later event brings it back."""
        self.player.play(self.player.api_comes)
        self.player.play(self.player.shutdown_again)
        self.closed_is_final()
        self.player.end()
        self.begin(api_up)

    # -- what is always true

    @invariant()
    def all_is_well(self) -> None:
        self.no_event_was_unexpected_and_nothing_is_called_a_bug()
        self.timers_live_in_their_states()
        self.tasks_live_in_their_states()
        self.at_most_two_links_are_up_and_only_those_beat()
        self.what_was_accepted_is_answered_once_and_run_once()
        self.closed_is_final()

    def no_event_was_unexpected_and_nothing_is_called_a_bug(self) -> None:
        self.player.check(self.player.worker.status().unexpected_events == 0, "an event was unexpected")
        self.player.check(not self.player.bugs.found, f"{self.player.bugs.found}")

    def timers_live_in_their_states(self) -> None:
        actor, (state, substates) = self.player.actor, self.player.facts.state
        self.player.check(actor._connect_timer.armed == (state.value == "CONNECTING"), "connect timer")
        self.player.check(actor._deadline.armed == ("STOPPING" in substates), "shutdown deadline")
        self.player.check(not actor._give_up.armed or "STOPPING" in substates, "give-up timer")

    def tasks_live_in_their_states(self) -> None:
        tasks = self.player.tasks
        self.player.check(tasks["dial"] == self.player.facts.dials, f"the dial loop: {tasks}")
        self.player.check(
            tasks["link-start"] + tasks["link-socket"] <= self.player.facts.dials, f"a handshake: {tasks}"
        )
        self.player.check(tasks["link-read"] <= 3, f"links: {tasks}")
        self.player.check(not self.player.facts.over or not tasks, f"after the end: {tasks}")

    def at_most_two_links_are_up_and_only_those_beat(self) -> None:
        up = [link for link in self.player.links if "UP" in link.states]
        self.player.check(len(up) <= 2 * (not self.player.facts.over), f"links: {up}")
        self.player.check(most_links(self.player.gw) <= 2, "more than two sockets")
        retired = [link for link in up if link is not self.player.actor._links.current]
        self.player.check(all("RETIRED" in link.states for link in retired), "a replaced link was not retired")
        for link in self.player.links:
            beating = [not ticker._handle.cancelled() for ticker in link._tickers]
            self.player.check(all(beating) if link in up else not any(beating), f"heartbeats of {link}")
            self.player.check(link._deadline.armed == ("HANDSHAKE" in link.states), f"stage deadline of {link}")
            self.player.check(link._settle.armed == ("RETIRED" in link.states), f"settle timer of {link}")
            self.player.check(link in up or not link._pause.armed, f"pause timer of {link}")
        self.player.check((self.player.actor._leases._ticker is not None) == bool(up), "the sweep of leases")

    def what_was_accepted_is_answered_once_and_run_once(self) -> None:
        facts, gw = self.player.facts, self.player.gw
        for request in gw.ledger.accepted:
            left = request.id in facts.work | facts.owed | facts.lost
            self.player.check(left or request.reply, f"{request.id} was not answered")
        self.player.check(not gw.ledger.strangers, "an answer to nothing")
        self.player.check(not self.player.worker.heard(events.ReplyLost), "a reply was given up")
        for replies in self._replies().values():
            self.player.check(len(set(replies)) == 1, f"different answers to one request: {replies}")
        for job in self.player.jobs:
            self.player.check(job.times == 1, f"{job} ran {job.times} times")

    def closed_is_final(self) -> None:
        states = self.player.worker.states
        self.player.check(states.count(CLOSED) == self.player.facts.over, f"{states}")
        self.player.check(not self.player.facts.over or states[-1] is CLOSED, f"{states}")

    def _replies(self) -> dict[str, list[bytes]]:
        replies: dict[str, list[bytes]] = defaultdict(list)
        for record in self.player.gw.log:
            sent = isinstance(record, Call) or (isinstance(record, Frame) and record.kind == Kind.WORKER_REPLY)
            if sent and isinstance(record.message, SDKResponse):
                replies[record.message.request_id].append(record.message.SerializeToString(deterministic=True))
        return replies


@pytest.mark.timeout(0)  # its own waits are bounded
def test_whatever_happens_the_worker_stands_where_it_should() -> None:
    thorough = settings.get_current_profile_name() == "thorough"
    run_state_machine_as_test(Whatever, settings=settings() if thorough else QUICK)
