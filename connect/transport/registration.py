"""WORKER_CONNECT: the message that registers a worker and its functions with a gateway (PROTOCOL.md §4.5)."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from connect import wire
from connect.transport.api import Grant
from connect.wire.codec import Kind, encode

_MEMORY: Final = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Registration:
    """The fields that are the same on every link of a worker. `started_at` is Unix time in seconds."""

    instance_id: str
    apps: Sequence[wire.AppConfiguration]
    capabilities: bytes
    framework: str
    sdk_language: str
    sdk_version: str
    system: wire.SystemAttributes
    environment: str | None
    max_worker_concurrency: int | None
    started_at: float

    def frame(self, grant: Grant) -> bytes:
        """The frame for the link of *grant*. It asks for manual readiness: the gateway sends no work before WORKER_READY."""
        started_at = Timestamp()
        started_at.FromNanoseconds(int(self.started_at * 1e9))
        message = wire.WorkerConnectRequestData(
            connection_id=grant.connection_id,
            instance_id=self.instance_id,
            auth_data=wire.AuthData(session_token=grant.session_token.reveal(), sync_token=grant.sync_token.reveal()),
            capabilities=self.capabilities,
            apps=self.apps,
            worker_manual_readiness_ack=True,
            system_attributes=self.system,
            environment=self.environment,
            framework=self.framework,
            sdk_version=self.sdk_version,
            sdk_language=self.sdk_language,
            started_at=started_at,
            max_worker_concurrency=self.max_worker_concurrency,
        )
        return encode(Kind.WORKER_CONNECT, message)


def system_attributes() -> wire.SystemAttributes:
    """This machine's cores, memory and system, as the dashboard shows them."""
    return wire.SystemAttributes(cpu_cores=os.cpu_count() or 1, mem_bytes=_memory_bytes(), os=platform.system().lower())


def _memory_bytes() -> int:
    try:
        with _MEMORY.open("rb") as meminfo:
            return int(meminfo.readline().split()[1]) * 1024
    except (OSError, ValueError, IndexError):  # not on Linux
        import psutil  # takes 7 ms

        return psutil.virtual_memory().total
