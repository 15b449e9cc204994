"""The claim to an instance id: no two workers of one host share an id without a word.

Workers with one id share one limit of executions on the server (PROTOCOL.md §11.3). A worker claims its id by the name of a socket
that it never uses. The kernel drops the name when the process ends, however it ends. Only Linux has such names; elsewhere nothing
is claimed. See docs/decisions/instance-ids.md.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace

from connect.configuration import Configuration
from connect.loops import forks
from connect.redaction import logger
from connect.secrets import without_passwords

log = logger("connect")


@contextlib.contextmanager
def claimed(known: Configuration) -> Iterator[Configuration]:
    """*known* with the instance id that this worker has until the block is left. From any thread.

    A default id that another worker of this host has gets a number behind it: the lowest that is free. An id that the user gave
    stays as it is, and a warning tells of the other worker.
    """
    with contextlib.ExitStack() as held:
        instance_id = known.registration.instance_id
        try:
            if sys.platform == "linux":
                instance_id = _claim(held.enter_context(forks.private(socket.socket(socket.AF_UNIX))), known)
        except OSError as error:  # a sandbox without Unix sockets, or no descriptor is left
            log.debug("cannot look for other workers of this host: %s", error)
        yield replace(known, registration=replace(known.registration, instance_id=instance_id))


def _claim(claim: socket.socket, known: Configuration) -> str:
    """Claim by *claim* the id of *known*, or another one in its place. Returns the id to use. Raises: OSError."""
    wanted = known.registration.instance_id
    if known.options.instance_id is None:
        numbered = (f"{wanted}-{number}" for number in itertools.count(2))
        instance_id = next(each for each in itertools.chain([wanted], numbered) if _is_free(claim, known, each))
        if instance_id != wanted:
            log.info("another worker on this host has the instance id %s: this one is %s", wanted, instance_id)
        return instance_id
    if not _is_free(claim, known, wanted):
        log.warning(
            "another worker on this host has the instance id %s too: they share one max_worker_concurrency, that of the last to "
            "connect; pass another instance_id (--instance-id), or leave it out",
            wanted,
        )
    return wanted


def _is_free(claim: socket.socket, known: Configuration, instance_id: str) -> bool:
    """Claim *instance_id* by *claim*, unless another socket of this host has its name. Raises: OSError: nothing can be claimed."""
    try:
        claim.bind(_name(known, instance_id))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _name(known: Configuration, instance_id: str) -> bytes:
    """The name for *instance_id* in the environment that *known* leads to. Every user of the host can read it."""
    bearer = known.keyring.bearer
    key = hashlib.sha256(bearer.reveal().encode()).hexdigest()[:4] if bearer else ""  # too little to guess the key by
    origin = without_passwords(known.origin).rstrip("/").lower()
    place = json.dumps([origin, known.env, key, instance_id])
    return b"\0inngest-connect-" + hashlib.sha256(place.encode()).hexdigest().encode()
