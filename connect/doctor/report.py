"""What the doctor says: line by line as it goes, as a table on a terminal, or as JSON."""

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connect.doctor.findings import Finding, Mark

_STYLES: Final = {Mark.GOOD: "green", Mark.WRONG: "bold red", Mark.SKIPPED: "dim"}
_ARROW: Final = "→"
_PLAIN: Final = {Mark.GOOD.value: "ok", Mark.WRONG.value: "WRONG", Mark.SKIPPED.value: "-", _ARROW: "->"}
"""What is written where the terminal or file has no such signs."""


class Verdict:
    """What the findings come to."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = findings
        marks = {finding.check: finding.mark for finding in findings}
        self.wrong = [finding.check for finding in findings if finding.mark is Mark.WRONG]
        """The names of the checks that failed."""
        self._is_registered = marks.get("registration") is Mark.GOOD
        last = {"message size", "hello", "registration"}
        self.connects = marks.get("hello") is Mark.GOOD and not last & set(self.wrong)
        """Whether a worker comes through, as far as it was tried."""

    @property
    def exit_code(self) -> int:
        """0: all well; 1: something is wrong."""
        return 1 if self.wrong else 0

    def __str__(self) -> str:
        if not self.connects:
            return f"A worker cannot connect: see {', '.join(self.wrong)}."
        if self.wrong:
            return f"A worker can connect, but something is wrong: see {', '.join(self.wrong)}."
        if self._is_registered:
            return "All well: a worker can connect, and the functions are synced."
        return "All well: a worker gets as far as the gateway. With --register: its functions too."

    def to_json(self) -> str:
        """An object for other programs; the fields keep their names."""
        checks = [_fields(finding) for finding in self.findings]
        return json.dumps(
            {"ok": not self.wrong, "connects": self.connects, "checks": checks}, ensure_ascii=False, indent=2
        )


def _fields(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "result": finding.mark.name.lower(),
        "found": finding.found,
        "next": finding.next,
        "seconds": finding.seconds,
        "because": finding.because,
    }


class Report(Protocol):
    """Follows an examination."""

    def looking(self, name: str) -> contextlib.AbstractContextManager[object]:
        """The check *name* is being made."""

    def tell(self, finding: Finding) -> None:
        """It came to this."""

    def end(self, verdict: Verdict) -> None:
        """There is no more."""


class Lines:
    """For a file or a pipe: each finding as it comes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def looking(self, _: str) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def tell(self, finding: Finding) -> None:
        self._print(f"{self._sign(finding.mark.value)} {finding.check}: {finding.found}")
        if finding.next:
            self._print(f"  {self._sign(_ARROW)} {finding.next}")

    def end(self, verdict: Verdict) -> None:
        self._print(str(verdict))

    def _sign(self, sign: str) -> str:
        return _sign(sign, self._out.encoding)

    def _print(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


class Json(Lines):
    """One object, at the end."""

    def tell(self, finding: Finding) -> None:
        pass

    def end(self, verdict: Verdict) -> None:
        self._print(verdict.to_json())


class Screen:
    """For a terminal: the check at hand while it runs, and a table."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def looking(self, name: str) -> Iterator[None]:
        with self._console.status(Text(f"checking: {name}", style="dim")):
            yield

    def tell(self, finding: Finding) -> None:
        pass

    def end(self, verdict: Verdict) -> None:
        table = Table(box=box.ROUNDED, show_header=False, border_style="dim")
        for name in ("mark", "check"):
            table.add_column(name, no_wrap=True)
        table.add_column("found", overflow="fold")
        for because, findings in itertools.groupby(verdict.findings, lambda finding: finding.because):
            self._add(table, because, list(findings))
        self._console.print(table)
        style = "bold red" if not verdict.connects else "yellow" if verdict.wrong else "bold green"
        self._console.print(Text(str(verdict), style=style))

    def _add(self, table: Table, because: str, findings: Sequence[Finding]) -> None:
        """A row each; but one for all that could not be checked."""
        if because and findings[1:]:
            findings = [replace(findings[0], check=f"{len(findings)} others")]
        for finding in findings:
            table.add_row(*self._row(finding))

    def _row(self, finding: Finding) -> tuple[Text, Text, Text]:
        rest = "dim" if finding.mark is Mark.SKIPPED else ""
        found = Text(finding.found, style=rest)
        if finding.next:
            style = "bold" if finding.mark is Mark.WRONG else "yellow"
            found.append(f"\n{self._sign(_ARROW)} {finding.next}", style=style)
        return Text(self._sign(finding.mark.value), style=_STYLES[finding.mark]), Text(finding.check, style=rest), found

    def _sign(self, sign: str) -> str:
        return _sign(sign, self._console.encoding)


def _sign(sign: str, encoding: str | None) -> str:
    """*sign* as this encoding can write it."""
    try:
        sign.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return _PLAIN[sign]
    return sign
