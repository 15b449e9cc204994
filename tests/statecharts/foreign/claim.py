"""Guards of every sort: names, expressions, comparisons, lambdas, callables, `unless`, validators; and eventless transitions."""

from statemachine import State, StateChart

from tests.statecharts.foreign import ran


def is_weekend() -> bool:
    """A guard that is no method."""
    return ran("is_weekend")


class Claim(StateChart):
    """An insurance claim."""

    amount = 0
    limit = 100

    filed = State("Filed", initial=True)
    review = State("Under review")
    split = State('Split | shared: 50% <each>; "both" {a} #1')
    paid = State("Paid", final=True)
    refused = State("Refused", final=True)

    submit = filed.to(review, validators=["has_signature", "has_date"], on=lambda: ran("lambda action"))
    decide = (
        review.to(paid, cond="amount <= limit and not suspicious")
        | review.to(split, cond=["amount > limit", "partner or reinsured"], unless="suspicious")
        | review.to(refused, cond=lambda: ran("lambda guard"))
        | review.to.itself(cond=is_weekend, before="note_delay", after="remind")
        | review.to(None)
    )
    appeal = refused_again = split.to(review, cond="!suspicious ^ (partner v reinsured)")
    split.to(paid, cond="settled")
    split.to(refused, cond="lapsed and reinsured != partner")
    withdraw = filed.to(refused) | review.to(refused) | split.to(refused)

    def has_signature(self) -> None:
        ran("has_signature")

    def has_date(self) -> None:
        ran("has_date")

    def note_delay(self) -> None:
        ran("note_delay")

    def remind(self) -> None:
        ran("remind")

    @property
    def suspicious(self) -> bool:
        return ran("suspicious")

    @property
    def partner(self) -> bool:
        return ran("partner")

    @property
    def reinsured(self) -> bool:
        return ran("reinsured")

    def settled(self) -> bool:
        return ran("settled")

    def lapsed(self) -> bool:
        return ran("lapsed")
