"""A reply says which request it answers and with what result; it is never larger than a gateway reads."""

import json

import pytest

from connect import wire
from connect.delivery.replies import BROKEN, CANCELLED, serialise, too_large
from connect.execution import Outcome
from connect.wire import SDKResponseStatus
from connect.wire.codec import MESSAGE_LIMIT, Kind, encode

REQUEST = wire.GatewayExecutorRequestData(
    request_id="01REQUEST",
    account_id="account",
    env_id="env",
    app_id="app-id",
    app_name="app",
    function_slug="app-fn",
    run_id="01RUN",
    lease_id="01LEASE",
    system_trace_ctx=b'{ "traceparent" : "00-1" }',
    user_trace_ctx=b"\xff not even JSON",
)


def replied(outcome: Outcome, **changes: bytes) -> wire.SDKResponse:
    request = wire.GatewayExecutorRequestData()
    request.CopyFrom(REQUEST)
    for name, value in changes.items():
        setattr(request, name, value)
    return wire.SDKResponse.FromString(serialise(request, outcome))


def done(body: bytes = b"null") -> Outcome:
    return Outcome(SDKResponseStatus.DONE, body, sdk_version="inngest-py:v1", request_version=2)


def test_a_reply_says_whose_it_is_and_what_came_of_it() -> None:
    reply = replied(done(b'{"data": 1}'))
    assert (reply.request_id, reply.run_id) == ("01REQUEST", "01RUN")
    assert (reply.account_id, reply.env_id, reply.app_id) == ("account", "env", "app-id")
    assert (reply.status, reply.body) == (SDKResponseStatus.DONE, b'{"data": 1}')
    assert (reply.sdk_version, reply.request_version) == ("inngest-py:v1", 2)
    assert not reply.no_retry
    assert not reply.HasField("retry_after")


def test_trace_contexts_are_echoed_byte_for_byte() -> None:
    reply = replied(done())
    assert reply.system_trace_ctx == b'{ "traceparent" : "00-1" }'
    assert reply.user_trace_ctx == b"\xff not even JSON"


def test_an_empty_trace_context_becomes_an_empty_object() -> None:
    """The flush refuses an empty system context (PROTOCOL.md §8.2). The user's context may be empty."""
    reply = replied(done(), system_trace_ctx=b"", user_trace_ctx=b"")
    assert (reply.system_trace_ctx, reply.user_trace_ctx) == (b"{}", b"")


@pytest.mark.parametrize("no_retry", [False, True])
@pytest.mark.parametrize("retry_after", [None, "", "5", "Fri, 27 Nov 2026 00:00:00 GMT"])
def test_a_failure_says_whether_and_when_it_may_be_tried_again(no_retry: bool, retry_after: str | None) -> None:
    reply = replied(Outcome(SDKResponseStatus.ERROR, b"{}", no_retry=no_retry, retry_after=retry_after))
    assert reply.no_retry is no_retry
    assert (reply.retry_after if reply.HasField("retry_after") else None) == retry_after


def test_the_largest_reply_that_a_gateway_takes_is_sent_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """With one byte more, an error that says so is sent instead."""
    around = len(serialise(REQUEST, done(bytes(4_000_000)))) - 4_000_000
    size = MESSAGE_LIMIT - around - 10  # a frame adds up to ten bytes
    assert replied(done(bytes(size))).body == bytes(size)
    assert not caplog.records
    frame = encode(Kind.WORKER_REPLY, wire.SDKResponse.FromString(serialise(REQUEST, done(bytes(size)))))
    assert MESSAGE_LIMIT - 10 < len(frame) <= MESSAGE_LIMIT
    instead = replied(done(bytes(size + 1)))
    assert (instead.status, instead.no_retry, instead.request_id) == (SDKResponseStatus.ERROR, True, "01REQUEST")
    assert json.loads(instead.body)["name"] == "ReplyTooLarge"
    (said,) = [record for record in caplog.records[-1:] if "01REQUEST" in record.getMessage()]
    assert said.levelname == "ERROR"


def test_a_reply_that_is_too_large_is_final_and_says_what_to_do() -> None:
    outcome = too_large(9_000_000)
    said = json.loads(outcome.body)
    assert (outcome.status, outcome.no_retry) == (SDKResponseStatus.ERROR, True)
    assert "9000000 bytes" in said["message"]
    assert str(MESSAGE_LIMIT) in said["message"]
    assert "return a reference to it" in said["message"]


@pytest.mark.parametrize(
    ("outcome", "name", "retry_after"), [(CANCELLED, "WorkerShutdown", "1"), (BROKEN, "WorkerError", None)]
)
def test_what_the_worker_itself_answers_may_be_tried_again(
    outcome: Outcome, name: str, retry_after: str | None
) -> None:
    said = json.loads(outcome.body)
    assert (outcome.status, outcome.no_retry, outcome.retry_after) == (SDKResponseStatus.ERROR, False, retry_after)
    assert said["name"] == name
    assert "safe to retry" in said["message"]
