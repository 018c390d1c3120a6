# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tiny trees in the layouts of EuroSAT, BigEarthNet and DFC2020, written at test time."""

import hashlib
import json
from pathlib import Path

import numpy as np
from torchgeo.datasets import BigEarthNet, BigEarthNetV2, EuroSAT, EuroSATSpatial

from .archives import ground, write_tif

CLASSES = (
    'AnnualCrop',
    'Forest',
    'HerbaceousVegetation',
    'Highway',
    'Industrial',
    'Pasture',
    'PermanentCrop',
    'Residential',
    'River',
    'SeaLake',
)
S2_BANDS = ('B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B11', 'B12')
S2_SIDES = {'B01': 20, 'B09': 20} | dict.fromkeys(('B02', 'B03', 'B04', 'B08'), 120)


def digest(path: Path, kind: str = 'sha256') -> str:
    """Checksum of a file."""
    return hashlib.new(kind, path.read_bytes()).hexdigest()


def eurosat_tif(root: Path, name: str) -> Path:
    """Path of an image of EuroSAT."""
    return root / EuroSAT.base_dir / name.split('_')[0] / f'{name}.tif'


def write_eurosat_image(root: Path, name: str, side: int = 64, dtype: str = 'uint16') -> None:
    """Image with 100 x position of the band in the file + its number + row, in every column."""
    bands = 100 * np.arange(13)[:, None, None] + int(name.split('_')[1])
    rows = np.arange(side)[:, None] + np.zeros(side, int)
    write_tif(eurosat_tif(root, name), (bands + rows).astype(dtype))


def write_eurosat(root: Path, spatial: bool = False, **splits: list[str]) -> Path:
    """Tree of EuroSAT; by default all classes in every split."""
    splits = splits or {
        'train': [f'{name}_{number}' for number in (1, 2) for name in CLASSES],
        'val': [f'{name}_3' for name in CLASSES],
        'test': [f'{name}_4' for name in CLASSES],
    }
    files = (EuroSATSpatial if spatial else EuroSAT).split_filenames
    root.mkdir(parents=True, exist_ok=True)
    for split, names in splits.items():
        (root / files[split]).write_text(''.join(f'{name}.jpg\n' for name in names))
        for name in names:
            write_eurosat_image(root, name)
    return root


def write_classes(root: Path, train: int = 6, val: int = 2, test: int = 2) -> Path:
    """Tree of EuroSAT whose classes differ in brightness, and images in noise."""
    root.mkdir(parents=True, exist_ok=True)
    first = 1
    for split, count in {'train': train, 'val': val, 'test': test}.items():
        names = [f'{name}_{n}' for n in range(first, first + count) for name in CLASSES]
        (root / EuroSAT.split_filenames[split]).write_text('\n'.join(f'{n}.jpg' for n in names))
        for name in names:
            label, number = CLASSES.index(name.split('_')[0]), int(name.split('_')[1])
            generator = np.random.default_rng((label, number))
            image = (1000 + 300 * label) * generator.normal(1, 0.02, (13, 64, 64))
            write_tif(eurosat_tif(root, name), image.astype('uint16'))
        first += count
    return root


def write_patch(folder: Path, seed: int) -> None:
    """Band files of a patch of BigEarthNet."""
    generator = np.random.default_rng(seed)
    for band in S2_BANDS:
        side = S2_SIDES.get(band, 60)
        image = generator.integers(1, 10000, (side, side), dtype='uint16')
        write_tif(folder / f'{folder.name}_{band}.tif', image, transform=ground(1200 / side))


def write_bigearthnet(root: Path, **splits: list[list[str]]) -> Path:
    """Tree of version 1; every split is the labels of its patches."""
    splits = splits or {
        'train': [['Pastures', 'Continuous urban fabric'], ['Airports', 'Sea and ocean']],
        'val': [['Burnt areas']],
        'test': [['Peatbogs', 'Inland marshes']],
    }
    number = 0
    for split, patches in splits.items():
        rows = []
        for labels in patches:
            patch = f'S2A_MSIL2A_20170617T113321_{number}_55'
            folder = root / BigEarthNet.metadata['s2']['directory'] / patch
            write_patch(folder, number)
            (folder / f'{patch}_labels_metadata.json').write_text(json.dumps({'labels': labels}))
            rows.append(f'{patch},S1A_IW_GRDH_1SDV_20170617T064724_29UPU_{number}_55\n')
            number += 1
        (root / BigEarthNet.splits_metadata[split]['filename']).write_text(''.join(rows))
    return root


def write_bigearthnet_v2(root: Path) -> Path:
    """Tree of version 2, its table as JSON under the name of the Parquet file."""
    labels = [['Arable land', 'Pastures'], ['Marine waters'], ['Mixed forest']]
    tile = 'S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP'
    rows = []
    for number, (split, names) in enumerate(
        zip(BigEarthNetV2.split_map.values(), labels, strict=True)
    ):
        patch = f'{tile}_26_{57 + number}'
        write_patch(root / BigEarthNetV2.dir_file_names['s2'] / tile / patch, number)
        write_tif(
            root
            / BigEarthNetV2.dir_file_names['maps']
            / tile
            / patch
            / f'{patch}_reference_map.tif',
            np.full((120, 120), 231, 'uint16'),
        )
        rows.append({'patch_id': patch, 'split': split, 'labels': names})
    (root / BigEarthNetV2.dir_file_names['s1']).mkdir(exist_ok=True)
    write_table(root, rows)
    return root


def write_table(root: Path, rows: list[dict]) -> None:
    """Table of version 2."""
    (root / BigEarthNetV2.dir_file_names['metadata']).write_text(json.dumps(rows))


def dfc2020_path(root: Path, part: str, product: str, number: int, older: bool = False) -> Path:
    """Path of a file of DFC2020."""
    folder = f'{product}_{part}' if older else f'ROIs0000_{part}/{product}_0'
    return root / folder / f'ROIs0000_{part}_{product}_0_p{number}.tif'


def dfc2020_image(product: str, number: int, side: int = 24) -> np.ndarray:
    """Image whose numbers tell patch, band, row and column; of a map of classes, whole columns."""
    rows, columns = np.mgrid[:side, :side]
    if product == 'dfc':
        # The last five columns are of the next class.
        return (1 + (number + (columns >= side - 5)) % 10)[None]
    pixels = side * rows + columns
    if product == 's1':
        return -0.05 * number - 0.01 * pixels - 5 * np.arange(2)[:, None, None] - 1
    return 10 * number + pixels + 1000 * np.arange(13)[:, None, None]


def write_dfc2020(
    root: Path, validation: int = 20, test: int = 10, older: bool = False, side: int = 24
) -> Path:
    """Both parts, patches numbered from 0 in each; class 1 + number % 10 is the most frequent."""
    kinds = {'s1': 'float32', 's2': 'uint16', 'dfc': 'uint8'}
    for part, first, count in (('validation', 0, validation), ('test', 100, test)):
        for number in range(count):
            for product, kind in kinds.items():
                image = dfc2020_image(product, number + first, side)
                write_tif(dfc2020_path(root, part, product, number, older), image.astype(kind))
    return root
