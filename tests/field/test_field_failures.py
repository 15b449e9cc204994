"""A connection that fails is told in plain words, in log and status. Each way to fail: tests/transport/test_failure_words.py."""

import asyncio
import re
from typing import Any

import pytest

from connect.events import Reconnecting

NO_HTTP = b"SSH-2.0-OpenSSH_9.2\r\n"
RESET = b""


@pytest.mark.parametrize(
    ("sent", "said"), [(NO_HTTP, "the answer is no valid HTTP"), (RESET, "the server closed the connection without an")]
)
async def test_no_line_shows_what_a_library_says_to_its_programmers(
    sent: bytes, said: str, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(sent)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        worker = await start(api_base_url=place, ready=False)
        await worker.hears(Reconnecting)
        [line, *_], shown = caplog.messages, worker.status().last_error
        await worker.close()
        await worker.task
    for text in (line, shown):
        assert f"cannot reach {place}/v0/connect/start: {said}" in text
        assert not re.search(r"\[Errno|ssl:|\[None\]|message=|Server disconnected", text)
