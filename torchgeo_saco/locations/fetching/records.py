# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Records at the root of a fetched archive."""

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...io.files import atomic_file, write_file
from .points import DateWindow

#: File at the root that says what all scenes of the archive share.
PARAMETERS = 'fetched.json'

#: Table at the root of windows that gave no scene.
SKIPPED = 'skipped.csv'

# Notes that a message shows.
_LISTED = 5


class SkippedScene(NamedTuple):
    """A window without a scene."""

    #: Name of the location.
    location: str

    #: The window.
    window: DateWindow

    #: Why there is none.
    reason: str

    def __str__(self) -> str:
        """One clause."""
        return f'{self.location} {self.window}: {self.reason}'


def record_parameters(root: Path, parameters: Mapping[str, Any]) -> None:
    """Write down what all scenes of an archive share.

    Args:
        root: Folder of the archive.
        parameters: Values by name.

    Raises:
        ValueError: If *root* holds scenes of other parameters, or anything else.
    """
    path = root / PARAMETERS
    if path.exists():
        _require_same(path, parameters)
        return
    others = [name for name in os.listdir(root) if not name.startswith('.')]
    if others:
        raise ValueError(
            f'{root} holds {min(others)}, which was not fetched by this command; name another root'
        )
    write_file(path, (json.dumps(dict(parameters), indent=2) + '\n').encode())


def write_skipped(root: Path, skipped: Sequence[SkippedScene]) -> None:
    """Write the table of windows without a scene, or remove it if there is none.

    Args:
        root: Folder of the archive.
        skipped: The windows.
    """
    path = root / SKIPPED
    if not skipped:
        path.unlink(missing_ok=True)
        return
    with atomic_file(path) as partial, open(partial, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(('location', 'start', 'end', 'reason'))
        for location, window, reason in sorted(skipped):
            writer.writerow((location, window.start, window.end, reason))


def summarize(notes: Sequence[object], separator: str = '; ') -> str:
    """The first few of several notes, and how many more there are.

    Args:
        notes: The notes.
        separator: What stands between two.
    """
    more = f' and {len(notes) - _LISTED} more' if len(notes) > _LISTED else ''
    return separator.join(map(str, notes[:_LISTED])) + more


def _require_same(path: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse to mix scenes of two kinds."""
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        other = [name for name, value in parameters.items() if found[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is damaged ({error!r}); name another root') from error
    if other:
        there = ', '.join(f'{name} {found[name]}' for name in other)
        asked = ', '.join(f'{name} {parameters[name]}' for name in other)
        raise ValueError(
            f'{path.parent} holds an archive of {there}, but {asked} is asked for; name another '
            'root'
        )
