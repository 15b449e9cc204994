"""A name of apps that is not quite right, and a value that is wrong: one line says which, where it stands, and what to write."""

import sys
from pathlib import Path
from typing import Any

import pytest

from connect import ConfigurationError, connect
from connect.cli.config import prepare
from connect.execution import sdk

MODULE = """
import inngest

client = inngest.Inngest(app_id="shop", is_production=False)

@client.create_function(fn_id="hello", trigger=inngest.TriggerEvent(event="hello"))
async def hello(ctx): ...

@client.create_function(fn_id="bye", trigger=inngest.TriggerEvent(event="bye"))
def bye(ctx): ...
"""

ORDERS = f"""{MODULE}
class FastAPI:
    def __call__(self, scope, receive, send): ...

FastAPI.__module__ = "fastapi.applications"

class Factory:
    apps = [(client, [hello])]
    async def __call__(self): return self.apps

def plain(ctx): ...
def make(): return apps
def greedy(settings, *, region): return apps
def forgets(): apps
def leads(): return awaits()
def dicts(): return {{}}
def fails():
    raise LookupError("no settings")
async def awaits(): return apps
def yields(): yield apps
async def streams(): yield apps

apps = [(client, [hello, bye])]
app = FastAPI()
factory = Factory()
nothing, number, text, key = None, 7, "sk-secret", {{"key": "sk-secret"}}
functions = [hello, bye]
lone = (client,)
one = (client, hello)
flat = (client, hello, bye)
turned = ([hello], client)
brackets = [(client, [[hello]])]
nested = [apps]
raw = [(client, [hello, plain])]
holes = [(client, [hello]), None]
pairs = [("sk-secret", [hello])]
drawn = ((client, [each]) for each in functions)
twice = [(client, [hello]), (client, [bye])]
again = [(client, [hello, hello])]
foreign = [(inngest.Inngest(app_id="shop-eu", is_production=False), [hello])]
empty = []
"""

BROKEN = "import orders\n\nimport no_such_thing\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: `orders` with apps, `bare` with functions but no apps, a package, modules in other folders."""
    for name, text in {
        "orders.py": ORDERS,
        "bare.py": f"{MODULE}\nfunctions = [hello, bye]\ndef plain(ctx): ...\n",
        "broken.py": BROKEN,
        "shop/__init__.py": "",
        "shop/tasks.py": "",
        "src/inner.py": MODULE,
        "deep/er/inmost.py": MODULE,
        "lib/site-packages/hidden.py": MODULE,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(each for each in sys.path if each)])
    for name in ("orders", "bare", "broken", "shop", "shop.tasks", "inner", "src", "src.inner"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def said_of(apps: Any) -> str:
    """What `connect` says of apps that cannot work, which is one line, and shows no text of the user's."""
    with pytest.raises(ConfigurationError) as caught:
        connect(apps, shutdown_signals=[])
    line = str(caught.value)
    assert "\n" not in line
    assert "secret" not in line
    return line


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("app", "orders:app is a FastAPI (of fastapi): did you mean orders:apps"),
        ("Factory", "orders:Factory is the class 'Factory': did you mean orders:"),
        ("inngest", "orders:inngest is the module 'inngest': did you mean orders:"),
        ("client", "orders:client is a client (of app 'shop') without functions: did you mean orders:"),
        ("hello", "orders:hello is one function ('shop-hello') without its client: did you mean orders:"),
        ("functions", "orders:functions is a list of functions without their client: did you mean orders:"),
        ("nothing", "orders:nothing is None: did you mean orders:"),
        ("number", "orders:number is an int: did you mean orders:"),
        ("text", "orders:text is a text: did you mean orders:"),
        ("key", "orders:key is a dict: did you mean orders:"),
        ("drawn", "orders:drawn is a generator: did you mean orders:"),
        ("empty", "no apps provided: did you mean orders:"),
        ("lone", "orders:lone has a client, but no list of functions: write (client, [functions]), or did you mean"),
        ("one", "orders:one has functions beside its client, not in a list: write (client, [functions]), or did"),
        ("flat", "orders:flat has functions beside its client, not in a list: write (client, [functions]), or did"),
        ("turned", "orders:turned has its client behind its functions: write (client, [functions]), or did you mean"),
        ("brackets", "orders:brackets[0] has a list of functions without their client among its functions: write"),
        ("nested", "orders:nested[0] is a list: write (client, [functions]), or did you mean orders:"),
        ("holes", "orders:holes[1] is None: write (client, [functions]), or did you mean orders:"),
        ("pairs", "orders:pairs[0] is a tuple: write (client, [functions]), or did you mean orders:"),
        ("raw", "orders:raw[0] has a Python function ('plain') among its functions: decorate it with @client.create_function"),
        ("twice", "duplicate app id: 'shop'; put its functions into one list"),
        ("again", "duplicate function id in app 'shop': 'shop-hello'"),
        ("foreign", "function 'shop-hello' stands beside the client of app 'shop-eu', but the client of app 'shop' made it"),
        ("ap", "module 'orders' has no 'ap': did you mean orders:apps or "),
        ("mak", "module 'orders' has no 'mak': did you mean orders:make or "),
        ("make()", "module 'orders' has no 'make()': did you mean orders:make or "),
        ("shop.apps", "module 'orders' has no 'shop.apps': did you mean orders:"),
    ],
)  # fmt: skip
def test_what_is_named_in_place_of_apps_is_told_with_the_names_that_are(folder: Path, name: str, said: str) -> None:
    line = said_of(f"orders:{name}")
    assert line.startswith(said)
    assert line.count(f"orders:{name} or") + line.count(f"or orders:{name}") == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("awaits", "orders:awaits is an async function: make it a `def` that returns [(client, [functions])]"),
        ("factory", "orders:factory returned a coroutine: make it a `def` that returns [(client, [functions])]"),
        ("leads", "orders:leads returned a coroutine: make it a `def` that returns [(client, [functions])]"),
        ("yields", "orders:yields is a generator function: let it return [(client, [functions])], without `yield`"),
        ("streams", "orders:streams is a generator function: let it return [(client, [functions])], without `yield`"),
        ("forgets", "orders:forgets returned None: let it return [(client, [functions])]"),
        ("dicts", "orders:dicts() is a dict: did you mean orders:"),
        ("plain", "orders:plain is a Python function ('plain') that needs arguments (ctx): did you mean orders:"),
        ("greedy", "orders:greedy is a Python function ('greedy') that needs arguments (settings, region): did you"),
        ("fails", "calling 'orders:fails' raised LookupError: no settings ("),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_function_that_returns_no_apps_is_told_how_to(folder: Path, name: str, said: str) -> None:
    """Nothing is left that Python would warn of, such as a coroutine that was never awaited."""
    assert said_of(f"orders:{name}").startswith(said)


@pytest.mark.parametrize("name", ["apps", "make", "Factory.apps", "factory.apps"])
def test_apps_are_found_also_behind_dots(folder: Path, name: str) -> None:
    assert [each.app_name for each in sdk.load(f"orders:{name}").configurations] == ["shop"]


@pytest.mark.parametrize("name", ["client", "hello", "plain", "apps"])
def test_a_module_without_apps_is_told_the_line_that_it_lacks(folder: Path, name: str) -> None:
    assert said_of(f"bare:{name}").endswith(": write `apps = [(client, [hello, bye])]` there, and name bare:apps")
    assert said_of("bare:functions").endswith(": write `apps = [(client, functions)]` there, and name bare:apps")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bare", "'bare' names no apps: write MODULE:APPS, for instance main:apps"),
        ("orders", "'orders' names no apps: write MODULE:APPS, for instance orders:"),
        ("orders:", "'orders:' names no apps: write MODULE:APPS, for instance orders:"),
        ("orders.apps", "'orders.apps' names no apps: write MODULE:APPS, for instance orders:apps or "),
        ("orders::apps", "'orders::apps' names no apps: write MODULE:APPS, for instance orders:apps or "),
        ("orders:apps:x", "'orders:apps:x' names no apps: write MODULE:APPS, for instance orders:apps or "),
        (".orders:apps", "'.orders:apps' names no apps: write MODULE:APPS, for instance orders:apps or "),
        (":apps", "':apps' names no apps: write MODULE:APPS, for instance main:apps"),
        ("", "'' names no apps: write MODULE:APPS, for instance main:apps"),
        ("orders.py", "'orders.py' is a file, not a module: did you mean orders:"),
        ("src/inner.py", "'src/inner.py' is a file, not a module: did you mean src.inner:APPS?"),
        ("src\\inner.py:all", "'src\\\\inner.py' is a file, not a module: did you mean src.inner:all?"),
        ("shop/__init__.py:apps", "'shop/__init__.py' is a file, not a module: did you mean shop:apps?"),
        ("../main.py:apps", "'../main.py' is a file, not a module: change to .. and name main:apps, or pass --app-dir .."),
        ("order:apps", "no module 'order' in {} or on the path: did you mean orders:apps?"),
        ("Orders:apps", "no module 'Orders' in {} or on the path: did you mean orders:apps?"),
        ("shop.task:apps", "no module 'shop.task' in {}/shop: did you mean shop.tasks:apps?"),
        ("orders.task:apps", "no module 'orders.task': 'orders' is a module, not a package"),
        ("inner:all", "no module 'inner' in {} or on the path, but src/inner.py is there: change to src, or pass --app-dir src"),
        ("inmost:all", "no module 'inmost' in {} or on the path, but deep/er/inmost.py is there: change to deep/er, or pass"),
        ("hidden:all", "no module 'hidden' in {} or on the path"),
        ("broken:apps", "cannot import 'broken': ModuleNotFoundError: No module named 'no_such_thing' ({}/broken.py, line 3)"),
    ],
)  # fmt: skip
def test_a_name_of_another_form_is_told_the_form_that_would_do(folder: Path, name: str, said: str) -> None:
    assert said_of(name).startswith(said.format(*[folder] * said.count("{}")))


def test_an_absolute_file_below_the_current_directory_has_a_name_there(folder: Path) -> None:
    assert said_of(f"{folder}/src/inner.py:all").endswith("did you mean src.inner:all?")


def test_a_module_of_python_that_has_the_name_of_the_users_is_told_apart(folder: Path) -> None:
    assert said_of("queue:apps").startswith("module 'queue' (")
    assert "queue.py) has no 'apps'" in said_of("queue:apps")


def test_the_folder_of_app_dir_is_named_when_a_module_is_not_in_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes before the current directory, also where that was not on the path, as in the installed command."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(folder)])
    prepare(Path("src"), None)
    assert said_of("iner:all").startswith(
        f"no module 'iner' in {folder}/src or {folder} or on the path: did you mean inner"
    )


_KEY = {"INNGEST_DEV": "", "INNGEST_SIGNING_KEY": "signkey-prod-ab"}


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"INNGEST_DEV": "host:99999"}, "INNGEST_DEV 'http://host:99999' is no http or https address"),
        ({**_KEY, "INNGEST_API_BASE_URL": "localhost"}, "INNGEST_API_BASE_URL 'localhost' is no http or https address"),
        ({**_KEY, "INNGEST_SIGNING_KEY": "secret"}, "INNGEST_SIGNING_KEY is not a signing key"),
        ({**_KEY, "INNGEST_SIGNING_KEY_FALLBACK": "secret"}, "INNGEST_SIGNING_KEY_FALLBACK is not a signing key"),
        ({"INNGEST_DEV": "1", "INNGEST_CONNECT_GATEWAY_URL": "http://host"}, "INNGEST_CONNECT_GATEWAY_URL: gateway"),
    ],
)
def test_a_variable_is_blamed_by_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    """Also where the SDK's client hands its value on, or leaves it out without a word."""
    orders = folder / "orders.py"
    orders.write_text(orders.read_text().replace('app_id="shop", is_production=False', 'app_id="shop"'))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert said_of("orders:make").startswith(said)


# -- through the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(folder: Path, start_process: Any) -> Any:
    """What the command says at the table *text* of the project, the *arguments* of `run`, and variables: one line, exit code 2."""

    def said(text: str, *arguments: str, **env: str) -> str:
        (folder / "pyproject.toml").write_text(f"[tool.connect]\n{text}\n")
        command = start_process("-m", "connect", "run", *arguments, **env)
        assert command.ends() == 2
        assert len(command.lines) == 1
        assert "secret" not in command.text
        return str(command.text.rstrip("\n").removeprefix("python -m connect: "))

    return said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('flush-timeout = "soon"', 'flush-timeout is "soon": it must be a number'),
        ("flush_timeout = 0", "flush_timeout is 0.0: it must be more than 0"),
        ('log-format = "xml"', "log-format: 'xml' is not one of 'text', 'json'"),
        ("reload-timeout = -1\nreload = true", "reload-timeout is -1: it must not be negative"),
        ('apps = "orders:app"', "apps: orders:app is a FastAPI (of fastapi): did you mean orders:apps"),
    ],
)
def test_a_wrong_value_of_the_project_is_blamed_on_its_file(folder: Path, refused: Any, text: str, said: str) -> None:
    arguments = [] if text.startswith("apps") else ["orders:apps"]
    assert refused(text, *arguments).startswith(f"{folder}/pyproject.toml: [tool.connect] {said}")


def test_a_flag_is_blamed_alone_and_counts_before_a_wrong_value_of_the_project(refused: Any) -> None:
    line = refused('flush-timeout = "soon"', "orders:apps", "--flush-timeout", "0", "--log-format", "json")
    assert line == "--flush-timeout is 0.0: it must be more than 0"
