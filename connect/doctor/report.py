"""The doctor's report: a line for each check as it is made, a table on a terminal, or JSON."""

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
"""Replacements, for a terminal or file whose encoding lacks these signs."""


class Verdict:
    """The result of all findings together."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = findings
        marks = {finding.check: finding.mark for finding in findings}
        self.wrong = [finding.check for finding in findings if finding.mark is Mark.WRONG]
        """The names of the checks that failed."""
        self._is_registered = marks.get("registration") is Mark.GOOD
        last = {"message size", "hello", "registration"}
        self.connects = marks.get("hello") is Mark.GOOD and not last & set(self.wrong)
        """Whether a worker can connect, as far as the checks went."""

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
        return "All well: a worker reaches the gateway. To check your functions too, add MODULE:APPS --register."

    def to_json(self) -> str:
        """One JSON object for programs; the names of its fields do not change."""
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
    """Shows the checks of an examination."""

    def checking(self, name: str) -> contextlib.AbstractContextManager[object]:
        """The check *name* is made while the context lasts."""

    def add(self, finding: Finding) -> None:
        """Take the finding of a check."""

    def end(self, verdict: Verdict) -> None:
        """All checks have been made."""


class Lines:
    """For a file or a pipe: prints each finding when it is added."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def checking(self, _: str) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()

    def add(self, finding: Finding) -> None:
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

    def add(self, finding: Finding) -> None:
        pass

    def end(self, verdict: Verdict) -> None:
        self._print(verdict.to_json())


class Screen:
    """For a terminal: shows the name of the check that runs, and a table at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def checking(self, name: str) -> Iterator[None]:
        with self._console.status(Text(f"checking: {name}", style="dim")):
            yield

    def add(self, finding: Finding) -> None:
        pass

    def end(self, verdict: Verdict) -> None:
        table = Table(box=box.ROUNDED, show_header=False, border_style="dim")
        for name in ("mark", "check"):
            table.add_column(name, no_wrap=True)
        table.add_column("found", overflow="fold")
        for because, findings in itertools.groupby(verdict.findings, lambda finding: finding.because):
            self._add_rows(table, because, list(findings))
        self._console.print(table)
        style = "bold red" if not verdict.connects else "yellow" if verdict.wrong else "bold green"
        self._console.print(Text(str(verdict), style=style))

    def _add_rows(self, table: Table, because: str, findings: Sequence[Finding]) -> None:
        """Add a row for each finding, but one row for all checks that could not be made."""
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
    """*sign*, or its replacement if *encoding* cannot write it."""
    try:
        sign.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return _PLAIN[sign]
    return sign
