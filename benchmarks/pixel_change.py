# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Change of pixels between two dates without labels, judged on the masks of the OSCD sample.

``python benchmarks/pixel_change.py`` compares both dates of every test city by change vectors, MAD
and IR-MAD, of the bands and of feature maps of encoders: of random weights, and of weights that
``configs/saco.yaml`` is trained to for one epoch (43 steps) on views of 32 pixels, once a seed (or
of one checkpoint, by ``--weights``). It prints a table, and writes
``benchmarks/results/pixel_change.json``. The sample is synthetic.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from torchgeo_saco.bands import natural_color
from torchgeo_saco.change.pixel_map import threshold_of
from torchgeo_saco.change.pixels import BandChannels, FeatureChannels, PixelChange, change_magnitude
from torchgeo_saco.datasets import OSCDTiles
from torchgeo_saco.evaluation.environment import environment
from torchgeo_saco.models import load_encoder
from torchgeo_saco.synthesis.benchmarks import generate_sample_benchmark
from torchgeo_saco.transforms import Reflectance

ROOT = Path(__file__).parents[1]
BANDS = [(method, window) for window in (1, 3) for method in ('cva', 'mad', 'irmad')]
FEATURES = [(0, 'cva'), (0, 'mad'), (1, 'mad'), (2, 'mad')]
#: What all is compared with: plain change vectors.
BASELINE = ['bands', 'cva', 1]
GROUPS = {'groups': ['natural_color', 'near_infrared', 'urban'], 'texture': ['near_infrared']}


class City(NamedTuple):
    """Both dates of a city, and what has changed."""

    name: str
    images: Tensor
    mask: Tensor


def cities(root: Path, count: int | None) -> tuple[OSCDTiles, list[City]]:
    """Whole scenes of the test cities as reflectance."""
    data = OSCDTiles(root, 'test')
    found = []
    for number, name in enumerate(data.cities[:count]):
        height, width = data.scene_shape(number)
        images = torch.zeros(2, len(data.bands), height, width)
        mask = torch.zeros(height, width, dtype=torch.bool)
        for sample in data:
            if sample['location'] != number:
                continue
            row, column = int(sample['row']), int(sample['column'])
            window = np.s_[row : row + data.size, column : column + data.size]
            images[(..., *window)] = Reflectance()(sample['image'])
            mask[window] |= sample['mask'] == 1
        found.append(City(name, images, mask))
    return data, found


def trained(seed: int, folder: Path, sample: str, steps: int | None) -> str:
    """Checkpoint after training, or the one that a run before has left in the folder."""
    for checkpoint in folder.rglob('last.ckpt'):
        return str(checkpoint)
    command = [
        *(sys.executable, '-m', 'torchgeo', 'fit', f'--config={ROOT / "configs/saco.yaml"}'),
        *(f'--seed_everything={seed}', f'--data.init_args.root={sample}'),
        *(f'--trainer.logger.init_args.save_dir={folder}', '--model.init_args.size=32'),
        '--trainer.max_epochs=1',
    ]
    if steps is not None:
        command.append(f'--trainer.limit_train_batches={steps}')
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603
    (checkpoint,) = folder.rglob('last.ckpt')
    return str(checkpoint)


def scores(magnitude: Tensor, mask: Tensor) -> dict[str, float]:
    """Ranking of the pixels, and how well Otsu's threshold finds the changed ones."""
    values = magnitude.double().flatten()
    area = binary_auroc(values / values.max(), mask.flatten().long()).item()
    found = magnitude > (threshold_of(magnitude.numpy(), 'otsu') or 0.0)
    both = int((found & mask).sum())
    return {'auc': area, 'f1': 2 * both / (int(found.sum()) + int(mask.sum()))}


def compared(
    data: OSCDTiles, weights: str | None, seed: int, quick: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of each comparison of feature maps, and the arguments of what compares."""
    for level, method in FEATURES[: 2 if quick else None]:
        torch.manual_seed(seed)
        options = {} if weights else GROUPS
        loaded = load_encoder(data.bands, 'sentinel2_l1c', weights=weights, **options)
        channels = FeatureChannels(loaded.encoder, [level], fit_backbone=loaded.random)
        kind = 'pre-trained' if weights else 'random'
        yield f'{kind}, level {level}', {'channels': channels, 'method': method, 'window': 3}


def measured(
    data: OSCDTiles, places: list[City], checkpoints: dict[int, str], quick: bool
) -> list[dict[str, Any]]:
    """Scores of every comparison, city and seed."""
    rows = []

    def add(name: str, seed: int | None, arguments: dict[str, Any]) -> None:
        for city in places:
            found = change_magnitude(city.images, change=PixelChange(**arguments))
            row = {'compared': name, 'method': arguments['method'], 'window': arguments['window']}
            rows.append(row | {'seed': seed, 'city': city.name} | scores(found, city.mask))

    for method, window in BANDS:
        add('bands', None, {'channels': BandChannels(), 'method': method, 'window': window})
    for seed, checkpoint in checkpoints.items():
        for weights in (None, checkpoint):
            for name, arguments in compared(data, weights, seed, quick):
                add(name, seed, arguments)
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over cities, of means over seeds, and the spread of seeds."""
    keys = ('compared', 'method', 'window')
    kinds = list(dict.fromkeys(tuple(row[key] for key in keys) for row in rows))
    vectors = {row['city']: row['auc'] for row in rows if [row[key] for key in keys] == BASELINE}
    found = []
    for kind in kinds:
        own = [row for row in rows if tuple(row[key] for key in keys) == kind]
        entry: dict[str, Any] = dict(zip(keys, kind, strict=True))
        for score in ('auc', 'f1'):
            means = [mean(r[score] for r in own if r['city'] == city) for city in vectors]
            entry[score] = mean(means)
            entry[f'{score}_std_cities'] = stdev(means)
            seeds = [
                mean(r[score] for r in own if r['seed'] == seed)
                for seed in {r['seed'] for r in own}
            ]
            entry[f'{score}_std_seeds'] = stdev(seeds) if len(seeds) > 1 else None
        entry['cities_above_cva'] = sum(
            mean(r['auc'] for r in own if r['city'] == city) > auc for city, auc in vectors.items()
        )
        found.append(entry)
    return found


def report(entries: list[dict[str, Any]], count: int) -> None:
    """Print a table."""
    table = Table('compared', 'method', 'window', 'AUC', 'over seeds', 'F1 (Otsu)', 'above CVA')
    for entry in entries:
        seeds = entry['auc_std_seeds']
        table.add_row(
            entry['compared'],
            entry['method'],
            str(entry['window']),
            f'{entry["auc"]:.3f} ± {entry["auc_std_cities"]:.3f}',
            '' if seeds is None else f'± {seeds:.3f}',
            f'{entry["f1"]:.2f} ± {entry["f1_std_cities"]:.2f}',
            f'{entry["cities_above_cva"]} of {count}',
        )
    Console().print(table)


def draw(data: OSCDTiles, city: City, checkpoint: str, path: Path) -> None:
    """Figure of one city: both dates, its mask, and magnitudes."""
    channels = natural_color(data.bands, data.sensor)
    features = load_encoder(data.bands, 'sentinel2_l1c', weights=checkpoint).encoder
    shown = {
        'change vectors': PixelChange(BandChannels(), 'cva', 1),
        'MAD, window 3': PixelChange(BandChannels(), 'mad', 3),
        'pre-trained, MAD': PixelChange(FeatureChannels(features), 'mad', 3),
    }
    figure, axes = plt.subplots(1, 3 + len(shown), figsize=(14, 2.7), layout='constrained')
    for axis, image, title in zip(axes, city.images, ('first date', 'second date'), strict=False):
        picture = image[channels]
        low, high = (torch.quantile(picture.flatten(1), q, 1)[:, None, None] for q in (0.02, 0.98))
        axis.imshow(((picture - low) / (high - low)).clamp(0, 1).permute(1, 2, 0).numpy())
        axis.set_title(title, fontsize=10)
    axes[2].imshow(city.mask.numpy(), cmap='gray_r')
    axes[2].set_title('mask', fontsize=10)
    for axis, (title, change) in zip(axes[3:], shown.items(), strict=True):
        magnitude = change_magnitude(city.images, change=change)
        axis.imshow(magnitude.numpy(), cmap='magma', vmax=np.percentile(magnitude.numpy(), 99.5))
        axis.set_title(f'{title}: AUC {scores(magnitude, city.mask)["auc"]:.3f}', fontsize=10)
    for axis in axes:
        axis.axis('off')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--root', default=str(ROOT / 'data/sample_benchmarks/oscd'))
    parser.add_argument('--sample', default=str(ROOT / 'data/sample'), help='sample archive')
    parser.add_argument('--weights', help='checkpoint to use in place of training')
    parser.add_argument('--checkpoints', help='folder that keeps what is trained, to go on from')
    parser.add_argument('--figure', help='figure of the first city to write')
    parser.add_argument('--quick', action='store_true', help='few cities and steps, to try it')
    arguments = parser.parse_args()
    # The commit at the start is the one that is measured.
    where = environment()
    generate_sample_benchmark('oscd', arguments.root)
    data, places = cities(Path(arguments.root), 2 if arguments.quick else None)
    seeds = arguments.seeds[:1] if arguments.quick or arguments.weights else arguments.seeds
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = {
            seed: arguments.weights
            or trained(
                seed,
                Path(arguments.checkpoints or folder, str(seed)),
                arguments.sample,
                3 if arguments.quick else None,
            )
            for seed in seeds
        }
        rows = measured(data, places, checkpoints, arguments.quick)
        if arguments.figure:
            draw(data, places[0], checkpoints[seeds[0]], Path(arguments.figure))
    entries = summary(rows)
    report(entries, len(places))
    if not arguments.quick and not arguments.weights:
        path = ROOT / 'benchmarks/results/pixel_change.json'
        document = {**where, 'seeds': seeds, 'summary': entries, 'rows': rows}
        path.write_text(json.dumps(document, indent=2) + '\n')


if __name__ == '__main__':
    main()
