# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Kill tiny runs at random instants, resume them, and compare how they end with unbroken runs.

``python -m tests.faults.kills`` kills every pre-training task 20 times with 0 and with 2 workers,
with the temporary folder on the same file system and on another one, and one of two processes. It
prints a table, and exits with 1 if a hash differs, a file is torn, or an orphan is left.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from torchgeo_saco.datamodules import PairedDataModule, SeasonalDataModule
from torchgeo_saco.io.checkpoint import read_checkpoint
from torchgeo_saco.tasks import MMA, CACo, CACoSimCLR, DualSimCLR, DualTask, MoCo, SACo, SeCo

from ..data.archives import write_archive, write_radar_archive
from ..data.processes import free_port
from ..data.resumed import YEARS, digest

_DATES = (
    '20180210', '20180410', '20180715', '20181020', '20190212', '20190412', '20190720', '20191022',
)  # fmt: skip

_SMALL = {
    'model': 'test_resnet', 'size': 16, 'hidden_dims': [16], 'output_dim': 8, 'crop': 0.5,
    'milestones': [0.4], 'lr': 0.01,
}  # fmt: skip
_TWO = {'input_bands': ['B04', 'B03', 'B02'], 'temperature': 0.5}

#: Tasks with their arguments, and what they train on.
TASKS = {
    'MoCo': (MoCo, {'queue_size': 8}, {'item': 'location', 'dates': 1}),
    'SeCo': (SeCo, {'queue_size': 8}, {'item': 'location', 'dates': 3}),
    'CACo': (CACo, {'queue_size': 8}, YEARS),
    'TeCo': (CACo, {'queue_size': 8, 'change_aware': False}, YEARS),
    'CACoSimCLR': (CACoSimCLR, {}, YEARS),
    'SACo': (SACo, {'queue_size': 8, 'texture': True}, {'item': 'location', 'dates': 2}),
    'DualSimCLR': (DualSimCLR, _TWO, {'item': 'location', 'dates': 1}),
    'MMA': (MMA, _TWO, {'item': 'location', 'dates': 1}),
}

#: Seconds after which a run counts as hung.
_TIME = 120

#: Seconds that the other processes have to end after one was killed.
_GRACE = 30

_EPOCHS = 3


class _Pace(Callback):
    """Makes a step take some time, so that instants lie everywhere in a run."""

    def on_train_batch_end(self, *args: object) -> None:
        """Wait."""
        time.sleep(0.01)


def train(name: str, root: Path, folder: Path, workers: int, **options: object) -> Trainer:
    """Train a task to its end, from its last checkpoint if there is one.

    Args:
        name: Name of the task.
        root: Folder of the archives.
        folder: Folder of its checkpoints.
        workers: Workers of its loader.
        options: Arguments of the trainer.

    Returns:
        The trainer.
    """
    torch.manual_seed(1)
    method, arguments, items = TASKS[name]
    dual = issubclass(method, DualTask)
    kind = PairedDataModule if dual else SeasonalDataModule
    second = {'second_root': root / 's1'} if dual else {}
    data = kind(root=root / 's2', batch_size=2, num_workers=workers, val_fraction=0.3, **items,
                **second)  # fmt: skip
    saver = ModelCheckpoint(folder, '{step}', every_n_train_steps=1, save_last=True)
    processes = int(os.environ.get('WORLD_SIZE', '1'))
    arguments_of_trainer = {
        'max_epochs': _EPOCHS, 'accelerator': 'cpu', 'logger': False, 'devices': processes,
        'enable_progress_bar': False, 'enable_model_summary': False, 'callbacks': [_Pace(), saver],
        'strategy': 'ddp' if processes > 1 else 'auto',
    }  # fmt: skip
    trainer = Trainer(default_root_dir=folder, **(arguments_of_trainer | options))
    last = folder / 'last.ckpt'
    trainer.fit(method(**_SMALL, **arguments), data, ckpt_path=last if last.exists() else None)
    return trainer


def _fork(work: Callable[[], None], log: Path, environment: dict[str, str]) -> int:
    """Number of a process that does something."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        # With its workers in a group of its own, which is killed as a whole in the end.
        os.setpgid(0, 0)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.dup2(1, 2)
        os.environ.update(environment)
        tempfile.tempdir = None
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it is told
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@dataclass
class Count:
    """What became of the runs of a task."""

    kills: int = 0
    runs: int = 0
    unequal: int = 0
    torn: int = 0
    orphans: int = 0
    hung: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """All that must be 0."""
        return self.unequal + self.torn + self.orphans + self.hung


@dataclass(frozen=True)
class Case:
    """A task as it is run.

    Args:
        task: Its name.
        workers: Workers of the loader.
        temporary: Folder for temporary files.
        processes: Processes that train together.
    """

    task: str
    workers: int
    temporary: Path
    processes: int = 1

    def run(self, root: Path, folder: Path, kill: float | None, draw: random.Random) -> bool | None:
        """Train to the end or to the death of one of the processes after some seconds.

        Returns:
            Whether it was killed before the end; None if it hung.
        """
        port = str(free_port())
        common = {'TMPDIR': str(self.temporary), 'PL_GLOBAL_SEED': '0', 'OMP_NUM_THREADS': '1'}
        if self.processes > 1:
            common |= {
                'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port, 'TORCHELASTIC_RUN_ID': 'none',
                'WORLD_SIZE': str(self.processes), 'LOCAL_WORLD_SIZE': str(self.processes),
                'GROUP_RANK': '0', 'GLOO_SOCKET_IFNAME': 'lo',
            }  # fmt: skip
        numbers = [
            _fork(
                lambda: _end(train(self.task, root, folder, self.workers), folder),
                folder / f'log{rank}',
                common | ({'RANK': str(rank), 'LOCAL_RANK': str(rank)} if port else {}),
            )
            for rank in range(self.processes)
        ]
        left, killed, end = set(numbers), False, time.monotonic() + _TIME
        dead = None if kill is None else time.monotonic() + kill
        victim = draw.choice(numbers)
        while left:
            for number in [*left]:
                if os.waitpid(number, os.WNOHANG)[0]:
                    left.discard(number)
            now = time.monotonic()
            if dead is not None and now > dead and victim in left:
                os.kill(victim, signal.SIGKILL)
                dead, killed = None, True
                # Ranks that have not met yet do not know of each other; what starts them ends them.
                end = min(end, now + _GRACE)
            if now > end:
                break
            time.sleep(0.002)
        for number in numbers:
            # Workers that have lost their process, and what hangs.
            try:
                os.killpg(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for number in left:
            os.waitpid(number, 0)
        return None if left and not killed else killed


def _end(trainer: Trainer, folder: Path) -> None:
    """Write the hash of the end of a run."""
    if trainer.is_global_zero:
        (folder / 'digest').write_text(digest(trainer))


def _torn(folder: Path) -> Iterator[str]:
    """Names of checkpoints that cannot be read."""
    for path in folder.glob('[!.]*.ckpt'):
        try:
            read_checkpoint(path)
        except ValueError:
            yield path.name


def examine(case: Case, root: Path, folder: Path, kills: int, draw: random.Random) -> Count:
    """Kill a task some times, at most three times in a run, and count what went wrong.

    Args:
        case: The task.
        root: Folder of the archives.
        folder: An empty folder.
        kills: How often it is killed.
        draw: Draws the instants.

    Returns:
        The counts.
    """
    count = Count()
    whole = folder / 'whole'
    whole.mkdir(parents=True)
    begun = time.monotonic()
    case.run(root, whole, None, draw)
    length = time.monotonic() - begun
    if not (whole / 'digest').exists():
        count.notes.append((whole / 'log0').read_text()[-500:])
        count.unequal += 1
        return count
    expected = (whole / 'digest').read_text()
    while count.kills < kills:
        run = folder / f'run{count.runs}'
        run.mkdir()
        count.runs += 1
        for death in range(4):
            again = death < 3 and count.kills < kills
            kill = draw.uniform(0.1, 1) * length if again else None
            ended = case.run(root, run, kill, draw)
            count.kills += bool(ended)
            count.torn += len([*_torn(run)])
            count.hung += ended is None
            if not ended:
                break
        found = (run / 'digest').read_text() if (run / 'digest').exists() else 'none'
        if found != expected:
            count.unequal += 1
            count.notes.append(f'{run}: {(run / "log0").read_text()[-300:]}')
        # Python's multiprocessing leaves sockets of workers that are killed.
        left = [path for path in case.temporary.rglob('*') if 'pymp-' not in str(path)]
        count.orphans += len([*run.glob('.*'), *left])
    return count


def write_archives(root: Path) -> Path:
    """Write the archives that the tasks train on: eleven locations of two sensors.

    Args:
        root: Folder of the two.

    Returns:
        The folder.
    """
    write_archive(root / 's2', locations=11, dates=_DATES, bands=('B2', 'B3', 'B4'), size=16)
    write_radar_archive(root / 's1', 11, size=16)
    return root


def cases(names: list[str], base: Path, other: Path | None, processes: int) -> Iterator[Case]:
    """All ways in which tasks are run.

    Args:
        names: Their names.
        base: Folder on the file system of the checkpoints.
        other: Folder on another one, or None if there is none.
        processes: Processes of the runs with several; 1 for none.
    """
    for name in names:
        for place, temporary in (('same', base), ('other', other)):
            if temporary is None:
                continue
            for workers in (0, 2):
                folder = temporary / f'{name}-{place}-{workers}'
                folder.mkdir(parents=True)
                yield Case(name, workers, folder)
        if processes > 1:
            folder = base / f'{name}-processes'
            folder.mkdir(parents=True)
            yield Case(name, 0, folder, processes)


def main() -> None:
    """Kill, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kills', type=int, default=20, help='of each task, in each way')
    parser.add_argument('--tasks', nargs='+', default=[*TASKS], choices=TASKS)
    parser.add_argument('--processes', type=int, default=2, help='1 to leave out runs of several')
    parser.add_argument('--other', type=Path, default=Path('/dev/shm'))  # noqa: S108
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bad = 0
    with (
        tempfile.TemporaryDirectory() as here,
        tempfile.TemporaryDirectory(dir=options.other) as there,
    ):
        if os.stat(here).st_dev == os.stat(there).st_dev:
            parser.error(f'{options.other} is on the file system of {here}; name another')
        root = write_archives(Path(here) / 'archives')
        names = [
            'task',
            'workers',
            'processes',
            'TMPDIR',
            'kills',
            'runs',
            'other_hash',
            'torn',
            'orphans',
            'hung',
        ]
        print(f'| {" | ".join(names)} |\n{"|---" * len(names)}|', flush=True)
        every = cases(options.tasks, Path(here) / 'tmp', Path(there), options.processes)
        for number, case in enumerate(every):
            folder = Path(here) / f'case{number}'
            count = examine(case, root, folder, options.kills, random.Random(options.seed))
            place = 'same' if case.temporary.is_relative_to(here) else 'other'
            print(
                f'| {case.task} | {case.workers} | {case.processes} | {place} | {count.kills} | '
                f'{count.runs} | {count.unequal} | {count.torn} | {count.orphans} | {count.hung} |',
                flush=True,
            )
            bad += count.bad
            for note in count.notes:
                print(note, file=sys.stderr)
    sys.exit(bad > 0)


if __name__ == '__main__':
    main()
