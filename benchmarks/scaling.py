# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""How time and memory grow with batch, groups, bands, patch size and number of locations.

``python benchmarks/scaling.py`` trains SACo+ on random images, one axis at a time, and opens stores
that hold tables of more and more locations but no images. It prints the curves, the exponent of
each over its upper half, and draws them. Every axis runs in a process of its own, so
that its peak memory is its own.
"""

import json
import math
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, NullLocator
from reporting import RESULTS, Target, device, device_name, parser, report, seconds
from store_index import write_index

from torchgeo_saco.bands import SENTINEL2_L1C
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.models.change import ChangeEstimate
from torchgeo_saco.samplers.order import EpochSampler
from torchgeo_saco.tasks import SACo

#: Step that the axes vary: images a batch, groups, side of the stored patch.
BATCH, GROUPS, SIZE = 32, 7, 64
BANDS = tuple(SENTINEL2_L1C.bands)

#: Points of each axis, and a few that take seconds.
AXES: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    'batch': ((8, 16, 32, 64, 128), (4, 8)),
    'groups': ((1, 2, 4, 7, 14), (1, 2)),
    'bands': ((3, 4, 6, 9, 13), (3, 4)),
    'patch': ((32, 64, 128, 256, 512), (32, 64)),
    'locations': ((100, 1000, 10_000, 100_000, 1_000_000), (100, 1000)),
}

#: What an axis is proportional to, where it is not the number itself.
UNITS: dict[str, Callable[[int], int]] = {'patch': lambda side: side**2}

#: Largest exponent of growth that still counts as linear.
LINEAR = 1.1


def main() -> None:
    """Run each axis in a process, print, draw and write."""
    arguments = parser(__doc__)
    arguments.add_argument('--axis', choices=AXES, help='measure one axis here, and print it')
    arguments = arguments.parse_args()
    if arguments.axis:
        print(json.dumps(measured(arguments.axis, arguments.quick)))
        return
    # In a trial the processes would take longer than what they measure.
    curve = partial(measured, quick=True) if arguments.quick else measured_apart
    curves = {axis: curve(axis) for axis in AXES}
    rows = [
        {'axis': axis, 'value': row['value'], 'what': what, 'measured': value}
        for axis, curve in curves.items()
        for row in curve
        for what, value in row.items()
        if what != 'value'
    ]
    figure = None if arguments.quick else draw(curves)
    growth = exponents(curves)
    report('scaling', arguments, rows, targets(curves), exponents=growth, figure=figure)


def measured(axis: str, quick: bool) -> list[dict[str, float]]:
    """Curve of an axis."""
    curve = places if axis == 'locations' else steps
    return curve(axis, AXES[axis][quick], 1 if quick else 3)


def measured_apart(axis: str) -> list[dict[str, float]]:
    """Curve of an axis, from a process of its own."""
    command = [sys.executable, '-W', 'ignore', __file__, '--axis', axis]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return json.loads(answer.stdout.splitlines()[-1])


def steps(axis: str, points: Sequence[int], repeats: int) -> list[dict[str, float]]:
    """Time and peak memory of a training step."""
    curve = []
    # Libraries and thread pools are there before the first point.
    _step(2, 1, 3, 32)()
    idle = memory()
    for value in points:
        # One repeat is a trial, which is to take seconds.
        batch = BATCH if repeats > 1 else 4
        sizes = {'batch': batch, 'groups': GROUPS, 'bands': len(BANDS), 'patch': SIZE}
        step = _step(**sizes | {axis: value})
        taken = median(seconds(step, repeats))
        grown = (memory() - idle) / 2**20
        curve.append({'value': value, 'step, s': taken, 'peak memory, MiB': grown})
        del step
    return curve


def _step(batch: int, groups: int, bands: int, patch: int) -> Callable[[], None]:
    """A training step of SACo+ from stored integers to new weights, as a call."""
    where, names = device(), BANDS[:bands]
    chosen = {f'group{i}': [names[(i + j) % bands] for j in range(3)] for i in range(groups)}
    task = SACo(bands=names, groups=chosen, texture=['group0'], queue_size=4096).to(where)
    optimizer = task.configure_optimizers()
    stored = torch.randint(0, 10_000, (batch, 2, bands, patch, patch)).short()
    location = torch.arange(batch, device=where)

    def step() -> None:
        image = stored.to(where, non_blocking=True).float() / 10_000
        losses, _, _ = task.objective(image, location)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        task._update_key_encoder()

    return step


def places(axis: str, points: Sequence[int], repeats: int) -> list[dict[str, float]]:
    """Start-up, order of an epoch and decision of change, by the number of locations."""
    curve = []
    idle = memory()
    for count in points:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / 'store.zarr'
            write_index(root, locations=count, dates=5)

            def start(root: Path = root) -> SeasonalDataModule:
                data = SeasonalDataModule(root=root, dates=2, batch_size=32)
                # The store holds no pixels to look at.
                with patch('torchgeo_saco.datasets.seasonal.require_plausible'):
                    data.setup('fit')
                return data

            (taken,) = seconds(start, 1, warmup=0)
            grown = (memory() - idle) / 2**20
            order = EpochSampler(start().train_items)
            estimate = ChangeEstimate(count)
            estimate.ratio.uniform_(1, 2)
            curve.append(
                {
                    'value': count,
                    'start-up, s': taken,
                    'start-up memory, MiB': grown,
                    'order of an epoch, s': median(seconds(partial(_drained, order), repeats)),
                    'decision of change, s': median(seconds(estimate.decide, repeats)),
                }
            )
    return curve


def _drained(order: EpochSampler) -> None:
    """Go through an epoch's order once."""
    for _ in order:
        pass


def memory() -> float:
    """Most bytes that this process, or the GPU, has held so far."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def exponent(axis: str, curve: list[dict[str, float]], what: str) -> float:
    """Exponent of growth over the upper half of a curve, where fixed costs hide it least."""
    unit = UNITS.get(axis, lambda value: value)
    first, last = curve[(len(curve) - 1) // 2], curve[-1]
    return math.log(max(last[what], 1e-9) / max(first[what], 1e-9)) / math.log(
        unit(int(last['value'])) / unit(int(first['value']))
    )


def exponents(curves: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Exponent of growth of every curve."""
    return {
        f'{what.split(",")[0]} against {axis}': exponent(axis, curve, what)
        for axis, curve in curves.items()
        for what in curve[0]
        if what != 'value'
    }


def targets(curves: dict[str, list[dict[str, float]]]) -> list[Target]:
    """Nothing grows faster than linearly, and a million locations are open in ten seconds."""
    growth = exponents(curves)
    steepest = max(growth, key=lambda name: growth[name])
    last = curves['locations'][-1]
    start = f'start-up on {last["value"]:,} locations'
    return [
        Target(
            f'power of growth, the largest of {len(growth)}: {steepest}',
            'linear growth', growth[steepest], LINEAR, False, '',
        ),
        Target(start, 'alone', last['start-up, s'], 10.0, False, 's'),
    ]  # fmt: skip


def draw(curves: dict[str, list[dict[str, float]]]) -> str:
    """Draw all curves on logarithmic axes, with the slope of linear growth; name of the file."""
    figure, axes = plt.subplots(2, len(curves), figsize=(3.4 * len(curves), 6.4))
    for column, (axis, curve) in enumerate(curves.items()):
        unit = UNITS.get(axis, lambda value: value)
        values = [unit(int(row['value'])) for row in curve]
        for panel, ending in zip(axes[:, column], (', s', ', MiB'), strict=True):
            names = [name for name in curve[0] if name.endswith(ending)]
            for name in names:
                measured = [max(row[name], 1e-6) for row in curve]
                panel.plot(values, measured, 'o-', label=name.removesuffix(ending))
                line = [measured[-1] * value / values[-1] for value in values]
                panel.plot(values, line, ':', color='grey', zorder=0)
            panel.set(xscale='log', yscale='log', ylabel='seconds' if ending == ', s' else 'MiB')
            panel.set_xticks(values, [str(int(row['value'])) for row in curve], rotation=45)
            panel.xaxis.set_minor_locator(NullLocator())
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter('{x:g}')
            panel.yaxis.set_minor_locator(NullLocator())
            panel.legend(fontsize=7)
        axes[0, column].set_title({'patch': 'side of a patch, px'}.get(axis, axis))
    figure.suptitle('Measured; dotted: linear growth through the last point')
    figure.tight_layout()
    path = RESULTS / f'scaling.{device_name()}.png'
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    return path.name


if __name__ == '__main__':
    main()
