"""Try a mutant: is it refused, does a test kill it, or does it survive?"""

import time
from collections.abc import Collection

from statemachine.exceptions import InvalidDefinition

from statecharts import Request, compile_chart
from statecharts.tools.walking.mutants import Mutant
from statecharts.tools.walking.replica import replica
from tests.mutate.plan import Plan
from tests.mutate.trial import Failure, fails
from tests.mutate.verdicts import Verdict

COMPILED = (Request.__name__,)


class Jury:
    """*expected*: names of mutants that no test kills, so that one failure is no proof that one does."""

    def __init__(self, plan: Plan, expected: Collection[str]) -> None:
        self._plan = plan
        self._expected = expected

    def judge(self, mutant: Mutant) -> Verdict:
        """Blocks until there is a verdict. From any thread."""
        began = time.monotonic()
        why = refusal(mutant)
        if why:
            return Verdict(mutant.name, "refused", why=why)
        for each in self._plan.rounds(mutant):
            likely = each.likely and mutant.name not in self._expected
            failure = _failure(mutant, each.tests, likely=likely) if each.tests else None
            if failure:
                return Verdict(mutant.name, "killed", time.monotonic() - began, failure.test, failure.why)
        return Verdict(mutant.name, "survived", time.monotonic() - began)


def refusal(mutant: Mutant) -> str:
    """Why no such chart can be declared; empty where it can."""
    try:
        made = replica(mutant.chart)
        if mutant.chart.name in COMPILED:
            compile_chart(made)
    except (InvalidDefinition, TypeError) as error:
        return str(error)
    return ""


def _failure(mutant: Mutant, tests: tuple[str, ...], *, likely: bool) -> Failure | None:
    """The first failure among *tests*. One that is not *likely* has to come again: a machine under load fails a test, too."""
    innocent: tuple[str, ...] = ()
    while failure := fails(mutant.name, (*tests, *innocent)):
        if likely or fails(mutant.name, (failure.test,)):
            return failure
        innocent = (*innocent, f"--deselect={failure.test}")
    return None
