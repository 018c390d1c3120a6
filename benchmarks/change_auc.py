# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Changed and unchanged locations of the sample archive told apart by CACo, over seeds.

``python benchmarks/change_auc.py`` trains ``configs/caco.yaml`` over ``configs/saco.yaml`` once a
seed, on groups and on RGB, compares what the task decided in training and what ``torchgeo-saco
changes`` reads off the trained net with the change masks of the archive, prints a table, and writes
``benchmarks/results/change_auc.json``. The sample is synthetic.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

import torch
from rich.console import Console
from rich.table import Table
from torchmetrics.functional.classification import binary_auroc

from torchgeo_saco.change.command import restored_task
from torchgeo_saco.change.map import change_map
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.evaluation.environment import environment
from torchgeo_saco.io.raster import opened_raster
from torchgeo_saco.tasks import CACo

ROOT = Path(__file__).parents[1]
RGB = ['--model.init_args.groups=[natural_color]', '--model.init_args.texture=false']


def trained(seed: int, folder: Path, more: list[str]) -> CACo:
    """The task after training."""
    configs = [f'--config={ROOT / "configs" / name}.yaml' for name in ('saco', 'caco')]
    command = [
        *(sys.executable, '-m', 'torchgeo', 'fit', *configs, f'--seed_everything={seed}'),
        *(f'--trainer.logger.init_args.save_dir={folder}', *more),
    ]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603
    (checkpoint,) = folder.rglob('last.ckpt')
    return restored_task(str(checkpoint), 'CACo')


def auc(scores: list[float], target: list[bool]) -> float:
    """Share of pairs of a changed and an unchanged location in the right order."""
    values = torch.tensor(scores, dtype=torch.float64)
    return binary_auroc(values / values.max(), torch.tensor(target).long()).item()


def measured(task: CACo, data: SeasonalDataModule, changed: dict[str, bool]) -> dict[str, object]:
    """Scores of one net."""
    names = [place.name for place in data.predict_dataset.locations]
    ratios, flags = task.change.ratio.mean(1), (task.change.changed == 1).any(1)
    seen = [i for i in range(len(names)) if torch.isfinite(ratios[i])]
    target = [changed[names[i]] for i in seen]
    decided = flags[seen].tolist()
    # Of the trained net, on all dates of every location.
    table = change_map(task, data.predict_dataset, data.reflectance).table
    held_out = {place.name for place in data.val_dataset.locations}
    parts = {
        part: table[[(name in held_out) == (part == 'held_out') for name in table.location]]
        for part in ('trained_on', 'held_out')
    }
    return {
        'auc_training': auc(ratios[seen].tolist(), target),
        'found': mean(d for d, t in zip(decided, target, strict=True) if t),
        'false_alarms': mean(d for d, t in zip(decided, target, strict=True) if not t),
        'threshold': task.change.mixture.threshold,
        'decided': [names[i] for i, d in zip(seen, decided, strict=True) if d],
        **{
            f'auc_map_{part}': auc(rows.ratio.tolist(), [changed[name] for name in rows.location])
            for part, rows in parts.items()
        },
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--root', default=str(ROOT / 'data/sample'), help='sample archive')
    parser.add_argument('--figures', help='folder that takes the figures of the first seed')
    parser.add_argument('--quick', action='store_true', help='a few steps, to try the command')
    arguments = parser.parse_args()
    more = ['--trainer.max_epochs=1', '--trainer.limit_train_batches=3'] if arguments.quick else []
    results: dict[str, dict[int, dict[str, object]]] = {}
    for name, groups in (('SA+CACo', []), ('CACo, RGB', RGB)):
        results[name] = {}
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as folder:
                root = f'--data.init_args.root={arguments.root}'
                task = trained(seed, Path(folder), [root, *groups, *more])
                if arguments.figures and not groups and seed == arguments.seeds[0]:
                    keep_figures(Path(folder), Path(arguments.figures))
            data = SeasonalDataModule(
                archive='sample', root=arguments.root, val_fraction=0.3, batch_size=2
            )
            # Makes the held-out part, whose names are looked up.
            data.setup('fit')
            data.setup('predict')
            results[name][seed] = measured(task, data, masks(Path(arguments.root), data))
    report(results)
    if not arguments.quick:
        path = ROOT / 'benchmarks/results/change_auc.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**environment(), 'results': results}, indent=2) + '\n')


def masks(root: Path, data: SeasonalDataModule) -> dict[str, bool]:
    """Whether the change mask of each location marks any pixel."""
    found = {}
    for place in data.predict_dataset.locations:
        path = root / 'change' / f'{place.name}.tif'
        found[place.name] = False
        if path.exists():
            with opened_raster(path, 1) as file:
                found[place.name] = bool(file.read(1).any())
    return found


def keep_figures(run: Path, folder: Path) -> None:
    """Copy the last figures of change."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('change_ratio', 'changed_locations'):
        last = max(run.rglob(f'{name}_epoch*.png'))
        (folder / f'{name}.png').write_bytes(last.read_bytes())


def report(results: dict[str, dict[int, dict[str, object]]]) -> None:
    """Print one row a run, their mean, and how far the decisions of two seeds agree."""
    scores = ('auc_training', 'found', 'false_alarms', 'threshold')
    scores += ('auc_map_trained_on', 'auc_map_held_out')
    table = Table('method', 'seed', *(name.replace('_', ' ') for name in scores))
    for method, runs in results.items():
        for seed, run in runs.items():
            table.add_row(method, str(seed), *(f'{run[name]:.3f}' for name in scores))
        if len(runs) > 1:
            columns = [[run[name] for run in runs.values()] for name in scores]
            cells = [f'{mean(column):.3f} ± {stdev(column):.3f}' for column in columns]
            table.add_row(method, 'mean ± std', *cells)
    console = Console()
    console.print(table)
    for method, runs in results.items():
        chosen = [set(run['decided']) for run in runs.values()]
        shares = [len(a & b) / max(1, len(a | b)) for a, b in combinations(chosen, 2)]
        if shares:
            console.print(
                f'{method}: two seeds share {mean(shares):.0%} of the locations they decide'
            )


if __name__ == '__main__':
    main()
