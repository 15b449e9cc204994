"""The pages say of the doctor what it does. tests/docs runs the page's commands."""

import re
from pathlib import Path

from connect.doctor import CHECKS
from connect.doctor.report import Lines
from connect.gateway import Gateway
from tests.doctor.conftest import SECOND, examine
from tests.doctor.test_doctor_command import shown

ROOT = Path(__file__).parents[2]


def test_the_page_has_a_row_for_each_check_in_order() -> None:
    table = (ROOT / "docs" / "doctor.md").read_text().partition("## The checks")[2].partition("What a start request")[0]
    rows = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:]
    assert [name for row in rows for name in row.split(", ")] == [check.name for check in CHECKS]


async def test_the_readme_shows_what_it_says(cloud: Gateway) -> None:
    cloud.signing_keys = (SECOND,)
    findings = await examine()
    said = [milliseconds(line) for line in shown(Lines, list(findings.values())).splitlines()]
    [block] = re.findall(r"^  ```text\n(  ✓ API.*?)^  ```$", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = [milliseconds(line[2:]) for line in block.splitlines()]
    assert [line for line in lines if line != "…" and line not in said] == []


def milliseconds(line: str) -> str:
    return re.sub(r"\d+ ms", "0 ms", line)
