"""What is allowed: limits, sizing, and the one gate that every order passes."""

from fastbook.risk.gate import RiskGate
from fastbook.risk.limits import ADOPT, HALT, REDUCE_ONLY, Budget, RiskLimits, SymbolLimits
from fastbook.risk.protection import ProtectionParams
from fastbook.risk.sizing import Sizer, SizingParams, TrackRecord, kelly
from fastbook.risk.view import AccountView, Health

__all__ = [
    "ADOPT",
    "HALT",
    "REDUCE_ONLY",
    "AccountView",
    "Budget",
    "Health",
    "ProtectionParams",
    "RiskGate",
    "RiskLimits",
    "Sizer",
    "SizingParams",
    "SymbolLimits",
    "TrackRecord",
    "kelly",
]
