"""What becomes of an approved intent: orders, the ledger of positions, and the commands."""

from fastbook.execution.executor import Executor, ExecutorParams
from fastbook.execution.order import Booking, Change, Order
from fastbook.execution.orders import Orders
from fastbook.execution.portfolio import Portfolio
from fastbook.execution.record import TradeRecord

__all__ = [
    "Booking",
    "Change",
    "Executor",
    "ExecutorParams",
    "Order",
    "Orders",
    "Portfolio",
    "TradeRecord",
]
