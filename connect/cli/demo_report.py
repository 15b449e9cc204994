"""The demo's last word: a table of what happened, read from the gateway's own books."""

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from connect.cli.shop import Shop
from connect.cli.tale import Incident, Tale
from connect.gateway import Gateway
from connect.worker import WorkerConnection


class Report:
    """Judged by the gateway: a request is lost if the worker took it and no reply was ever stored."""

    def __init__(
        self, gateway: Gateway, worker: WorkerConnection, tale: Tale, shop: Shop, *, interrupted: bool = False
    ) -> None:
        self._interrupted = interrupted
        self._books = gateway.ledger.summary()
        self._runs = [run.status for run in gateway.runs]
        self._extended = sum(request.extended for request in gateway.ledger)
        self._unexpected = worker.status().unexpected_events
        self._repeated = shop.repeated
        self._tale = tale
        self._seconds = tale.moments[-1].at if tale.moments else 0.0

    @property
    def is_good(self) -> bool:
        """Nothing was lost or done twice, every run that had the time for it completed."""
        completed = self._interrupted or all(status == "completed" for status in self._runs)
        return completed and not (self._books["lost"] or self._repeated or self._unexpected)

    @property
    def exit_code(self) -> int:
        """0, 1 where something went wrong, 130 after Ctrl-C."""
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
        lost = self._books["lost"]
        table.add_row("lost", str(lost), "", style="bold green" if not lost else "bold red")
        return table

    def _rows(self) -> list[tuple[str, int, str]]:
        books, drains, drops = self._books, self._of("drain"), self._of("drop", "outage")
        return [
            ("runs", len(self._runs), f"{self._runs.count('completed')} completed"),
            ("requests", books["accepted"], f"connected after {self._tale.ready_after * 1000:.0f} ms"),
            (
                "replies",
                books["socket"] + books["flush"],
                f"{books['socket']} by socket, {books['flush']} by HTTP flush",
            ),
            ("lease extensions", self._extended, ""),
            ("drains", len(drains), "; ".join(self._drain(each) for each in drains)),
            ("drops", len(drops), "; ".join(self._drop(each) for each in drops)),
            ("duplicate replies", books["duplicates"], ""),
            ("work done twice", self._repeated, ""),
        ]

    def _of(self, *causes: str) -> list[Incident]:
        return [incident for incident in self._tale.incidents if incident.cause in causes]

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
            return Text("Nothing was lost. Your own: python -m connect run MODULE:APPS\n", style="green")
        return Text("This should not have happened: please report it, with the lines above.\n", style="bold red")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
