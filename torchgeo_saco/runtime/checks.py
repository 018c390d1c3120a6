# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Checks of arguments that several parts share."""

import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

_INTERVAL = re.compile(r'(int )?([\[(])(\S+), (\S+)([\])])( or None)?')


def check_choice[Choice: str](name: str, value: Choice, choices: Iterable[str]) -> Choice:
    """An argument that must be one of some texts.

    Args:
        name: Name of the argument.
        value: Its value.
        choices: What it may be.

    Returns:
        The value.

    Raises:
        ValueError: If it is none of them.

    Example:
        >>> check_choice('item', 'date', ('date', 'location'))
        'date'
    """
    known = list(choices)
    if value not in known:
        raise ValueError(f'{name} must be one of {", ".join(known)}, got {value!r}')
    return value


def check_range[Number: float | None](name: str, value: Number, interval: str) -> Number:
    """An argument that must be a finite number of an interval.

    Args:
        name: Name of the argument.
        value: Its value.
        interval: The interval as mathematics writes it, ``(`` and ``)`` for an end that does not
            belong to it, after ``int`` for whole numbers, and before ``or None`` where None is a
            value, too: ``[0, 1)``, ``int [1, inf)``, ``(0, inf) or None``.

    Returns:
        The value.

    Raises:
        ValueError: If it is none of them, or not finite.

    Example:
        >>> check_range('crop', 0.2, '(0, 1]')
        0.2
    """
    whole, left, low, high, right, optional = _parse(interval)
    if value is None and optional:
        return value
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value):  # type: ignore[arg-type]
        kind = 'a whole number' if whole else 'a finite number'
    elif whole and not isinstance(value, numbers.Integral):
        kind = 'a whole number'
    elif (low < value if left == '(' else low <= value) and (  # type: ignore[operator]
        value < high if right == ')' else value <= high  # type: ignore[operator]
    ):
        return value
    else:
        kind = ''
    ends = [] if low == -math.inf else [f'{"above" if left == "(" else "at least"} {low:.12g}']
    ends += [] if high == math.inf else [f'{"below" if right == ")" else "at most"} {high:.12g}']
    text = ' and '.join(ends)
    if left == '[' and right == ']':
        text = f'from {low:.12g} to {high:.12g}'
    of = 'of' if kind and text.startswith('at') else ''
    phrase = ' '.join(part for part in (kind, of, text) if part) + optional
    raise ValueError(f'{name} must be {phrase}, got {value!r}')


def check_ranges(values: Mapping[str, Any], intervals: Mapping[str, str]) -> None:
    """Refuse arguments that are not in the intervals declared for them.

    Args:
        values: Arguments by name; a sequence has each of its items checked.
        intervals: Interval of each argument, see :func:`check_range`; one that is not among
            *values* is not looked for.

    Raises:
        ValueError: If a number is none of its interval.
    """
    for name, interval in intervals.items():
        value: Any = values.get(name)
        if hasattr(value, 'tolist'):  # a tensor or an array
            value = value.tolist()
        if isinstance(value, Sequence) and not isinstance(value, str):
            for item in value:
                check_range(f'each of {name}', item, interval)
        elif name in values:
            check_range(name, value, interval)


def declared_ranges(owner: type) -> dict[str, str]:
    """Intervals that a class and those it derives from declare as ``ranges``, its own last."""
    declared: dict[str, str] = {}
    for parent in reversed(owner.__mro__):
        declared |= vars(parent).get('ranges', {})
    return declared


@cache
def _parse(interval: str) -> tuple[bool, str, float, float, str, str]:
    """Parts of an interval: whole, left bracket, low, high, right bracket, or None."""
    match = _INTERVAL.fullmatch(interval)
    if match is None:
        raise ValueError(f'{interval!r} is no interval; write it as [0, 1) or int [1, inf)')
    whole, left, low, high, right, optional = match.groups()
    return bool(whole), left, float(low), float(high), right, optional or ''
