# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What a checkpoint must agree on with the run that goes on from it."""

from collections.abc import Iterator, Mapping
from typing import Any

# Differences that are listed; the rest is counted.
_LISTED = 5


def require_agreement(then: Mapping[str, Any], now: Mapping[str, Any], subject: str) -> None:
    """Refuse to go on with other settings than those of the run that was interrupted.

    Args:
        then: Settings of that run, nested, as a checkpoint holds them.
        now: Settings of this one.
        subject: Beginning of the message: what holds the former.

    Raises:
        ValueError: If a value differs, or is in one of the two alone.
    """
    differences = list(_differences(_plain(then), _plain(now)))
    if not differences:
        return
    listed = ', '.join(
        f'{name} {_short(before)} then and {_short(after)} now'
        for name, before, after in differences[:_LISTED]
    )
    if len(differences) > _LISTED:
        listed += f', and {len(differences) - _LISTED} more'
    raise ValueError(
        f'{subject} is of a run that would go on differently: {listed}; resume with the same, or '
        'start anew from its weights alone'
    )


def _differences(then: Any, now: Any, name: str = '') -> Iterator[tuple[str, Any, Any]]:
    """Name and both values of each setting that differs."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        # Not a number is the same as itself here.
        if then != now and repr(then) != repr(now):
            yield name, then, now
        return
    for key in [*then, *(key for key in now if key not in then)]:
        path = f'{name}.{key}' if name else str(key)
        yield from _differences(then.get(key), now.get(key), path)


def _plain(value: Any) -> Any:
    """Nested settings in which sequences are lists, as a configuration file would have them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def _short(value: Any) -> str:
    """Beginning of a value, in one line."""
    text = ' '.join(str(value).split())
    return text if len(text) <= 80 else f'{text[:77]}...'
