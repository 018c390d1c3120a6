# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tiny trees in the layouts of OSCD, PASTIS, GID and DynamicEarthNet, written at test time."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from .archives import write_tif

OSCD_BANDS = (
    'B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B10', 'B11', 'B12',
)  # fmt: skip
OSCD_NAME = 'Onera Satellite Change Detection dataset'
OSCD_TRAIN = {'aguasclaras': (101, 97), 'beirut': (96, 120), 'mumbai': (130, 96)}
OSCD_TEST = {'brasilia': (97, 192), 'rio': (100, 110)}

GID_NAMES = ('GF2_PMS1__L1A01-MSS1', 'GF2_PMS2__L1A02-MSS2', 'GF2_PMS1__L1A03-MSS1')
GID_SHAPE = (70, 90)
# Stored number of each class of GID-15, and the position of its class of GID-5.
GID_MERGED = (0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4)
GID_COLORS = ((255, 0, 0), (0, 255, 0), (0, 255, 255), (255, 255, 0), (0, 0, 255))


DEN_SIDE = 70
DEN_MONTHS = ('2018-01', '2018-02')


def write_png(path: Path, mask: np.ndarray) -> None:
    """One PNG file of (H, W) or (H, W, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def oscd_pixels(shape: tuple[int, int]) -> np.ndarray:
    """Number of each pixel of a scene, row by row."""
    return np.arange(shape[0] * shape[1]).reshape(shape)


def oscd_change(shape: tuple[int, int]) -> np.ndarray:
    """What has changed: a cross."""
    mask = np.zeros(shape, 'uint8')
    mask[shape[0] // 2] = mask[:, shape[1] // 3] = 1
    return mask


def oscd_band(root: Path, city: str, date: int, band: str = 'B04') -> Path:
    """Path of a band."""
    return root / f'{OSCD_NAME} - Images' / city / f'imgs_{date}_rect' / f'{band}.tif'


def oscd_mask(root: Path, city: str, split: str = 'Train') -> Path:
    """Path of a mask."""
    return root / f'{OSCD_NAME} - {split} Labels' / city / 'cm' / 'cm.png'


def write_oscd(root: Path, train=OSCD_TRAIN, test=OSCD_TEST, bands=OSCD_BANDS) -> Path:
    """Scenes whose numbers tell pixel, band and date."""
    for split, cities in (('Train', train), ('Test', test)):
        for city, shape in cities.items():
            for date in (1, 2):
                for rank, band in enumerate(bands):
                    image = oscd_pixels(shape) + 1000 * rank + 20000 * (date - 1)
                    write_tif(oscd_band(root, city, date, band), image.astype('uint16'))
            dates = root / f'{OSCD_NAME} - Images' / city / 'dates.txt'
            dates.write_text('date_1: 20150801\ndate_2: 20180801\n')
            write_png(oscd_mask(root, city, split), 255 * oscd_change(shape))
    return root


def pastis_dates(number: int, count: int) -> dict[str, int]:
    """Days of a series as the metadata give them."""
    return {str(date): 20180901 + 100 * (date % 4) + number for date in range(count)}


def pastis_series(number: int, count: int) -> np.ndarray:
    """Series whose numbers tell patch, date, band and row."""
    patch, date, band, row = np.ogrid[number : number + 1, :count, :10, :128]
    levels = 3000 * patch + 300 * date + 20 * band + row // 8
    return np.broadcast_to(levels[0][..., None], (count, 10, 128, 128)).astype('int16')


def write_pastis_patch(folder: Path, number: int, series: np.ndarray, classes=range(20)) -> None:
    """Series and classes of one patch; the classes are its columns."""
    target = np.zeros((3, 128, 128), 'uint8')
    target[0] = np.resize(np.repeat(classes, 6), 128)
    for name, array in (('DATA_S2/S2', series), ('ANNOTATIONS/TARGET', target)):
        path = folder / f'{name}_{number}.npy'
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)


def write_pastis(root: Path, lengths=(3, 5, 4, 6, 2, 3)) -> Path:
    """Patches 1, 2, ... in folds 1 to 5 in turn, with series of these lengths."""
    folder = root / 'PASTIS-R'
    features = []
    for number, count in enumerate(lengths, 1):
        write_pastis_patch(folder, number, pastis_series(number, count))
        square = [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]
        properties = {
            'ID_PATCH': number,
            'Fold': (number - 1) % 5 + 1,
            'dates-S2': pastis_dates(number, count),
        }
        geometry = {'type': 'Polygon', 'coordinates': square}
        features.append({'type': 'Feature', 'properties': properties, 'geometry': geometry})
    table = {'type': 'FeatureCollection', 'features': features}
    (folder / 'metadata.geojson').write_text(json.dumps(table))
    norm = {
        f'Fold_{fold}': {
            'mean': [100.0 * fold + band for band in range(10)],
            'std': [10.0 * fold + band for band in range(10)],
        }
        for fold in range(1, 6)
    }
    (folder / 'NORM_S2_patch.json').write_text(json.dumps(norm))
    return root


def gid_image(seed: int, shape: tuple[int, int] = GID_SHAPE) -> np.ndarray:
    """Random image."""
    return np.random.default_rng(seed).integers(0, 256, (3, *shape), dtype='uint8')


def gid_numbers(seed: int, shape: tuple[int, int] = GID_SHAPE) -> np.ndarray:
    """Numbers 0 to 15 in blocks of 5 px."""
    blocks = np.random.default_rng(seed).integers(0, 16, (-(-shape[0] // 5), -(-shape[1] // 5)))
    return blocks.repeat(5, 0).repeat(5, 1)[: shape[0], : shape[1]].astype('uint8')


def gid_files(root: Path, part: str, name: str) -> tuple[Path, Path]:
    """Paths of image and mask of a tile."""
    return (
        root / 'GID' / 'img_dir' / part / f'{name}.tif',
        root / 'GID' / 'ann_dir' / part / f'{name}_15label.png',
    )


def write_gid(root: Path, train=GID_NAMES, val=('GF2_PMS2__L1A09-MSS2',), shape=GID_SHAPE) -> Path:
    """Tree of GID-15; tiles are numbered through, training first."""
    parts = [('train', name) for name in train] + [('val', name) for name in val]
    for seed, (part, name) in enumerate(parts):
        image, mask = gid_files(root, part, name)
        write_tif(image, gid_image(seed, shape))
        write_png(mask, gid_numbers(seed, shape))
    return root


def write_gid5(root: Path, train=GID_NAMES[:2], val=GID_NAMES[2:], shape=GID_SHAPE) -> Path:
    """Tree of GID-5 with lists; classes are those of :func:`gid_numbers`, merged."""
    table = np.array([(0, 0, 0), *(GID_COLORS[number] for number in GID_MERGED)], 'uint8')
    for part, names in (('train', train), ('val', val)):
        (root / f'{part}.txt').parent.mkdir(parents=True, exist_ok=True)
        (root / f'{part}.txt').write_text(''.join(f'{name}\n' for name in names))
    for seed, name in enumerate([*train, *val]):
        write_tif(root / 'image_RGB' / f'{name}.tif', gid_image(seed, shape))
        colors = table[gid_numbers(seed, shape)].transpose(2, 0, 1)
        write_tif(root / 'label_5classes' / f'{name}_label.tif', colors)
    return root


def den_image(area: int, month: int) -> np.ndarray:
    """Random reflectance x 10000 without a 0."""
    rng = np.random.default_rng((area, month))
    return rng.integers(1, 6000, (4, DEN_SIDE, DEN_SIDE), dtype='uint16')


def den_numbers(area: int, month: int) -> np.ndarray:
    """Classes 0 to 6, and 7 for none, in blocks of 5 px."""
    side = -(-DEN_SIDE // 5)
    blocks = np.random.default_rng((area, month, 1)).integers(0, 8, (side, side))
    return blocks.repeat(5, 0).repeat(5, 1)[:DEN_SIDE, :DEN_SIDE]


def den_files(root: Path, area: int, month: int) -> tuple[Path, Path]:
    """Paths of image and labels of a month."""
    images, labels, _ = den_line(area, month).split()
    folder = images.replace('/reprocess-cropped/UTM-24000/', 'planet/')
    return root / folder / f'{DEN_MONTHS[month]}-01.tif', root / labels[1:]


def den_line(area: int, month: int) -> str:
    """Line of a list."""
    name, scene, date = f'13{area:02d}_3000_13', '10N-122W-40N-L3H-SR', DEN_MONTHS[month]
    return (
        f'/reprocess-cropped/UTM-24000/10N/23E-188N/{name}/PF-SR '
        f'/labels/{name}_10N/Labels/Raster/{scene}/{scene}-{date.replace("-", "_")}_01.tif {date}'
    )


def write_den_month(
    root: Path, area: int, month: int, image: np.ndarray, labels: np.ndarray
) -> None:
    """Image and labels of a month."""
    for path, array in zip(den_files(root, area, month), (image, labels), strict=True):
        write_tif(path, array)


def write_den(root: Path, areas=(2, 1, 1)) -> Path:
    """Tree of DynamicEarthNet; areas are numbered through, training first."""
    (root / 'dynnet_training_splits').mkdir(parents=True)
    first = 0
    for split, count in zip(('train', 'val', 'test'), areas, strict=True):
        months = [(a, m) for a in range(first, first + count) for m in range(len(DEN_MONTHS))]
        text = ''.join(f'{den_line(area, month)}\n' for area, month in months)
        (root / 'dynnet_training_splits' / f'{split}.txt').write_text(text)
        for area, month in months:
            bands = den_numbers(area, month) == np.arange(7)[:, None, None]
            labels = np.where(bands, 255, 0).astype('uint8')
            write_den_month(root, area, month, den_image(area, month), labels)
        first += count
    return root
