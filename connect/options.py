"""Options: everything that `connect()` takes, each declared once.

`connect()` has the signature of `Options`; `python -m connect run` and `[tool.connect]` have a flag for each option that names one;
the documentation is made from the texts. `connect.configuration` checks the values.
"""

import inspect
import signal
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from ssl import SSLContext
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import tenacity

from connect.deadlines import Deadlines
from connect.execution import Executor, sdk

Isolation = Literal["thread", "none", "process"]
OnLeaseLost = Literal["cancel", "finish"]

OUTBOX_LIMIT: Final = 256 * 1024 * 1024
"""Bytes of unconfirmed replies."""


class Option(NamedTuple):
    """What is said of an option: a sentence or more, and how the command takes it ("": not at all).

    `flag_text` is what the command's help adds to the text; `flag_kind` is the type of the flag's value, if it is another one.
    """

    text: str
    flag: str = ""
    metavar: str | None = None
    flag_text: str = ""
    flag_kind: Any = None


@dataclass(frozen=True)
class Options:
    """What a worker is asked to be. All times are seconds."""

    apps: Annotated[sdk.AppsArgument, Option('[(client, [functions])], or "MODULE:APPS", which names such a list.')]
    _: KW_ONLY
    instance_id: Annotated[
        str | None,
        Option(
            "Identifies this process to the server; keep it across restarts. Default: the host's name; on Linux with -2, -3 and so "
            "on behind it where other workers of this host have that already.",
            "--instance-id",
        ),
    ] = None
    rewrite_gateway_endpoint: Annotated[
        Callable[[str], str] | None,
        Option("Called with the gateway address that the server grants; returns the address to dial."),
    ] = None
    shutdown_signals: Annotated[
        Sequence[signal.Signals] | None,
        Option(
            "Signals that begin a graceful shutdown; a second one cancels user code. Default: SIGINT and SIGTERM; []: none. "
            "`start()` installs the handlers, on the main thread only, and restores the earlier ones when it ends."
        ),
    ] = None
    max_worker_concurrency: Annotated[
        int | None,
        Option(
            "Executions that the server may hand to this instance at once; 0: no limit, and the server forgets an earlier one. "
            "It is not the number of threads for sync functions: docs/concurrency.md has both. "
            "Default: `INNGEST_CONNECT_MAX_WORKER_CONCURRENCY`; without that, the server is told nothing.",
            "--max-concurrency",
        ),
    ] = None
    signing_key: Annotated[
        str | None,
        Option("Replaces the clients' signing key. It is always sent; the clients' own is sent in cloud mode only."),
    ] = field(default=None, repr=False)
    signing_key_fallback: Annotated[
        str | None, Option("Replaces the clients' fallback key, which is tried when the API refuses the signing key.")
    ] = field(default=None, repr=False)
    api_base_url: Annotated[str | None, Option("Replaces the clients' API address.", "--api-base-url")] = None
    env: Annotated[str | None, Option("The Inngest environment; replaces the clients' own.", "--env")] = None
    gateway_url: Annotated[
        str | None,
        Option(
            "Dial this ws or wss address, whatever address the server grants. Default: `INNGEST_CONNECT_GATEWAY_URL`.",
            "--gateway-url",
        ),
    ] = None
    insecure_gateway: Annotated[
        bool,
        Option(
            "With a signing key and an https API, dial a granted ws address, too. By default such an attempt fails: tokens and "
            "payloads would not be encrypted. An address of your own, from `gateway_url` or `rewrite_gateway_endpoint`, needs no "
            "permission.",
            "--insecure-gateway",
        ),
    ] = False
    proxy: Annotated[
        str | Literal[False] | None,
        Option(
            "Reach API and gateway through this proxy: `http://`, `https://` or `socks5://`, then `USER:PASSWORD@` if it wants "
            'them, then `HOST:PORT`. `False` or "": directly. Default: what `HTTPS_PROXY`, `NO_PROXY` and the like say.',
            "--proxy",
            "URL",
            flag_kind=str | None,
        ),
    ] = field(default=None, repr=False)
    ssl: Annotated[
        SSLContext | None,
        Option(
            "The TLS for API, gateway and an https proxy: whom it trusts, and the client's certificate. Default: Python's, which "
            "reads `SSL_CERT_FILE` and `SSL_CERT_DIR`."
        ),
    ] = None
    connect_timeout: Annotated[
        float | None,
        Option("Seconds until the worker must be ACTIVE for the first time. Default: no limit.", "--connect-timeout"),
    ] = None
    shutdown_timeout: Annotated[
        float | None,
        Option(
            "Seconds that work in flight has to finish at shutdown; then it is cancelled. Default: no limit.",
            "--shutdown-timeout",
        ),
    ] = None
    flush_timeout: Annotated[
        float,
        Option(
            "Seconds to deliver the last replies once work has ended, and for a cancelled function to end (a sync one, on its "
            "thread, cannot be stopped). Replies that are left then are lost.",
            "--flush-timeout",
        ),
    ] = 60.0
    retry: Annotated[
        tenacity.AsyncRetrying | None,
        Option(
            "A tenacity policy. Its `wait` is used between failed attempts, to connect or to flush a reply; its `sleep` before "
            "each dial, and before a process is replaced. It must not stop. It does not decide how often a lost link is replaced "
            "at once, nor the wait after that."
        ),
    ] = None
    isolation: Annotated[
        Isolation,
        Option(
            "thread: the connection has a thread of its own, so user code cannot delay a heartbeat; none: one loop for "
            "everything; process: as thread, and functions run in processes that import the apps, which must be named as "
            '"MODULE:APPS".',
            "--isolation",
            metavar="KIND",
        ),
    ] = "thread"
    processes: Annotated[
        int | None,
        Option(
            "How many processes, with isolation process. Default: one for each core that may be used.", "--processes"
        ),
    ] = None
    recycle_after: Annotated[
        int | None,
        Option(
            "Executions after which a process is replaced: a successor starts, takes over once it is ready, and the process ends "
            "when it has finished its work. Default: never.",
            "--recycle-after",
        ),
    ] = None
    executor: Annotated[Executor | None, Option("Runs user functions in place of the three isolations.")] = None
    on_lease_lost: Annotated[
        OnLeaseLost,
        Option(
            "What to do with an execution that the server took away: cancel it, or let it finish.", "--on-lease-lost"
        ),
    ] = "cancel"
    stall_warning: Annotated[
        float | None,
        Option(
            "Seconds that an async function may block the event loop, or a sync one wait for a thread, before a warning says so. "
            "Such blocks are counted, too. None or 0: no watch.",
            "--stall-warning",
        ),
    ] = 1.0
    outbox_limit: Annotated[
        int,
        Option("Bytes of replies that may wait for delivery. Past it the oldest reply is lost, and the log says so."),
    ] = OUTBOX_LIMIT
    log_executions: Annotated[
        bool,
        Option(
            "Log a line at INFO for each execution: function, step, run, attempt, duration, outcome.",
            "--log-executions/--no-log-executions",
        ),
    ] = True
    http: Annotated[
        str | None,
        Option(
            "Serve /livez, /readyz, /status and /metrics at this address while the worker runs.",
            "--http",
            "HOST:PORT",
            "An address that other machines reach needs --allow-remote too.",
        ),
    ] = None
    status_page: Annotated[
        bool,
        Option(
            "Serve the live page there too, read-only: states, transitions, ids of requests in flight.",
            "--status-page",
            flag_text="Without --http the address is 127.0.0.1:9090.",
        ),
    ] = False
    traces: Annotated[
        bool,
        Option(
            "Open OpenTelemetry spans, with the process's tracer provider. Needs the extra otel.",
            "--traces",
            flag_text="Without a provider of your own they go to OTEL_EXPORTER_OTLP_ENDPOINT.",
        ),
    ] = False
    deadlines: Annotated[Deadlines, Option("How long the peer may keep the worker waiting.")] = Deadlines()  # noqa: RUF009 - frozen


class Declared(NamedTuple):
    """An option as it is declared. `kind` is its type."""

    name: str
    kind: Any
    default: Any
    option: Option


def declared() -> Iterator[Declared]:
    """Every option, in the order of the declaration."""
    annotations = inspect.get_annotations(Options)
    for each in fields(Options):
        kind, option = get_args(annotations[each.name])
        yield Declared(each.name, kind, each.default, option)


def signature() -> inspect.Signature:
    """How a function is called that takes every option."""
    parameters = inspect.signature(Options).parameters
    return inspect.Signature([parameters[each.name].replace(annotation=each.kind) for each in declared()])


def arguments() -> str:
    """Every option and its text, as a docstring lists arguments."""
    lines = (f"{each.name}: {each.option.text}" for each in declared())
    return "\n".join(textwrap.fill(line, 120, initial_indent=" " * 4, subsequent_indent=" " * 8) for line in lines)
