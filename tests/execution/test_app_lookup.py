"""Apps are found by name, `MODULE:APPS`; a name that leads nowhere says why, and where in the user's own code."""

import sys
from pathlib import Path

import pytest

from connect.errors import ConfigurationError
from connect.execution import sdk
from connect.execution.app_lookup import locate
from connect.execution.importing import importing_apps

pytestmark = pytest.mark.oldest

MODULE = """
import inngest
client = inngest.Inngest(app_id="named", is_production=False)

@client.create_function(fn_id="f", trigger=inngest.TriggerEvent(event="f"))
async def f(ctx): return 1

apps = [(client, [f])]
pair = (client, [f])
pairs = ((client, [f]),)
def make(): return apps
def make_pair(): return pair
def broken(): raise LookupError("no settings")
def greedy(settings): return apps
nothing = None
"""

SELFISH = """
import asyncio
from connect import connect
from named import apps

asyncio.run(connect(apps).start())
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Module `named` in the working directory, which is not on the path."""
    (tmp_path / "named.py").write_text(MODULE)
    (tmp_path / "faulty.py").write_text("1 / 0")
    (tmp_path / "lacking.py").write_text("import no_such_thing")
    (tmp_path / "leading.py").write_text("import json\n\nimport faulty\n")
    (tmp_path / "reading.py").write_text("import json\n\njson.loads('{')\n")
    (tmp_path / "garbled.py").write_text("\ndef (:\n")
    (tmp_path / "selfish.py").write_text(SELFISH)
    (tmp_path / "bundle").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    for name in ("named", "faulty", "lacking", "leading", "reading", "selfish", "bundle"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("name", ["apps", "pair", "pairs", "make", "make_pair"])
def test_apps_are_found_by_name(module: None, name: str) -> None:
    assert [each.app_name for each in sdk.load(f"named:{name}").configurations] == ["named"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("named", "'named' names no apps: write MODULE:APPS"),
        ("named:", "write MODULE:APPS"),
        (":apps", "write MODULE:APPS"),
        ("nowhere:apps", "no module 'nowhere' in "),
        ("bundle.nowhere:apps", "no module 'bundle.nowhere' in "),
        ("lacking:apps", "cannot import 'lacking': ModuleNotFoundError: No module named 'no_such_thing'"),
        ("faulty:apps", "cannot import 'faulty': ZeroDivisionError: division by zero"),
        ("leading:apps", "faulty.py, line 1)"),
        ("reading:apps", "reading.py, line 3)"),
        ("garbled:apps", "SyntaxError: invalid syntax (garbled.py, line 2)"),
        ("named.py:apps", "'named.py' is a file, not a module: did you mean named:apps?"),
        ("bundle/deep:apps", "did you mean bundle.deep:apps?"),
        ("./bundle/deep.py:apps", "did you mean bundle.deep:apps?"),
        ("/srv/shop/main.py:apps", "change to /srv/shop and name main:apps"),
        ("../main:apps", "change to .. and name main:apps"),
        ("named:other", "module 'named' has no 'other'"),
        ("named:broken", "calling 'named:broken' raised LookupError: no settings ("),
        (
            "named:greedy",
            "named:greedy is a Python function ('greedy') that needs arguments (settings): did you mean named:",
        ),
        ("named:nothing", "named:nothing is None: did you mean named:"),
        ("named:client", "named:client is a client (of app 'named') without functions: did you mean named:"),
    ],
)
def test_a_name_that_leads_nowhere_says_why(module: None, name: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sdk.load(name)
    assert said in str(caught.value)


def test_a_module_that_starts_a_worker_when_it_is_imported_is_told_to_guard_it(module: None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sdk.load("selfish:apps")
    assert 'put that under `if __name__ == "__main__":`' in str(caught.value)
    assert "selfish.py, line 6)" in str(caught.value)


def test_what_is_no_app_is_found_as_it_is(module: None) -> None:
    """`sdk.load` checks whether it is one."""
    assert locate("named:nothing") is None
    assert locate("json:decoder").__name__ == "json.decoder"  # type: ignore[attr-defined]


def test_what_the_users_code_raised_is_chained(module: None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        locate("named:broken")
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_worker_knows_that_the_apps_are_being_imported_and_no_longer(
    module: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is taken back if the import fails, too."""
    (tmp_path / "asking.py").write_text(
        "from connect.execution.importing import importing_apps\nit = importing_apps.get()"
    )
    assert locate("asking:it") is True
    assert importing_apps.get() is False
    with pytest.raises(ConfigurationError):
        locate("faulty:apps")
    assert importing_apps.get() is False
    monkeypatch.delitem(sys.modules, "asking")
