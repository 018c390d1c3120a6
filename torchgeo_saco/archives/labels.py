# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Table of labels beside the locations of an archive."""

import os
from collections.abc import Container

import pandas as pd
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
