# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reading of training samples: 12 bands x 3 dates at 264 px, against TorchGeo's SeCo data set.

    python benchmarks/loader.py

Writes locations in SeCo's layout, with GDAL's defaults and compressed by LZW, packs them, and reads
all of it by TorchGeo and by this package: the data set alone, and through a DataLoader. All files
lie in the memory of the operating system, so what is measured is work, not the disk.
"""

import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
import reporting
import torch
from rasterio.transform import from_origin
from torch.utils.data import DataLoader, Dataset, default_collate
from torchgeo.datasets import SeasonalContrastS2

from torchgeo_saco.archives.packing import pack_archive
from torchgeo_saco.archives.store.shards import checksum
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.samplers.collate import collate

SIDES = {
    **dict.fromkeys(('B2', 'B3', 'B4', 'B8'), 264),
    **dict.fromkeys(('B5', 'B6', 'B7', 'B8A', 'B11', 'B12'), 132),
    **dict.fromkeys(('B1', 'B9'), 44),
}

SEASONS = 3
BATCH = 16
FOLDER = 'seasonal_contrast_100k'


def main() -> None:
    """Measure, print and write."""
    arguments = reporting.parser(__doc__)
    arguments.add_argument('--locations', type=int, help='places of the archive')
    options = arguments.parse_args()
    locations = options.locations or (4 if options.quick else 40)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), locations, options)


def measure(folder: Path, locations: int, options: Namespace) -> None:
    """Times of all ways to read."""
    for name, compression in (('plain', None), ('lzw', 'lzw')):
        write_seco(folder / name / FOLDER, locations, compression)
    pack_archive(folder / 'plain' / FOLDER, folder / 'store.zarr', progress=False)
    rounds = 1 if options.quick else 5
    ways: dict[str, Any] = {
        'TorchGeo, TIFF': peer(folder / 'plain', locations),
        'TorchGeo, TIFF by LZW': peer(folder / 'lzw', locations),
        'ours, TIFF': ours(folder / 'plain' / FOLDER),
        'ours, TIFF by LZW': ours(folder / 'lzw' / FOLDER),
        'ours, store': ours(folder / 'store.zarr'),
    }
    loaders: dict[tuple[str, str], Callable[[], int]] = {}
    for name, dataset in ways.items():
        # Enough samples that starting a worker weighs little.
        passes = 40 if 'store' in name else 1 if options.quick else 2
        loaders[name, 'alone'] = lambda d=dataset, p=passes: alone(d, p)
        for workers in (0, 1):
            loader = Loader(dataset, workers, passes)
            loaders[name, f'DataLoader, {workers} workers'] = loader
    times: dict[tuple[str, str], list[float]] = {way: [] for way in loaders}
    for _ in range(rounds):
        for way, call in loaders.items():
            start = time.perf_counter()
            samples = call()
            times[way].append((time.perf_counter() - start) / samples)
    size = ways['ours, store'][0]['image'].numel()
    limits = ceilings(folder / 'store.zarr', size)
    memory = resident(ways['ours, store'], 2 if options.quick else 40)
    rows = [row(name, way, taken, limits) for (name, way), taken in times.items()]
    reporting.report(
        'loader', options, rows, targets(times, memory), limit=limits, bytes_a_sample=size,
        resident_mib=memory, locations=locations,
    )  # fmt: skip


class Loader:
    """Samples through a DataLoader; its worker starts once and is not measured."""

    def __init__(self, dataset: Dataset, workers: int, passes: int) -> None:
        """Make the loader, and let the worker start."""
        order = [i for _ in range(passes) for i in range(len(dataset))]
        # As the datamodule of each makes its batches.
        self.loader = DataLoader(
            dataset,
            BATCH,
            sampler=order,
            num_workers=workers,
            collate_fn=collate if isinstance(dataset, SeasonalArchive) else default_collate,
            persistent_workers=workers > 0,
        )
        self()

    def __call__(self) -> int:
        """Read all, and count."""
        return sum(len(batch['image']) for batch in self.loader)


def alone(dataset: Dataset, passes: int) -> int:
    """Read all samples, and count."""
    return sum(dataset[i] is not None for _ in range(passes) for i in range(len(dataset)))


def peer(root: Path, locations: int) -> Dataset:
    """TorchGeo's data set, of fewer locations than the published 100 000."""
    dataset = _Fewer.__new__(_Fewer)
    dataset.root, dataset.version, dataset.seasons = root, '100k', SEASONS
    dataset.bands, dataset.transforms = SeasonalContrastS2.all_bands, None
    dataset.locations = locations
    return dataset


class _Fewer(SeasonalContrastS2):
    """Fewer locations."""

    locations: int

    def __len__(self) -> int:
        """Number of locations."""
        return self.locations


def ours(root: Path) -> SeasonalArchive:
    """Our data set, one item a location."""
    return SeasonalArchive(root, dates=SEASONS, item='location')


def write_seco(root: Path, locations: int, compression: str | None) -> None:
    """Places in the layout of SeCo, with smooth images that compress as real ones do."""
    generator = np.random.default_rng(0)
    for location in range(locations):
        for season in range(5):
            scene = root / f'{location:06d}' / f'20190{1 + season}15T054639_20190115T054831_T43RCP'
            scene.mkdir(parents=True)
            for band, side in SIDES.items():
                image = np.cumsum(generator.integers(-2, 3, (side, side)), -1) + 60
                with rasterio.open(
                    scene / f'{band}.tif',
                    'w',
                    driver='GTiff',
                    count=1,
                    height=side,
                    width=side,
                    dtype='uint8',
                    crs='EPSG:32643',
                    transform=from_origin(3e5, 3e6, 2640 / side, 2640 / side),
                    **({} if compression is None else {'compress': compression}),
                ) as file:
                    file.write(image.clip(0, 255).astype('uint8'), 1)


def ceilings(store: Path, size: int) -> dict[str, float]:
    """Seconds a sample that the bytes alone take: copied, copied from a file, and summed."""
    path = next(path for path in (store / 'images' / 'c').rglob('0') if path.is_file())
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    number = os.open(path, os.O_RDONLY)
    found = {
        'copy in memory': reporting.seconds(lambda: np.copyto(target, source), 50),
        'read of a cached file': reporting.seconds(lambda: os.preadv(number, [target], 0), 50),
        'checksum': reporting.seconds(lambda: checksum(source), 50),
    }
    os.close(number)
    return {name: median(taken) for name, taken in found.items()}


def resident(dataset: Dataset, passes: int) -> dict[str, float]:
    """Largest memory of the process in the first and the last quarter of an epoch, in MiB."""
    order = [i for _ in range(passes) for i in range(len(dataset))]
    quarter = len(order) // 4
    used = []
    for position in order:
        dataset[position]
        used.append(_resident())
    return {'first quarter': max(used[:quarter]), 'last quarter': max(used[-quarter:])}


def _resident() -> float:
    """Memory of this process in MiB."""
    with open('/proc/self/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 2**20


def row(name: str, way: str, taken: list[float], limits: dict[str, float]) -> dict[str, Any]:
    """One row of the table."""
    least = limits['read of a cached file'] + limits['checksum']
    middle = median(taken)
    return {
        'source': name,
        'read by': way,
        'ms a sample': 1e3 * middle,
        'samples/s': 1 / middle,
        'times the limit': middle / least,
    }


def targets(
    times: dict[tuple[str, str], list[float]], memory: dict[str, float]
) -> list[reporting.Target]:
    """What was aimed at."""
    found, way = [], 'DataLoader, 1 workers'
    for name, files, wanted in (
        ('ours, store', 'TorchGeo, TIFF', 20),
        ('ours, TIFF', 'TorchGeo, TIFF', 2),
        ('ours, TIFF by LZW', 'TorchGeo, TIFF by LZW', 2),
    ):
        ratio, spread = reporting.ratios(times[files, way], times[name, way])
        found.append(reporting.Target(f'{name}, one worker', files, ratio, wanted, spread=spread))
    growth = memory['last quarter'] - memory['first quarter']
    found.append(
        reporting.Target('memory, store', 'first quarter', growth, 8.0, more=False, unit='MiB more')
    )
    return found


if __name__ == '__main__':
    sys.exit(main())
