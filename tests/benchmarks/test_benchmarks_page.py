"""The benchmark page shows the figures that were measured, and no others."""

from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import idle, imports, inflight, memory, page, punctual, soak, summary, svg
from benchmarks.results import Part, conditions, save, spread
from benchmarks.throughput import Sample, Throughput


def sample(subject: str, rate: float, *, number: int = 0, window: int = 64) -> Sample:
    return Sample(
        subject=subject,
        round=number,
        window=window,
        rate=rate,
        p50=0.01,
        p99=0.02,
        connection_cpu=1e-4,
        whole_cpu=2e-4,
        switches=3.0,
        connection_rss=50 << 20,
        whole_rss=60 << 20,
        load_cpu=0.2,
    )


def test_a_ratio_is_the_median_of_the_rounds_not_of_all() -> None:
    rounds = [(100.0, 300.0), (1000.0, 1100.0), (10.0, 20.0)]
    samples = [
        sample(subject, rate, number=number)
        for number, pair in enumerate(rounds)
        for subject, rate in zip(("official", "thread"), pair, strict=True)
    ]
    assert Throughput(samples).ratio("thread", 64, "rate", "official") == 2.0


def test_starts_are_compared_within_their_round() -> None:
    found = idle.Idling([], {"official": [1.0, 2.0, 10.0], "thread": [2.0, 3.0, 11.0]})
    assert spread(found.start_ratios("thread", "official")) == "1.50 (1.10 … 2.00)"
    assert spread(found.start_ratios("thread", "floor")) == "-"


def test_the_page_has_what_was_measured_and_how(tmp_path: Path) -> None:
    samples = [sample("official", 1234.0), sample("thread", 2468.0), sample("official", 99.0, window=1)]
    samples.append(sample("thread", 198.0, window=1))
    part = Part(conditions("python -m this"), asdict(Throughput(samples, ["official: of 5 requests, 1 flushed"])))
    save("throughput", part, tmp_path / "results")
    page.write(tmp_path, tmp_path / "results")
    text = (tmp_path / "performance.md").read_text()
    assert (
        "| ours, isolation thread | 2,468 (2,468 … 2,468) | 2.00 (2.00 … 2.00) | - | 10 ms | 1.00 (1.00 … 1.00) | 20 ms "
        "| 100 µs | 200 µs | 3 | 50 MiB | 60 MiB |" in text
    )
    assert "`python -m this`" in text
    assert "official: of 5 requests, 1 flushed" in text
    assert "![throughput](throughput.svg)" in text
    ElementTree.parse(tmp_path / "throughput.svg")  # noqa: S314 - our own


async def test_every_part_that_drives_a_worker_ends_up_on_the_page(tmp_path: Path) -> None:
    one = ["none-noop"]
    save("idle", await idle.run(rounds=1, seconds=0.2, starts=1, subjects=one), tmp_path)
    save("memory", await memory.run(requests=50, subjects=one), tmp_path)
    save("punctual", await punctual.run(seconds=1.5, subjects=one, ways=["spin"]), tmp_path)
    save("inflight", await inflight.run(counts=[3, 5], seconds=1.0, subjects=one), tmp_path)
    few = [imports.BASE, imports.OFFICIAL, "the SDK and ours"]
    save("imports", await imports.run(rounds=1, imports=few), tmp_path)
    page.write(tmp_path, tmp_path)
    text = (tmp_path / "performance.md").read_text()
    assert all(f"| {what} | " in text for what in few)
    assert text.count("| ours, isolation none, executing nothing |") == 5
    for plot in ("memory", "inflight-throughput", "inflight-leases"):
        ElementTree.parse(tmp_path / f"{plot}.svg")  # noqa: S314 - our own


@pytest.mark.parametrize(
    ("above", "value", "verdict"), [(True, 1.5, "met"), (True, 1.4, "**missed**"), (False, 1.6, "**missed**")]
)
def test_an_aim_is_met_or_missed(above: bool, value: float, verdict: str) -> None:
    assert page.Aim("x", above, 1.5, value).row().endswith(f"| {verdict} |")


def test_a_chart_shows_every_point_where_it_belongs() -> None:
    lines = [svg.Series("a & b", [(1, 0), (100, 50)]), svg.Series("c", [(1, 10), (100, 50)])]
    drawing = ElementTree.fromstring(svg.chart("title", "x", "y", lines, log_x=True))  # noqa: S314 - our own
    circles = [
        (float(each.get("cx", "")), float(each.get("cy", "")))
        for each in drawing.iter("{http://www.w3.org/2000/svg}circle")
    ]
    assert circles[0] == (svg.LEFT, svg.HEIGHT - svg.BOTTOM)
    assert circles[1] == circles[3] == (svg.WIDTH - svg.RIGHT, svg.TOP)
    labels = [each for each in drawing.iter("{http://www.w3.org/2000/svg}text") if each.text in ("a & b", "c")]
    ends = [float(each.get("y", "")) for each in labels]
    assert abs(ends[0] - ends[1]) >= svg.GAP


@pytest.mark.parametrize(("top", "step"), [(7, 1), (10, 2), (4200, 1000), (0.9, 0.2), (0, 1)])
def test_marks_are_round_numbers(top: float, step: float) -> None:
    assert svg.nice_step(top) == pytest.approx(step)


def test_the_readme_gets_its_table(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- measured -->\nold\n<!-- end -->\nafter\n")
    samples = [sample(each, rate) for each, rate in (("official", 1000.0), ("thread", 1500.0), ("none", 2000.0))]
    samples += [sample("process", 3000.0), sample("official-uvloop", 1200.0), sample("thread-uvloop", 2400.0)]
    summary.write({"throughput": Part({}, asdict(Throughput(samples)))}, readme)
    text = readme.read_text()
    assert text.startswith("before\n<!-- measured -->\n|  | `inngest.connect` | here: `thread` |")
    speeds = "1,000/s, 10 ms | 1,500/s (ratio 1.50), 10 ms | 2,000/s (ratio 2.00), 10 ms | 3,000/s (ratio 3.00), 10 ms"
    assert f"| 64 outstanding | {speeds} |\n" in text
    assert "| 64 outstanding, on uvloop | 1,200/s, 10 ms | 2,400/s (ratio 2.00), 10 ms |  |  |\n" in text
    assert "| CPU per request of all processes, 64 outstanding | 200 µs | 200 µs | 200 µs | 200 µs |\n" in text
    assert text.endswith("<!-- end -->\nafter\n")


def test_requests_that_were_held_before_cpu_was_measured_are_shown_without_it() -> None:
    figures = dict.fromkeys(("rate", "p99", "extensions", "age_p50", "age_p99", "age_max", "beat_gap_max"), 1)
    held: list[dict[str, Any]] = [
        {"subject": "none", "held": held, "whole_rss": held * 2048, "faults": [], **figures} for held in (1, 11)
    ]
    assert "| 2.0 KiB | not measured |" in inflight.section(Part({}, held))
    measured = [{**each, "cpu": each["held"] / 3600} for each in held]
    assert "| 2.0 KiB | 1.00 s |" in inflight.section(Part({}, measured))


def test_the_soak_is_shown_by_isolation_and_its_faults_by_kind() -> None:
    one = {
        "isolation": "none",
        "requests": 2000,
        "seconds": 4,
        "lost": 0,
        "twice": 0,
        "faults": {"drop": 1000, "nack": 7},
    }
    one |= {"killed": 0, "leases_lost": 7, "rss_early": 60 << 20, "rss_late": 61 << 20}
    text = soak.section(Part({}, [one]))
    assert "| `none` | 2,000 | 0 | 0 | 1,007 | 0 | 7 | 500 | 60 MiB | 61 MiB |" in text
    assert "| drop | 1,000 |" in text
