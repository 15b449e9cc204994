"""Make mutants from the charts, and see that tests of the real worker kill each: the evidence behind docs/mutation.md.

`python -m tests.mutate [WORD ...]` tries every mutant, or those whose names contain each WORD. `--list` names them, `--write` puts
the figures of a whole run into the page. Exit code 0: all are refused or killed, but for exactly those that the page lists.
"""

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from statecharts.tools.walking.mutants import Mutant
from tests.mutate import page, plan
from tests.mutate.install import every_mutant
from tests.mutate.jury import Jury
from tests.mutate.page import Found
from tests.mutate.plan import Plan
from tests.mutate.verdicts import FOLDER, Verdict, Verdicts, evidence

AT_ONCE = 2 * (os.cpu_count() or 1)
"""Most trials wait, most of the time, for what does not come."""


def main(arguments: list[str]) -> int:
    """Run the mutants, and print what is wrong."""
    options = _options(arguments)
    chosen = [mutant for mutant in every_mutant() if all(word in mutant.name for word in options.word)]
    if options.list:
        _say(*(mutant.name for mutant in chosen))
        return 0
    listed = page.survivors()
    found = run(chosen, listed)
    bad = list(page.faults(found, listed, {mutant.name for mutant in every_mutant()}))
    _say("", page.figures(found), *bad)
    if options.write and not options.word:
        page.write(found)
    return bool(bad)


def run(chosen: Iterable[Mutant], listed: Collection[str]) -> Found:
    """Yield every verdict as it comes. A verdict of an earlier run that still holds is not made again."""
    chosen, verdicts = list(chosen), Verdicts()
    found = {mutant.name: verdict for mutant in chosen if (verdict := verdicts.get(mutant.name))}
    left = [mutant for mutant in chosen if mutant.name not in found]
    for verdict in _tried(left, listed) if left else ():
        found[verdict.mutant] = verdict
        verdicts.add(verdict)
        _say(verdict)
    return [(mutant, found[mutant.name]) for mutant in chosen]


def _tried(mutants: list[Mutant], listed: Collection[str]) -> Iterator[Verdict]:
    jury = Jury(Plan(_cover()), listed)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for trial in as_completed([pool.submit(jury.judge, mutant) for mutant in mutants]):
            yield trial.result()


def _cover() -> Path:
    """Which test takes which transition; recorded anew if anything has changed."""
    folder, mark = FOLDER / "cover", FOLDER / "cover-of"
    if not mark.exists() or mark.read_text() != evidence():
        _say("every test, without any mutant")
        plan.record(folder)
        mark.write_text(evidence())
    return folder / "coverage.json"


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("word", nargs="*", help="only mutants whose names contain it")
    parser.add_argument("--list", action="store_true", help="name the mutants, and do nothing")
    parser.add_argument("--write", action="store_true", help="write the figures of a whole run into docs/mutation.md")
    return parser.parse_args(arguments)


def _say(*lines: object) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
