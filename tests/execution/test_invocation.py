"""An invocation gives user code headers beside the payload."""

import pytest

from connect.execution import Invocation


def made(job_id: str, context: bytes) -> Invocation:
    """An invocation of request `r`."""
    return Invocation("r", "run", "app", "app-fn", None, b"{}", job_id, context)


def test_headers_carry_ids_and_the_trace() -> None:
    context = b'{"traceparent": "00-ab-cd-01", "tracestate": "inngest@app=x", "baggage": "no"}'
    assert made("j", context).headers == {
        "x-request-id": "r",
        "x-inngest-job-id": "j",
        "traceparent": "00-ab-cd-01",
        "tracestate": "inngest@app=x",
    }


@pytest.mark.parametrize(
    "context",
    [b"", b"{}", b"null", b"[]", b"7", b'"text"', b"{", b"\xff\xfe", b'{"traceparent": 7}', b"[" * 100_000],
    ids=lambda context: repr(context[:20]),
)
def test_no_trace_context_is_a_fault(context: bytes) -> None:
    assert made("", context).headers == {"x-request-id": "r"}
