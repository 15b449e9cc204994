"""The demo's report: a table of what happened, counted by the gateway."""

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from connect import command_name
from connect.cli.demo_timeline import Incident, Timeline
from connect.cli.sample_app import SampleApp
from connect.gateway import Gateway
from connect.worker import WorkerConnection


class Report:
    """The table and the verdict. A request counts as lost if the worker acknowledged it and the gateway got no reply."""

    def __init__(
        self,
        gateway: Gateway,
        worker: WorkerConnection,
        timeline: Timeline,
        sample: SampleApp,
        *,
        interrupted: bool = False,
    ) -> None:
        self._interrupted = interrupted
        self._counts = gateway.ledger.summary()
        self._runs = [run.status for run in gateway.runs]
        self._extended = sum(request.extended for request in gateway.ledger)
        self._unexpected = worker.status().unexpected_events
        self._repeated = sample.repeated
        self._timeline = timeline
        self._seconds = timeline.moments[-1].at if timeline.moments else 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost or done twice, and, unless interrupted, every run completed."""
        completed = self._interrupted or all(status == "completed" for status in self._runs)
        return completed and not (self._counts["lost"] or self._repeated or self._unexpected)

    @property
    def exit_code(self) -> int:
        """0: all is well; 1: something went wrong; 130: all was well until Ctrl-C."""
        return (130 if self._interrupted else 0) if self.is_good else 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield ""
        yield self._table()
        yield self._verdict()

    def _table(self) -> Table:
        title = f"What happened in {self._seconds:.1f} s"
        table = Table(box=box.ROUNDED, title=title, title_justify="left", show_header=False, border_style="dim")
        table.add_column("", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True, style="bold")
        table.add_column("", no_wrap=True, overflow="ellipsis")
        for name, value, detail in self._rows():
            table.add_row(name, str(value), detail)
        lost = self._counts["lost"]
        table.add_row("lost", str(lost), "", style="bold green" if not lost else "bold red")
        return table

    def _rows(self) -> list[tuple[str, int, str]]:
        counts, drains, drops = self._counts, self._of("drain"), self._of("drop", "outage")
        return [
            ("runs", len(self._runs), f"{self._runs.count('completed')} completed"),
            ("requests", counts["accepted"], f"connected after {self._timeline.ready_after * 1000:.0f} ms"),
            (
                "replies",
                counts["socket"] + counts["flush"],
                f"{counts['socket']} by socket, {counts['flush']} by HTTP flush",
            ),
            ("lease extensions", self._extended, ""),
            ("drains", len(drains), "; ".join(self._drain(each) for each in drains)),
            ("drops", len(drops), "; ".join(self._drop(each) for each in drops)),
            ("duplicate replies", counts["duplicates"], ""),
            ("work done twice", self._repeated, ""),
        ]

    def _of(self, *causes: str) -> list[Incident]:
        return [incident for incident in self._timeline.incidents if incident.cause in causes]

    def _drain(self, incident: Incident) -> str:
        if incident.healed is None:
            return "never moved"
        return f"moved in {_ms(incident.healed)}, gap of work {_ms(incident.gap)}"

    def _drop(self, incident: Incident) -> str:
        gap = "never back" if incident.healed is None else f"gap {_ms(incident.gap)}"
        return gap + (" (API down)" if incident.cause == "outage" else "")

    def _verdict(self) -> Text:
        if self.is_good and self._interrupted:
            return Text("Interrupted. Nothing was lost until then.\n", style="green")
        if self.is_good:
            return Text(
                f"Nothing was lost. Run your own functions: {command_name.typed()} run MODULE:APPS\n", style="green"
            )
        return Text("This should not have happened: please report it, with the lines above.\n", style="bold red")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
