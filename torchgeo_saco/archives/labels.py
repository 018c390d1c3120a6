# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Labels of the locations of an archive: a table beside them, or the files of BigEarthNet."""

import csv
import difflib
import json
import os
from collections.abc import Container, Iterable, Iterator, Mapping

import numpy as np
from torchgeo.datasets import BigEarthNet
from torchgeo.datasets.utils import Path

from ..io.raster import require_regular_file


def read_labels(
    root: Path, locations: Container[str], listed: Container[str] | None = None
) -> tuple[list[str], dict[str, int]]:
    """Classes of an archive, and the class of each location.

    Args:
        root: Folder of the locations; the table is its ``labels.csv``, and may be missing.
        locations: Names of the locations that are read.
        listed: Names of all locations of the archive, or None to pass over other names.

    Returns:
        Names of the classes in alphabetical order, as they are written, also such as ``NA``; and
        their positions by name of the location. Locations with an empty label have none.

    Raises:
        ValueError: If the table is no text in UTF-8, a column is missing or there twice, a line has
            another number of cells, a location is unknown or listed twice, or none is listed.
    """
    path = os.path.join(root, 'labels.csv')
    if not os.path.lexists(path):
        return [], {}
    require_regular_file(path)
    labels: dict[str, str] = {}
    lines = _table(path)
    for number, (name, label) in lines:
        if listed is not None and name not in listed:
            raise ValueError(
                f'{path}, line {number}: {root} has no location {name!r}; correct the line, as '
                "folders are named, or set on_missing='drop' to pass over such"
            )
        if name in labels:
            raise ValueError(f'{path} lists location {name} twice; remove line {number}')
        labels[name] = label
    if labels and not any(name in locations for name in labels):
        raise ValueError(
            f'{path} lists no location of the archive; its first is {next(iter(labels))!r}: '
            'write locations as their folders are named'
        )
    labels = {name: label for name, label in labels.items() if label}
    classes = sorted(set(labels.values()))
    number_of = {name: number for number, name in enumerate(classes)}
    return classes, {name: number_of[label] for name, label in labels.items()}


def _table(path: str) -> Iterator[tuple[int, tuple[str, str]]]:
    """Number of each line of a table of labels, its location and its label."""
    wanted = ('location', 'label')
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            absent = [name for name in wanted if name not in header]
            if absent and not any('\0' in name for name in header):
                raise ValueError(f'{path} has no column {", ".join(sorted(absent))}; add it')
            for name in wanted:
                if header.count(name) > 1:
                    raise ValueError(f'{path} has column {name} twice; remove one')
            before = 1
            for row in (header, *rows) if absent else rows:
                if len(row) not in (0, len(header)) or any('\0' in cell for cell in row):
                    raise ValueError(
                        f'{path}, line {before + (not absent)}: {",".join(row)[:80]!r} is not one '
                        f'cell for each of {len(header)} columns; correct the line'
                    )
                if row:
                    name, label = (row[header.index(column)] for column in wanted)
                    yield before + 1, (name, label)
                before = rows.line_num
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path} is no text in UTF-8 ({error.reason} {error.object[error.start]:#x}); save it '
            'in that encoding'
        ) from error
    except csv.Error as error:
        raise ValueError(f'{path}, line {before + 1}: {error}; correct the line') from error
    except PermissionError as error:
        raise ValueError(f'{path} cannot be read: permission denied') from error


def bigearthnet_classes(num_classes: int, version: int) -> list[str]:
    """Names of the classes of a version.

    Args:
        num_classes: Either 19, or 43 in version 1.
        version: Either 1 or 2.

    Returns:
        The names, in the order of the labels.

    Raises:
        ValueError: If there is no such version, or it has another number of classes.
    """
    if version not in (1, 2):
        raise ValueError(f'version must be 1 or 2, got {version!r}')
    known = (19, 43) if version == 1 else (19,)
    if num_classes not in known:
        raise ValueError(
            f'num_classes must be {" or ".join(map(str, known))} in version {version}, '
            f'got {num_classes!r}'
        )
    return BigEarthNet.class_sets[num_classes]


def bigearthnet_targets(num_classes: int, version: int) -> Mapping[str, int | None]:
    """Return the position of each published label among the classes, None where it is skipped.

    Args:
        num_classes: Either 19, or 43 in version 1.
        version: Either 1 or 2.
    """
    if version == 2:
        return {name: number for number, name in enumerate(BigEarthNet.class_sets[19])}
    labels = enumerate(BigEarthNet.class_sets[43])
    if num_classes == 43:
        return {name: number for number, name in labels}
    return {name: BigEarthNet.label_converter.get(number) for number, name in labels}


def read_patch_labels(path: Path) -> Iterable[str]:
    """Read the labels of a patch of BigEarthNet.

    Args:
        path: JSON file of version 1.

    Returns:
        Names of the labels.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    try:
        with open(path, encoding='utf-8') as file:
            labels: Iterable[str] = json.load(file)['labels']
    except FileNotFoundError as error:
        raise ValueError(f'{path} is missing; fetch it again') from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} holds no labels ({error!r}); fetch it again') from error
    return labels


def multi_hot(
    names: Iterable[str], targets: Mapping[str, int | None], count: int, source: Path
) -> np.ndarray:
    """Mark the classes of a patch.

    Args:
        names: Its labels.
        targets: Position of each label among the classes, None where it is skipped.
        count: Number of classes.
        source: Where the labels come from, for messages.

    Returns:
        1 for each class of the patch and 0 for the others, (count) int64.

    Raises:
        ValueError: If there is no label, or an unknown one.
    """
    names = list(names) if isinstance(names, list | np.ndarray) else []
    if not names:
        raise ValueError(f'{source} has no labels; fetch it again')
    label = np.zeros(count, np.int64)
    for name in names:
        if not isinstance(name, str) or name not in targets:
            close = difflib.get_close_matches(str(name), targets, n=1, cutoff=0.0)[0]
            raise ValueError(f'{source} has the unknown label {name!r}; did you mean {close!r}?')
        number = targets[name]
        if number is not None:
            label[number] = 1
    return label
