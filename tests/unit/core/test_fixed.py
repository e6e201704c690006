"""Decimal text to fixed-point and back: exact against decimal, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbook import format_fixed, parse_fixed
from fastbook.errors import FastbookError, FixedPointError

INT64_MAX = 2**63 - 1
SCALES = st.integers(0, 18)
# Short and long, with and without a point, leading and trailing zeros wanted.
NUMBERS = st.from_regex(r"[0-9]{1,21}(\.[0-9]{1,21})?", fullmatch=True)
ANYTHING = st.text(alphabet="0123456789.+-eE _x\u0661\u00b2", max_size=36)


def expected(text: str, scale: int) -> int | None:
    """What decimal says, or None where the answer must be a refusal."""
    value = Decimal(text).scaleb(scale)
    if len(text) > 32 or value != value.to_integral_value() or value > INT64_MAX:
        return None
    return int(value)


@given(text=NUMBERS, scale=SCALES)
def test_equals_decimal(text: str, scale: int) -> None:
    answer = expected(text, scale)
    if answer is None:
        with pytest.raises(FixedPointError):
            parse_fixed(text, scale)
    else:
        assert parse_fixed(text, scale) == answer
        assert parse_fixed(text.encode(), scale) == answer


@given(text=ANYTHING, scale=SCALES)
def test_reads_plain_decimals_and_nothing_else(text: str, scale: int) -> None:
    whole, point, fraction = text.partition(".")
    plain = text.isascii() and whole.isdigit() and (fraction.isdigit() if point else not fraction)
    try:
        parse_fixed(text, scale)
    except FixedPointError:
        assert not plain or expected(text, scale) is None
    else:
        assert plain


@given(value=st.integers(0, INT64_MAX), scale=SCALES, strip=st.booleans())
def test_round_trip(value: int, scale: int, strip: bool) -> None:
    text = format_fixed(value, scale, strip=strip)
    assert Decimal(text).scaleb(scale) == value
    assert "E" not in text
    assert parse_fixed(text, scale) == value


@given(value=st.integers(-(10**40), 10**40), scale=SCALES)
def test_formats_any_integer_exactly(value: int, scale: int) -> None:
    text = format_fixed(value, scale)
    digits = text.removeprefix("-").replace(".", "")
    assert (int(digits) if value >= 0 else -int(digits)) == value
    assert len(text.partition(".")[2]) == scale


@pytest.mark.parametrize(
    ("value", "scale", "plain", "stripped"),
    [
        (6511420, 2, "65114.20", "65114.2"),
        (4373000, 2, "43730.00", "43730"),
        (0, 0, "0", "0"),
        (0, 3, "0.000", "0"),
        (5, 3, "0.005", "0.005"),
        (-5, 3, "-0.005", "-0.005"),
        (-5000, 3, "-5.000", "-5"),
        (100, 0, "100", "100"),
        (INT64_MAX, 18, "9.223372036854775807", "9.223372036854775807"),
    ],
)
def test_formats(value: int, scale: int, plain: str, stripped: str) -> None:
    assert format_fixed(value, scale) == plain
    assert format_fixed(value, scale, strip=True) == stripped


@pytest.mark.parametrize(
    ("text", "scale", "value"),
    [
        ("0", 0, 0),
        ("0.000", 0, 0),
        ("65114.20", 2, 6511420),
        ("65114.20", 1, 651142),
        ("007.5", 1, 75),
        ("9223372036854775807", 0, INT64_MAX),
        ("9.223372036854775807", 18, INT64_MAX),
        ("00000000000009223372036854775807", 0, INT64_MAX),  # 32 characters
        ("1.000000000000000000000000000000", 0, 1),  # 32 characters
    ],
)
def test_reads_the_corners(text: str, scale: int, value: int) -> None:
    assert parse_fixed(text, scale) == value


@pytest.mark.parametrize(
    ("text", "scale", "says"),
    [
        ("", 2, "digits are missing"),
        (".", 2, "digits are missing"),
        ("1.", 2, "digits are missing"),
        (".5", 2, "digits are missing"),
        ("-1", 2, "not a plain decimal"),
        ("+1", 2, "not a plain decimal"),
        ("1e3", 2, "not a plain decimal"),
        ("1E3", 2, "not a plain decimal"),
        (" 1", 2, "not a plain decimal"),
        ("1 ", 2, "not a plain decimal"),
        ("1\n", 2, "not a plain decimal"),
        ("1\0", 2, "not a plain decimal"),
        ("1,5", 2, "not a plain decimal"),
        ("1_000", 2, "not a plain decimal"),
        ("0x10", 2, "not a plain decimal"),
        ("nan", 2, "not a plain decimal"),
        ("inf", 2, "not a plain decimal"),
        ("1..5", 2, "not a plain decimal"),
        ("1.5.5", 2, "not a plain decimal"),
        ("\u0661\u0662", 2, "not a plain decimal"),  # Arabic-Indic digits
        ("\uff11", 2, "not a plain decimal"),  # full-width one
        ("\ud800", 2, "not a plain decimal"),  # half of a surrogate pair
        ("9223372036854775808", 0, "does not fit"),
        ("18446744073709551616", 0, "does not fit"),  # 2**64 would wrap to 0
        ("18446744073709551617", 0, "does not fit"),
        ("92233720368547758.08", 2, "does not fit"),
        ("9.223372036854775808", 18, "does not fit"),
        ("10", 18, "does not fit"),
        ("0" * 33, 0, "does not fit"),
        ("1.0000000000000000000000000000000", 0, "does not fit"),  # 33 characters
        ("1.001", 2, "more decimals"),
        ("0.5", 0, "more decimals"),
        ("0.0000000000000000001", 18, "more decimals"),
        ("99999999999999999999x", 0, "not a plain decimal"),  # before "too large"
    ],
)
def test_refuses(text: str, scale: int, says: str) -> None:
    with pytest.raises(FixedPointError, match=says):
        parse_fixed(text, scale)
    with pytest.raises(FixedPointError, match=says):
        parse_fixed(text.encode("utf-8", "surrogatepass"), scale)


def test_refusal_is_one_of_ours_and_a_value_error() -> None:
    with pytest.raises(FastbookError) as caught:
        parse_fixed("x", 0)
    assert isinstance(caught.value, ValueError)
    assert not caught.value.retryable


@pytest.mark.parametrize("scale", [-1, 19, 1000])
def test_scale_has_limits(scale: int) -> None:
    with pytest.raises(ValueError, match="scale must be"):
        parse_fixed("1", scale)
    with pytest.raises(ValueError, match="scale must be"):
        format_fixed(1, scale)


@pytest.mark.parametrize("number", [1, 1.5, None, bytearray(b"1"), Decimal(1)])
def test_text_is_str_or_bytes(number: object) -> None:
    with pytest.raises(TypeError):
        parse_fixed(number, 0)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("value", [1.0, True, "1", Decimal(1), None])
def test_value_is_an_int(value: object) -> None:
    with pytest.raises(TypeError):
        format_fixed(value, 0)  # type: ignore[arg-type]  # the point of the test
