"""What the documents say, tried: programs run, commands parse, settings load, links lead somewhere."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fastbook.risk import Budget, RiskLimits, SymbolLimits
from fastbook.runtime.cli import build_parser
from fastbook.runtime.config import parse
from fastbook.runtime.config.sections import SECTIONS
from fastbook.runtime.simulator.fault_fields import KINDS
from fastbook.runtime.simulator.garble import GARBLED, SCENES
from fastbook.runtime.simulator.options import SimulatorOptions
from fastbook.runtime.simulator.raw_frames import RAW
from fastbook.runtime.simulator.server import Simulator
from fastbook.runtime.simulator.spoilt import SPOILT

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*DOCUMENTS, *sorted((ROOT / "examples").rglob("*.md"))]
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

each_text = pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def with_blocks(language: str) -> pytest.MarkDecorator:
    found = [path for path in DOCUMENTS if blocks(path, language)]
    assert found, f"no document has a {language} block"
    return pytest.mark.parametrize("path", found, ids=lambda p: p.name)


@with_blocks("python")
def test_programs_run(path: Path) -> None:
    """In order, one namespace a document, so that a later block may go on with an earlier one."""
    namespace: dict[str, Any] = {"__name__": path.stem}  # Any: whatever the programs define
    for number, block in enumerate(blocks(path, "python"), 1):
        with contextlib.redirect_stdout(io.StringIO()):
            code = compile(block, f"{path.name}, block {number}", "exec", dont_inherit=True)
            exec(code, namespace)  # noqa: S102  (ours)


def test_the_readme_shows_what_it_says() -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec("\n".join(blocks(ROOT / "README.md", "python")), {"__name__": "readme"})  # noqa: S102  (ours)
    best, exact = out.getvalue().splitlines()
    assert best.startswith("69033.5 69033.8 ")
    assert exact == "[(6903350, 20), (6903330, 2)] 2 3"
    assert f"# {exact}" in (ROOT / "README.md").read_text()


@with_blocks("toml")
def test_settings_load(path: Path) -> None:
    for block in blocks(path, "toml"):
        assert parse(block, name=path.name, environ={}).risk is not None


def commands(path: Path) -> Iterator[str]:
    """`fastbook ...` as a line of its own, or in backquotes."""
    text = path.read_text()
    for line in re.findall(r"^ {4}((?:[A-Z_]+=\S+ )*fastbook .*)$", text, re.MULTILINE):
        yield re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line)
    for quoted in re.findall(r"`(fastbook [^`]+)`", text):
        yield " ".join(quoted.split())


PLACES = {"COMMAND": "demo", "P": "8765", "H": "127.0.0.1", "N": "10", "S": "1", "R": "1000"}
"""What stands for the capitals of a command line that are not names of files."""


def refusal(words: list[str]) -> str:
    """Why the command line does not parse; "" when it does."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            build_parser().parse_args(words)
    except SystemExit as e:
        return "" if e.code == 0 else err.getvalue().splitlines()[-1]
    return ""


@each_text
def test_commands_parse(path: Path) -> None:
    for command in commands(path):
        _, *words = shlex.split(command, comments=True)
        if len(words) == 1:
            words.append("--help")  # a command's name alone: it is talked about
        words = [PLACES.get(word, word) for word in words]
        assert refusal(words) == "", command


def test_a_command_that_does_not_parse_is_seen() -> None:
    assert "invalid choice" in refusal(["trade", "--help"])
    assert "--speed" in refusal(["demo", "--speed", "3"])


@pytest.mark.parametrize("command", ["demo", "simulate", "run", "replay", "backtest", "sweep"])
def test_every_option_is_documented(command: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        build_parser().parse_args([command, "--help"])
    options = set(re.findall(r"^  (--[a-z-]+)", out.getvalue(), re.MULTILINE))
    texts = [path.read_text() for path in TEXTS]
    assert {o for o in options if not any(o in text for text in texts)} == set()


def test_make_has_each_target_once() -> None:
    targets = re.findall(r"^([\w$()./-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted({t for t in targets if targets.count(t) > 1}) == []


@each_text
def test_make_targets_exist(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"^ {4}make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE)
    assert {a or b for a, b in named} <= MAKE_TARGETS


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@each_text
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{target} leads nowhere"
        assert there.is_relative_to(ROOT), f"{target} leads out of the project"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


def test_the_exchanges_page_is_whole() -> None:
    text = (ROOT / "docs" / "simulator.md").read_text()
    app = web.Application()
    Simulator(SimulatorOptions(symbols=1)).rest.add_routes(app)
    paths = {resource.canonical for resource in app.router.resources()}
    assert len(paths) > 10
    assert sorted(path for path in paths if f"`{path}`" not in text) == []
    assert set(re.findall(r"`(/v5/[\w/-]+)`", text)) <= paths
    documented = dict(re.findall(r"^\| (\w+) \| (.+?) \| .+ \|$", text, re.MULTILINE))
    for kind, (names, _) in KINDS.items():
        assert kind in documented, kind
        assert [n for n in names if not re.search(rf"\b{n}\b", documented[kind])] == [], kind
    for ways in (GARBLED, RAW, SCENES, SPOILT):
        assert [name for name in ways if f"`{name}`" not in text] == []


def test_the_table_of_the_configuration_is_whole() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    sections = re.split(r"^### \[([\w.]+)\]$", text, flags=re.MULTILINE)[1:]
    tables = dict(zip(sections[::2], sections[1::2], strict=True))
    assert list(tables) == list(SECTIONS)
    for section, cls in SECTIONS.items():
        rows = re.findall(r"^\| `(\w+)` \| (\S.*?) \| (.+) \|$", tables[section], re.MULTILINE)
        assert {key for key, _, _ in rows} == {f.name for f in fields(cls)}
        defaults = {f.name: f.default for f in fields(cls)}
        for key, shown, meaning in rows:
            assert meaning.strip(), f"{section}.{key} has no meaning"
            assert shown == shown_default(defaults[key]), f"{section}.{key}"


def shown_default(value: object) -> str:
    if value is MISSING or value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def test_every_rule_and_every_limit_is_on_the_page() -> None:
    text = (ROOT / "docs" / "risk.md").read_text()
    said = set(re.findall(r"`(\w+)`", text))
    rules: set[str] = set()
    for part in ("risk", "engine", "execution"):
        for path in (ROOT / "src" / "fastbook" / part).glob("*.py"):
            source = path.read_text()
            rules |= set(re.findall(r'Denied\(\s*"(\w+)"', source))
            rules |= set(re.findall(r'Refused\(intent, "(\w+)"', source))
    assert len(rules) > 30
    assert sorted(rules - said) == []
    for cls in (RiskLimits, SymbolLimits, Budget):
        assert sorted({f.name for f in fields(cls)} - said) == []
