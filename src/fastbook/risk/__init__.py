"""What is allowed: limits, sizing, and the one gate that every order passes."""

from fastbook.risk.gate import AccountView, RiskGate
from fastbook.risk.limits import RiskLimits
from fastbook.risk.sizing import Sizer, SizingParams, TrackRecord, kelly

__all__ = [
    "AccountView",
    "RiskGate",
    "RiskLimits",
    "Sizer",
    "SizingParams",
    "TrackRecord",
    "kelly",
]
