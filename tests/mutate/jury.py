"""Tries a mutant: is it refused, does a test kill it, or does it survive?"""

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
    """*expected*: mutants that no test kills, so that one failure does not prove that a test kills them."""

    def __init__(self, plan: Plan, expected: Collection[str]) -> None:
        self._plan = plan
        self._expected = expected

    def judge(self, mutant: Mutant) -> Verdict:
        """Find the verdict. Blocks. May be called from any thread."""
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
    """Why the library refuses such a chart; "" if it does not."""
    try:
        made = replica(mutant.chart)
        if mutant.chart.name in COMPILED:
            compile_chart(made)
    except (InvalidDefinition, TypeError) as error:
        return str(error)
    return ""


def _failure(mutant: Mutant, tests: tuple[str, ...], *, likely: bool) -> Failure | None:
    """The first failure of *tests*. Unless it is *likely* it has to come twice, since a test may fail on a machine under load."""
    innocent: tuple[str, ...] = ()
    while failure := fails(mutant.name, (*tests, *innocent)):
        if likely or fails(mutant.name, (failure.test,)):
            return failure
        innocent = (*innocent, f"--deselect={failure.test}")
    return None
