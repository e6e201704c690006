"""On which line of a TOML text each key stands: `tomllib` does not say."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[\[?\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_MULTILINE = re.compile(r'"""|\'\'\'')


def key_lines(text: str) -> dict[str, int]:
    """Dotted key or table name -> 1-based line. Of `text` that `tomllib` has accepted.

    Good enough to point at a mistake: a key inside an inline table is found by the name of
    the table, see `line_of`.
    """
    found: dict[str, int] = {}
    table = ""
    inside = ""  # the quotes of a multi-line string that is open
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            if inside in line:
                inside = ""
            continue
        if header := _HEADER.match(line):
            table = _plain(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            name = _plain(key[1])
            found.setdefault(f"{table}.{name}" if table else name, number)
            quotes = _MULTILINE.findall(line[key.end() :])
            inside = quotes[0] if len(quotes) % 2 else ""
    return found


def line_of(lines: dict[str, int], key: str) -> int:
    """The line of `key`, or of the nearest table around it; 0 when there is none."""
    while key:
        if key in lines:
            return lines[key]
        key = key.rpartition(".")[0]
    return 0


def _plain(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
