# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: runs of several processes."""

import multiprocessing
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from lightning.pytorch import Callback

from ..data.archives import write_archive
from ..data.processes import free_port
from ..data.resumed import trained
from .fault import Fault

_DATES = (
    '20180210', '20180410', '20180715', '20181020', '20190212', '20190412', '20190720', '20191022',
)  # fmt: skip

#: Seconds within which a rank ends after another.
_LIMIT = 10


class _End(Callback):
    """Ends one rank in the middle of training."""

    def __init__(self, rank: int, how: str, file: Path) -> None:
        self.rank, self.how, self.file = rank, how, file

    def on_train_batch_start(self, trainer, *args):
        """Say when, and end."""
        if trainer.global_rank != self.rank or trainer.global_step < 2:
            return
        self.file.write_text(repr(time.time()))
        if self.how == 'killed':
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == 'stopped':
            sys.exit('no time is left')
        raise {'failed': ValueError, 'ran out': RuntimeError}[self.how]('B04.tif is broken')


def _train(root: Path, rank: int, port: int, end: _End) -> None:
    """Train as one of two ranks, and write what the terminal would show."""
    log = os.open(root / f'log{rank}', os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    ranks = {'RANK': rank, 'LOCAL_RANK': rank, 'WORLD_SIZE': 2, 'LOCAL_WORLD_SIZE': 2}
    meeting = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port, 'GLOO_SOCKET_IFNAME': 'lo'}
    rest = {'GROUP_RANK': 0, 'TORCHELASTIC_RUN_ID': 'none', 'PL_GLOBAL_SEED': 0}
    os.environ.update({key: str(value) for key, value in (ranks | meeting | rest).items()})
    code = 1
    try:
        trained(root / 'archive', root / 'run', callbacks=[end], val_fraction=0.4,
                trainer={'strategy': 'ddp', 'devices': 2})  # fmt: skip
        code = 0
    except BaseException:  # noqa: BLE001 - as at the end of any program
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


def _together(root: Path, rank: int, how: str, reason: str) -> None:
    """Both ranks end soon after one of them; the other one says which one it was, and why."""
    write_archive(root / 'archive', locations=9, dates=_DATES, bands=('B2', 'B3', 'B4'), size=16)
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    end, port = _End(rank, how, root / 'when'), free_port()
    both = [context.Process(target=_train, args=(root, r, port, end)) for r in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(100)
        process.kill()
    ended = (root / f'log{1 - rank}').stat().st_mtime - float((root / 'when').read_text())
    last = (root / f'log{1 - rank}').read_text(errors='replace').strip().splitlines()[-1]
    assert ended < _LIMIT, ended
    assert last.startswith(f'rank {1 - rank} of 2 ends, for rank {rank}'), last
    assert last.endswith(reason), last
    assert both[1 - rank].exitcode == 1, both[1 - rank].exitcode


FAULTS: list[Fault] = [
    Fault(
        f'{id} rank {rank} {how}',
        lambda root, r=rank, h=how, why=reason: _together(root, r, h, why),
        error=None,
    )
    for id, how, reason in (
        ('D4', 'killed', 'was killed'),
        ('D3', 'failed', 'failed: ValueError: B04.tif is broken'),
        ('D3', 'ran out', 'failed: RuntimeError: B04.tif is broken'),
        ('D3', 'stopped', 'failed: SystemExit: no time is left'),
    )
    for rank in range(2)
]
