# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Lists of the locations of each split."""

import os
from collections.abc import Sequence

import numpy as np
from torchgeo.datasets.utils import Path

_SPLITS = ('train', 'val', 'test')


def split_positions(
    pattern: str, root: Path, names: Sequence[str], drop: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Find the locations of the lists of train, val and test.

    Args:
        pattern: Path of the lists with ``{split}`` in place of the name of the split, below the
            root or anywhere.
        root: Folder of the archive.
        names: Names of its locations.
        drop: Pass over what is listed and not there.

    Returns:
        Positions of the locations of each split, in their order; of test None without a list.

    Raises:
        FileNotFoundError: If the list of train or val is missing.
        ValueError: If a location is not there or in two lists, or a list names none.
    """
    known = _known_names(names)
    owners: dict[int, str] = {}
    for split in _SPLITS:
        path = os.path.join(root, pattern.replace('{split}', split))
        if not os.path.isfile(path):
            if split == 'test':
                continue
            raise FileNotFoundError(f'{path} is missing; correct split_files, or leave it out')
        with open(path, encoding='utf-8-sig', errors='backslashreplace') as file:
            lines = [line.strip() for line in file if line.strip()]
        missing = []
        for line in lines:
            position = _position(line, known)
            if position is None:
                missing.append(line)
            elif owners.setdefault(position, split) != split:
                raise ValueError(
                    f'{path} lists {names[position]}, which is of split {owners[position]} '
                    'already; remove it from one list'
                )
        if missing and not drop:
            raise ValueError(
                f'{path} lists {len(missing)} locations that {root} has not, such as '
                f"{missing[0]!r}; complete it, or set on_missing='drop' to skip these"
            )
        if split not in owners.values():
            raise ValueError(f'{path} lists no location of {root}; it begins with {lines[:1]}')
    found = {
        split: np.array(sorted(p for p, owner in owners.items() if owner == split), np.int64)
        for split in _SPLITS
    }
    return found['train'], found['val'], found['test'] if len(found['test']) else None


def _known_names(names: Sequence[str]) -> dict[str, int]:
    """Positions by whole name, last part, and last part without ending; -1 where it is of two."""
    known: dict[str, int] = {}
    for position, name in enumerate(names):
        last = name.rpartition('/')[2]
        for spelling in {name, last, os.path.splitext(last)[0]}:
            known[spelling] = -1 if spelling in known else position
    # A whole name is of one location.
    return known | {name: position for position, name in enumerate(names)}


def _position(line: str, known: dict[str, int]) -> int | None:
    """Location that a line names, of those in it between commas; None if there is none."""
    for part in (line, *line.split(',')):
        for spelling in (part.strip(), part.strip().rpartition('/')[2]):
            position = known.get(spelling, known.get(os.path.splitext(spelling)[0], -1))
            if position >= 0:
                return position
    return None
