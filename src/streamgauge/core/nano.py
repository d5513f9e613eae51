"""Decimal text to whole nano-units and back, exactly. Knows no currency."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

__all__ = ["MAX_NANO", "NANO_DIGITS", "nano_from_decimal", "nano_rounded", "nano_text"]

MAX_NANO = 2**63 - 1
"""The largest amount in nano-units that a column of the ledger can hold, some 9 x 10^9 units."""

NANO_DIGITS = 9
_MAX_MAGNITUDE = 18
"""Amounts of 10^18 units and more are slips of the pen; 1e999999 would also eat the memory."""


def nano_from_decimal(amount: str | int | Decimal) -> int:
    """Return `amount` in nano-units, exactly. Raises ValueError if it has more than 9 decimals."""
    numerator, divisor = _scaled(amount)
    if numerator % divisor:
        raise ValueError("more than 9 decimals")
    return numerator // divisor


def nano_rounded(amount: str | int | Decimal) -> int:
    """Return `amount` in nano-units, rounded half up. Raises ValueError if it is no amount."""
    numerator, divisor = _scaled(amount)
    return (2 * numerator + divisor) // (2 * divisor)


def nano_text(nano: int) -> str:
    """Return `nano` nano-units as the shortest decimal text: 3750000000 is `3.75`."""
    whole, part = divmod(abs(nano), 10**NANO_DIGITS)
    text = f"{whole}.{part:0{NANO_DIGITS}d}".rstrip("0").rstrip(".")
    return f"-{text}" if nano < 0 else text


def _scaled(amount: str | int | Decimal) -> tuple[int, int]:
    """Return numerator and power-of-ten divisor of `amount` in nano-units."""
    try:
        number = Decimal(amount)
    except InvalidOperation as error:
        raise ValueError("not a decimal number") from error
    if not number.is_finite() or number.adjusted() > _MAX_MAGNITUDE:
        raise ValueError("not a possible amount")
    sign, digits, exponent = number.as_tuple()
    mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
    power = int(exponent) + NANO_DIGITS
    if mantissa == 0 or power >= 0:
        return mantissa * 10 ** max(power, 0) if mantissa else 0, 1
    if power < -2 * _MAX_MAGNITUDE - len(digits):
        # Too small to matter, and 10**-power would be too large to hold: any rest will do.
        return (-1 if sign else 1), 10 ** (NANO_DIGITS + 1)
    return mantissa, 10**-power
