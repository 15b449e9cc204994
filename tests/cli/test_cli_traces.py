"""`run --traces` sends its spans by OTLP over HTTP to the address in the environment."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from connect.gateway import ThreadedGateway


class Collector:
    """An OTLP endpoint over HTTP on a thread; it keeps the spans that it was sent."""

    def __init__(self) -> None:
        self.got: list[ResourceSpans] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                outer.got += ExportTraceServiceRequest.FromString(plain).resource_spans
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def spans(self, name: str) -> list[Span]:
        """The spans with this name."""
        return [span for each in self.got for scope in each.scope_spans for span in scope.spans if span.name == name]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.mark.parametrize("isolation", [("thread",), ("process", "--processes", "1")], ids=lambda words: words[0])
def test_what_has_ended_is_sent_before_the_process_ends(
    gateway: ThreadedGateway, run: Any, collector: Collector, isolation: tuple[str, ...]
) -> None:
    """These are the connection's spans and those of executions, in whichever process they ran."""
    worker = run("main:apps", "--traces", "--isolation", *isolation, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    gateway.wait_for_worker(timeout=30)
    # Listeners hear of the connection on another loop than that of the first request, which may be sooner by a moment.
    for _ in range(2):
        gateway.invoke("app-echo", {"value": 42})
    worker.signal()
    assert worker.ends() == 0, worker.text
    (_, executed), (connecting,) = collector.spans("execute app-echo"), collector.spans("connect")
    assert {pair.key: pair.value.string_value for pair in executed.attributes}["inngest.status"] == "DONE"
    assert len(collector.spans("drain")) == 1
    named = {pair.value.string_value for each in collector.got for pair in each.resource.attributes}
    assert "inngest-worker" in named
    assert [(link.trace_id, link.span_id) for link in executed.links] == [(connecting.trace_id, connecting.span_id)]
