# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Nearest-neighbour accuracy on the sample archive before and after training, over seeds.

``python benchmarks/sample_seeds.py`` runs ``configs/saco.yaml`` once a seed, prints a table and
writes ``benchmarks/results/sample_seeds.json``. The sample is synthetic.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

from rich.console import Console
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from torchgeo_saco.evaluation.environment import environment

ROOT = Path(__file__).parents[1]


def accuracies(seed: int, more: list[str]) -> list[float]:
    """Accuracy before training and after every epoch, of one run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, '-m', 'torchgeo', 'fit', f'--config={ROOT / "configs/saco.yaml"}'),
            *(f'--seed_everything={seed}', f'--trainer.logger.init_args.save_dir={folder}', *more),
        ]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603
        (events,) = Path(folder).rglob('events.out.*')
        scalars = EventAccumulator(str(events)).Reload().Scalars('val_knn_accuracy')
    return [scalar.value for scalar in scalars]


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--quick', action='store_true', help='a few steps, to try the command')
    arguments = parser.parse_args()
    more = ['--trainer.max_epochs=1', '--trainer.limit_train_batches=2'] if arguments.quick else []
    measured_on = environment()
    rows = {}
    for seed in arguments.seeds:
        start = time.perf_counter()
        values = accuracies(seed, more)
        rows[seed] = {
            'untrained': values[0],
            'trained': values[-1],
            'seconds': time.perf_counter() - start,
        }
    table = Table('seed', 'untrained', 'trained', 'seconds', title='kNN accuracy, sample archive')
    for seed, row in rows.items():
        table.add_row(
            str(seed), f'{row["untrained"]:.1%}', f'{row["trained"]:.1%}', f'{row["seconds"]:.0f}'
        )
    if len(rows) > 1:
        columns = [[row[name] for row in rows.values()] for name in ('untrained', 'trained')]
        table.add_row('mean ± std', *(f'{mean(c):.1%} ± {stdev(c):.1%}' for c in columns), '')
    Console().print(table)
    if not arguments.quick:
        path = ROOT / 'benchmarks/results/sample_seeds.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**measured_on, 'seeds': rows}, indent=2) + '\n')


if __name__ == '__main__':
    main()
