# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Labels of the locations of an archive: a table beside them, or the files of BigEarthNet."""

import difflib
import json
import os
from collections.abc import Container, Iterable, Mapping

import numpy as np
import pandas as pd
from torchgeo.datasets import BigEarthNet
from torchgeo.datasets.utils import Path


def read_labels(root: Path, locations: Container[str]) -> tuple[list[str], dict[str, int]]:
    """Classes of an archive, and the class of each location.

    Args:
        root: Folder of the locations; the table is its ``labels.csv``, and may be missing.
        locations: Names of the locations.

    Returns:
        Names of the classes in alphabetical order; and their positions by name of the location.

    Raises:
        ValueError: If a column is missing, a location is listed twice, or no location is listed.
    """
    path = os.path.join(root, 'labels.csv')
    if not os.path.exists(path):
        return [], {}
    table = pd.read_csv(path, dtype=str)
    absent = {'location', 'label'} - set(table.columns)
    if absent:
        raise ValueError(f'{path} has no column {", ".join(sorted(absent))}; add it')
    twice = table['location'][table['location'].duplicated()]
    if len(twice):
        raise ValueError(f'{path} lists location {twice.iloc[0]} twice; remove one row')
    table = table.dropna(subset=['label'])
    if len(table) and not any(name in locations for name in table['location']):
        raise ValueError(
            f'{path} lists no location of the archive; its first is {table["location"].iloc[0]!r}: '
            'write locations as their folders are named'
        )
    classes = sorted(table['label'].unique())
    return classes, dict(zip(table['location'], map(classes.index, table['label']), strict=True))


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
