"""How a rule says no, inside the gate."""

from __future__ import annotations


class Denied(Exception):
    """Which rule, and its numbers. Never leaves the gate: it becomes `Refused`."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail
