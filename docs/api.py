"""Writes docs/api.md from the docstrings of the public modules: `python -m docs.api`. `--check` only tells whether it is fresh."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Final

import griffe

from connect.deadlines import Deadlines
from connect.options import declared

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "api.md"
COMMAND: Final = "python -m docs.api"
MODULES: Final = (
    "connect",
    "connect.events",
    "connect.errors",
    "connect.gateway",
    "connect.testing",
    "connect.watching.http",
    "connect.watching.metrics",
    "connect.watching.tracing",
)
TOLD_BY_THEIR_MODULE: Final = (
    "connect.testing",
    "connect.watching.http",
    "connect.watching.metrics",
    "connect.watching.tracing",
)
"""Of these, what is imported by name is no user's concern."""
FIRST: Final = ("WorkerConnection", "connect", "Gateway", "in_thread")
"""Told before the others of their module."""
HEAD: Final = f"""\
# API

Written from the docstrings by `{COMMAND}`; edit those. All times are seconds. What is not here is no public interface.
"""
_ENTERED: Final = ("__aenter__", "__aexit__")


def page() -> str:
    """The whole page."""
    package = griffe.load("connect", search_paths=[ROOT], allow_inspection=False)
    return "\n".join([HEAD, *_contents(), *(line for name in MODULES for line in _module(name, package))])


def _contents() -> Iterator[str]:
    yield from (f"- [{name}](#{name.replace('.', '')})" for name in MODULES)
    yield ""


def _module(name: str, package: griffe.Object | griffe.Alias) -> Iterator[str]:
    module = package if name == "connect" else package[name.removeprefix("connect.")]
    yield from (f"## {name}", "", _prose(module), "")
    if name not in TOLD_BY_THEIR_MODULE:
        for each in _public(module):
            yield from _told(each)


def _public(module: griffe.Object | griffe.Alias) -> Iterator[griffe.Object]:
    """What *module* exports, or else defines under a public name. Modules have a chapter of their own."""
    names = [str(name) for name in module.exports or module.members]
    for name in sorted(names, key=lambda each: each not in FIRST):
        member = module.members[name]
        if isinstance(member, griffe.Alias):
            if not module.exports:
                continue  # it imports that for itself
            member = member.final_target
        elsewhere = member.module.path in MODULES and member.module.path != module.path
        if not (member.name.startswith("_") or isinstance(member, griffe.Module) or elsewhere):
            yield member


def _told(thing: griffe.Object) -> Iterator[str]:
    match thing:
        case griffe.Class():
            yield from _class(thing)
        case griffe.Function():
            yield from (f"### {_signature(thing)}", "", _prose(thing), "")
        case griffe.Attribute(path="connect.worker.connect"):
            yield from ("### `connect(apps, *, …) → WorkerConnection`", "", _prose(thing), "", *_options())
        case griffe.Attribute():
            value = "" if len(str(thing.value)) > 80 else f" = {thing.value}"
            yield from (f"### `{thing.name}{value}`", "", _prose(thing), "")


def _options() -> Iterator[str]:
    """What `connect()` takes, from its declaration."""
    yield from ("| option | type | default | |", "|---|---|---|---|")
    for each in declared():
        kind = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", str(getattr(each.kind, "__forward_arg__", each.kind)))
        kind = each.kind.__name__ if isinstance(each.kind, type) else kind
        default = "" if each.default is MISSING else f"`{each.default!r}`"
        default = "`Deadlines()`" if isinstance(each.default, Deadlines) else default
        words = [f"`{each.name}`", f"`{kind}`", default, each.option.text]
        yield f"| {' | '.join(word.replace('|', chr(92) + '|') for word in words)} |"
    yield ""


def _class(thing: griffe.Class) -> Iterator[str]:
    bases = ", ".join(str(base) for base in thing.bases)
    yield from (f"### `class {thing.name}{f'({bases})' if bases else ''}`", "", _prose(thing), "")
    own = [each for each in thing.members.values() if not each.is_alias]
    fields = [each for each in own if isinstance(each, griffe.Attribute) and _is_field(each)]
    if fields:
        yield from ("| attribute | type | default | |", "|---|---|---|---|", *map(_row, fields), "")
    for method in own:
        if not isinstance(method, griffe.Function):
            continue
        is_public = not method.name.startswith("_") or method.name in _ENTERED
        if is_public and method.docstring and _is_for_users(method):
            yield from (f"#### {_signature(method)}", "", _prose(method), "")


def _is_field(attribute: griffe.Attribute) -> bool:
    return not attribute.name.startswith("_") and _is_for_users(attribute)


def _is_for_users(thing: griffe.Object) -> bool:
    return "for the gateway itself" not in _prose(thing).lower()


def _row(field: griffe.Attribute) -> str:
    kind = f"`{field.annotation}`" if field.annotation else ""
    is_set = field.value is not None and str(field.value) != field.name and "property" not in field.labels
    value = f"`{field.value}`" if is_set else ""
    words = [f"`{field.name}`", kind, value, " ".join(_prose(field).split())]
    return f"| {' | '.join(word.replace('|', chr(92) + '|') for word in words)} |"


def _signature(function: griffe.Function) -> str:
    """As a heading: with types where that is short, with names alone where it is not."""
    kind = "async " if "async" in function.labels else ""
    owner = f"{function.parent.name}." if isinstance(function.parent, griffe.Class) else ""
    returns = f" → {function.returns}" if function.returns and str(function.returns) != "None" else ""
    for show in (_typed, _named):
        given = ", ".join(_starred(function.parameters, show))
        if len(given) < 120:
            break
    else:
        given = f"{function.parameters[0].name}, *, …"
    return f"`{kind}{owner}{function.name}({given}){returns}`"


def _starred(parameters: Iterable[griffe.Parameter], show: Callable[[griffe.Parameter], str]) -> Iterator[str]:
    starred = False
    for each in parameters:
        if each.name == "self":
            continue
        if each.kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        yield ("*" if each.kind is griffe.ParameterKind.var_positional else "") + show(each)


def _named(parameter: griffe.Parameter) -> str:
    return parameter.name


def _typed(parameter: griffe.Parameter) -> str:
    kind = f": {parameter.annotation}" if parameter.annotation else ""
    default = f" = {parameter.default}" if parameter.default is not None and not parameter.name.startswith("*") else ""
    return parameter.name + kind + ("" if parameter.kind is griffe.ParameterKind.var_positional else default)


def _prose(thing: griffe.Object | griffe.Alias) -> str:
    return thing.docstring.value.strip() if thing.docstring else ""


def main() -> int:
    """Write the page, or say that it is stale."""
    fresh = re.sub(r"\n{3,}", "\n\n", page()).rstrip() + "\n"
    if "--check" in sys.argv[1:]:
        stale = not PAGE.exists() or PAGE.read_text(encoding="utf-8") != fresh
        sys.stdout.write(f"docs/api.md is stale: run `{COMMAND}`\n" if stale else "")
        return int(stale)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
