# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Checks of arguments that several parts share."""

from collections.abc import Iterable


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
