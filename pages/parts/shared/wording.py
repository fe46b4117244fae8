"""Numbers, plurals and lists in texts: a true minus, no minus before 0, no share that is rounded to nothing."""

from __future__ import annotations

from collections.abc import Sequence

MINUS = "\u2212"


def number(value: float, digits: int = 2) -> str:
    """Format a number with a true minus, and without one before 0.

    >>> number(-0.001), number(-0.25)
    ('0.00', '−0.25')
    """
    return f"{round(float(value), digits) + 0.0:,.{digits}f}".replace("-", MINUS)


def signed(value: float, digits: int = 2) -> str:
    """Format a number with its sign, which 0 has none of.

    >>> signed(0.251), signed(-0.25), signed(-0.001)
    ('+0.25', '−0.25', '0.00')
    """
    text = number(value, digits)
    return f"+{text}" if round(float(value), digits) > 0 else text


def percent(share: float) -> str:
    """Format a share of 1 in percent; one that is not quite nothing, or not quite all, is not called so.

    >>> percent(0.123), percent(0.001), percent(0.999), percent(0), percent(-0.2)
    ('12 %', 'under 1 %', 'over 99 %', '0 %', '−20 %')
    """
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{number(100 * share, 0)} %"


def standard_errors(n: float) -> str:
    """Count standard errors to one decimal.

    >>> standard_errors(1.04), standard_errors(0.6), standard_errors(9.58)
    ('1 standard error', '0.6 standard errors', '9.6 standard errors')
    """
    shown = number(n, 1)
    return "1 standard error" if shown == "1.0" else f"{shown} standard errors"


def listed(names: Sequence[str]) -> str:
    """Join words as ``a, b and c``.

    >>> listed(["V1v", "V2v", "hV4"])
    'V1v, V2v and hV4'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
