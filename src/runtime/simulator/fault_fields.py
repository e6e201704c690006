"""Kinds of fault with the fields that each takes: what `POST /_control/fault` accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastbook.errors import ConfigError

SECONDS_MAX = 3600.0
COUNT_MAX = 10_000
Check = Callable[[object], bool]


def is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 200


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= COUNT_MAX


def is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 40


def is_seconds(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= SECONDS_MAX


def is_time(value: object) -> bool:
    return value == 0 or is_seconds(value)


def is_flag(value: object) -> bool:
    return isinstance(value, bool)


_OF_TYPE: dict[str, Check] = {
    "text": is_text, "count": is_count, "int": is_int, "seconds": is_seconds, "time": is_time,
    "flag": is_flag,
}  # fmt: skip

# kind: field:type, those in front of the bar are required.
_TABLE = """
drop            topic:text | n:count
gap             topic:text |
garble          topic:text | n:count how:text
duplicate       topic:text | n:count
stall           topic:text seconds:seconds |
odd_book        topic:text how:text | seconds:seconds
restart         topic:text |
empty           topic:text | side:text seconds:seconds
reject          topic:text | n:count
snapshot        topic:text |
delist          topic:text |
trade_burst     category:text symbol:text | n:count
repeat_trades   category:text symbol:text |
filters         category:text symbol:text | tick:text lot:text
symbol_status   category:text symbol:text status:text |
cut             | n:count stream:text
close           | stream:text code:int
freeze          | stream:text n:count
raw             how:text | stream:text n:count
refuse_upgrade  | stream:text status:int n:count location:text
auth_error      | n:count
mute_pongs      | on:flag stream:text
mute_acks       | n:count stream:text
data_before_ack | on:flag
mute_private    | on:flag
reverse_private | on:flag
event_order     topics:text |
double_private  | n:count
replay_private  | account:count n:count
private_delay   ms:int | topic:text
outside         symbol:text side:text qty:text | account:count category:text exec_type:text
liquidate       symbol:text | account:count category:text
adl             symbol:text | account:count category:text qty:text
reduce_only     symbol:text | account:count category:text on:flag
setting         symbol:text | account:count category:text leverage:text mode:int
funding_rate    symbol:text rate:text | category:text
cancel_race     | n:count
late_reject     | n:count
late_create     ms:int | n:count
order_error     code:int | n:count message:text operation:text
rate_limited    | n:count reset_ms:int operation:text
gateway_error   code:int | n:count message:text named:flag
stray_answer    | n:count
key_error       code:int | n:count message:text
ban             seconds:time |
maintenance     state:text | title:text
http_error      status:int | n:count retry_after_s:count
bad_body        how:text | n:count
redirect        location:text | n:count
lost_answer     | n:count operation:text how:text
lost_request    | n:count operation:text
slow_orders     ms:int | way:text
page_error      how:text | n:count
history_age     hours:int |
forget_closed   | account:count
skew            ms:int |
"""


def _parsed() -> dict[str, tuple[dict[str, Check], frozenset[str]]]:
    kinds = {}
    for line in _TABLE.strip().splitlines():
        kind, _, rest = line.partition(" ")
        required, _, optional = rest.partition("|")
        names = [field.split(":") for field in required.split() + optional.split()]
        must = frozenset(field.partition(":")[0] for field in required.split())
        kinds[kind] = {name: _OF_TYPE[of] for name, of in names}, must
    return kinds


KINDS = _parsed()


def checked(fault: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Kind and fields of one fault; ConfigError when they are not what `Faults` takes."""
    kind = fault.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"kind must be one of {', '.join(KINDS)}, was {kind!r}")
    fields, required = KINDS[kind]
    given = {key: value for key, value in fault.items() if key != "kind"}
    unknown = sorted(given.keys() - fields.keys())
    if unknown:
        raise ConfigError(f"{kind}: unknown fields: {', '.join(unknown)}")
    for name, value in given.items():
        if not fields[name](value):
            raise ConfigError(f"{kind}: bad {name}: {value!r}")
    missing = sorted(required - given.keys())
    if missing:
        raise ConfigError(f"{kind}: missing fields: {', '.join(missing)}")
    return kind, given
