# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tiny trees in the layouts of published archives, written at test time."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from torchgeo.datasets import EuroSAT

from .archives import SIZES, ground, write_tif
from .scenes import write_patch

#: Bands of the products of SSL4EO-S12.
SSL4EO_BANDS = {
    's1': ('VV', 'VH'),
    's2c': EuroSAT.all_band_names,
    's2a': tuple(band for band in EuroSAT.all_band_names if band != 'B10'),
}
SSL4EO_SCENES = {
    's1': 'S1A_IW_GRDH_1SDV_{}T010800_{}T010825_032904_03CFBA_D457',
    's2c': '{}T054639_{}T054831_T43RCP',
    's2a': '{}T054639_{}T054831_T43RCP',
}
SSL4EO_DATES = ('20200604', '20200823')


def write_ssl4eo(root: Path, products=('s1', 's2c', 's2a'), locations: int = 2) -> Path:
    """Products of SSL4EO-S12; every band holds its position in the file order and the location."""
    for product in products:
        for location in range(locations):
            for date in SSL4EO_DATES:
                scene = root / product / f'{200 + location:07d}'
                scene /= SSL4EO_SCENES[product].format(date, date)
                for number, band in enumerate(SSL4EO_BANDS[product]):
                    name = band if product == 's1' else f'B{band[1:].lstrip("0")}'
                    side = 12 // SIZES.get(name, 6 if name == 'B10' else 1)
                    value = -10.5 - number if product == 's1' else 100 * number + location
                    dtype = 'float32' if product == 's1' else 'uint16'
                    image = np.full((side, side), value, dtype)
                    write_tif(scene / f'{name}.tif', image, transform=ground(120 / side))
                (scene / 'metadata.json').write_text('{}')
    return root


def write_sen12ms(
    root: Path, names=('ROIs1158_spring_1_p30', 'ROIs1158_spring_1_p4', 'ROIs2017_winter_22_p7')
) -> Path:
    """Patches of both products; every band holds its position and the position of the patch."""
    for position, name in enumerate(names):
        season, scene, patch = name.rsplit('_', 2)
        for product, dtype, count in (
            ('s1', 'float32', 2),
            ('s2', 'uint16', 13),
            ('lc', 'uint16', 4),
        ):
            bands = np.arange(count)[:, None, None] * np.ones((1, 12, 12))
            image = -10.5 - bands - position / 4 if product == 's1' else 100 * bands + position
            path = root / season / f'{product}_{scene}' / f'{season}_{product}_{scene}_{patch}.tif'
            write_tif(path, image.astype(dtype))
    return root


def write_bigearthnet_patches(root: Path, count: int = 4, labels=('Burnt areas',)) -> list[str]:
    """Patches of Sentinel-2 of version 1."""
    names = [f'S2A_MSIL2A_201706{17 + number}T113321_{number}_55' for number in range(count)]
    for number, name in enumerate(names):
        write_patch(root / name, number)
        if labels:
            path = root / name / f'{name}_labels_metadata.json'
            path.write_text(json.dumps({'labels': list(labels)}))
    return names


def write_radar_patches(root: Path, count: int = 3) -> list[str]:
    """Patches of Sentinel-1 of version 1: VV holds -10 - number, VH -20 - number."""
    names = [f'S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_{39 + n}' for n in range(count)]
    for number, name in enumerate(names):
        for band, value in (('VV', -10), ('VH', -20)):
            image = np.full((120, 120), value - number, 'float32')
            write_tif(root / name / f'{name}_{band}.tif', image)
    return names


def write_rgb(path: Path, color=(10, 20, 30), side: int = 8, mode: str = 'RGB', **options) -> None:
    """Image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.broadcast_to(np.array(color, 'uint8'), (side, side, len(color)))
    Image.fromarray(np.ascontiguousarray(pixels), 'RGBA' if len(color) == 4 else 'RGB').convert(
        mode
    ).save(path, **options)


def write_image_folders(root: Path, classes=('Forest', 'River'), count: int = 6) -> Path:
    """PNG images by class, red by its position and green by its number."""
    for position, name in enumerate(classes):
        for number in range(count):
            write_rgb(
                root / name / f'{name}_{number}.png', (100 * position, 10 * number, 7), side=32
            )
    return root
