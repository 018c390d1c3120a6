# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embedding of a whole scene, against a plain loop over TorchGeo's GridGeoSampler.

    python benchmarks/embed.py

Writes a scene of 12 bands of 10, 20 and 60 m in the layout and size of a Major-TOM cell. ResNet-18
embeds it in tiles of 64 px that overlap by half: by ``torchgeo-saco embed``, which writes the map,
and by a DataLoader of TorchGeo's RasterDataset and GridGeoSampler, which keeps the embeddings in
memory. Both read the bands that the encoder needs and run the same encoder in evaluation mode; they
have a few edge tiles more or less, so what is compared is the time of a tile.
"""

import contextlib
import tempfile
import time
import warnings
from argparse import Namespace
from pathlib import Path

import numpy as np
import rasterio
import reporting
import torch
from affine import Affine
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.embeddings.command import embed
from torchgeo_saco.embeddings.encoding import NamedWeights
from torchgeo_saco.runtime.precision import emulates_bfloat16
from torchgeo_saco.tasks import MoCo

TILE, STRIDE, BATCH = 64, 32, 64

#: Groups and textures of the encoders.
ENCODERS = {
    'natural color': {'groups': ['natural_color'], 'texture': False},
    'all groups and textures': {'groups': None, 'texture': True},
}


class BandFiles(RasterDataset):
    """One file a band, as TorchGeo reads them."""

    # One band stands for the scene, the others are found by its name.
    filename_glob = 'B02.tif'
    filename_regex = r'^(?P<band>B\w\w)\.tif$'
    separate_files = True
    all_bands = tuple(SENTINEL2_L2A.bands)


def main() -> None:
    """Measure, print and write."""
    arguments = reporting.parser(__doc__)
    options = arguments.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: Namespace) -> None:
    """Times of all encoders, ours and the peer in turn."""
    write_scene(folder / 'scene', 198 if options.quick else 1068)
    rows, targets = [], []
    for name, groups in ENCODERS.items():
        weights = write_checkpoint(folder / f'{len(rows)}.ckpt', groups)
        ways = {'TorchGeo': None, 'ours': '32'}
        if not emulates_bfloat16(reporting.device()):
            ways['ours, bf16'] = 'bf16'
        times: dict[str, list[float]] = {way: [] for way in ways}
        for repeat in range(2 if options.quick else 4):
            for way, precision in ways.items():
                start = time.perf_counter()
                tiles = (
                    plain_loop(folder / 'scene', weights)
                    if precision is None
                    else ours(folder, weights, precision)
                )
                # The first round makes kernels for the sizes, and fills the cache of files.
                if repeat:
                    times[way].append((time.perf_counter() - start) / tiles)
        for way, taken in times.items():
            ratio, spread = reporting.ratios(times['TorchGeo'], taken)
            tile = sorted(taken)[len(taken) // 2]
            row = {
                'encoder': name,
                'way': way,
                'ms a tile': 1000 * tile,
                'tiles a second': 1 / tile,
            }
            rows.append(row | {'times as fast': ratio})
            if way != 'TorchGeo':
                target = f'{way}: {name}'
                targets.append(
                    reporting.Target(target, 'TorchGeo, float32', ratio, 3.0, spread=spread)
                )
    reporting.report('embed', options, rows, targets, tile=TILE, stride=STRIDE, batch=BATCH)


def write_scene(folder: Path, side: int) -> None:
    """A scene of noise; what it shows makes no difference to the time."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for band, size in SENTINEL2_L2A.bands.items():
        ratio = int(size // 10)
        image = generator.integers(0, 4000, (side // ratio, side // ratio)).astype('uint16')
        with rasterio.open(
            folder / f'{band}.tif', 'w', driver='GTiff', count=1, height=image.shape[0],
            width=image.shape[1], dtype='uint16', crs='EPSG:32648', compress='lzw', tiled=True,
            transform=Affine(size, 0, 360000, 0, -size, 1980000), blockxsize=256, blockysize=256,
        ) as file:  # fmt: skip
            file.write(image, 1)


def write_checkpoint(path: Path, groups: dict) -> str:
    """Random weights in the form of a checkpoint."""
    task = MoCo('resnet18', bands=list(SENTINEL2_L2A.bands), size=TILE, queue_size=64, **groups)
    torch.save({'state_dict': task.state_dict(), 'hyper_parameters': dict(task.hparams)}, path)
    return str(path)


def ours(folder: Path, weights: str, precision: str) -> int:
    """Write the map; the number of its tiles."""
    output = folder / 'map.tif'
    with contextlib.redirect_stdout(None):
        embed(
            weights, str(folder / 'scene'), str(output), stride=STRIDE, batch_size=BATCH,
            precision=precision, progress=False,
        )  # fmt: skip
    with rasterio.open(output) as file:
        tiles = file.height * file.width
    output.unlink()
    return tiles


@torch.no_grad()
def plain_loop(folder: Path, weights: str) -> int:
    """Embed as TorchGeo's documentation reads a scene; the number of tiles."""
    named = NamedWeights(weights)
    bands = named.needed_bands(BandFiles.all_bands, 'sentinel2_l2a')
    encoder = named.load(bands, 'sentinel2_l2a').encoder.to(reporting.device()).eval()
    dataset = BandFiles(folder, bands=bands)
    with warnings.catch_warnings():
        # TorchGeo 0.10 has another name for the like of it.
        warnings.simplefilter('ignore', DeprecationWarning)
        sampler = GridGeoSampler(dataset, TILE, STRIDE)
    found = []
    for batch in DataLoader(dataset, BATCH, sampler=sampler, collate_fn=stack_samples):
        image = batch['image'].to(reporting.device()) / 10000
        found.append(encoder(image).cpu())
    return len(torch.cat(found))


if __name__ == '__main__':
    main()
