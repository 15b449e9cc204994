"""An outcome has the statuses of the wire; a failure that the worker makes has the SDK's form."""

import json

import pytest

from connect.execution.outcome import STATUS_NAMES, failure
from connect.wire import SDKResponseStatus


@pytest.mark.parametrize(("no_retry", "retry_after"), [(False, None), (True, None), (False, "5")])
def test_a_failure_is_an_error_with_name_and_message(no_retry: bool, retry_after: str | None) -> None:
    outcome = failure("WorkerError", 'it says "no": é', no_retry=no_retry, retry_after=retry_after)
    assert (outcome.status, outcome.no_retry, outcome.retry_after) == (SDKResponseStatus.ERROR, no_retry, retry_after)
    assert json.loads(outcome.body) == {"name": "WorkerError", "message": 'it says "no": é'}


def test_every_status_of_the_wire_has_its_name() -> None:
    assert {number: SDKResponseStatus.Name(number) for number in SDKResponseStatus.values()} == STATUS_NAMES
