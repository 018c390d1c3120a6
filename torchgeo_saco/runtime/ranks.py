# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Ends all ranks of a run soon after one of them, and says which one and why."""

import itertools
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import distributed

from .distributed import process_rank, world_size

# Seconds between two looks at the other ranks.
_INTERVAL = 0.5

# Seconds that a rank waits for the cause of an error of communication, and the first one for the
# others to be done.
_PATIENCE = 3.0

# Numbers the runs of a process, which the ranks begin in the same order.
_runs = itertools.count()


class RankWatch(Callback):
    """Ends the other ranks within seconds if one fails or is killed, where they would wait for it.

    A rank that raises says so in the store that the ranks met in. One that is killed cannot; the
    others on its machine are told of its end by the system, and say so in the store. Every rank
    then prints which rank has ended and why as its last line, and exits with 1. With one rank
    nothing is done. A rank that is alone on its machine and is killed is noticed by torchrun, or
    by the library of communication, as before.
    """

    def __init__(self) -> None:
        """Initialize a new RankWatch instance."""
        self._peers: _Peers | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin to watch.

        Args:
            trainer: The trainer.
            pl_module: Its module.
            stage: Either 'fit', 'validate', 'test', or 'predict'.
        """
        if world_size() > 1:
            self._peers = _Peers(next(_runs))
            self._peers.start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop watching, once all ranks are done.

        Args:
            trainer: The trainer.
            pl_module: Its module.
            stage: Either 'fit', 'validate', 'test', or 'predict'.
        """
        if self._peers is not None:
            self._peers.finish()
            self._peers = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Tell the other ranks why this one ends, or end because of them.

        Args:
            trainer: The trainer.
            pl_module: Its module.
            exception: Why.
        """
        if world_size() > 1:
            peers = self._peers or _Peers(next(_runs))
            peers.fail(exception)
            self._peers = None


class _Peers:
    """The other ranks of a run, looked at by a thread."""

    def __init__(self, run: int) -> None:
        """Meet them in the store of the process group."""
        # A connection of its own, since one waits for all that is asked on it before.
        self.store: Any = distributed.distributed_c10d._get_default_store().clone()
        self.rank, self.count = process_rank(), world_size()
        self._key = f'torchgeo_saco/{run}'
        self._ended: dict[int, Callable[[], bool] | None] = {}
        self._stopped = threading.Event()
        #: Whether the first, which may keep the store, has said that it is done.
        self._first_done = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Say where this rank runs, and look at the others from now on."""
        self.store.set(self._name('process', self.rank), f'{socket.gethostname()} {os.getpid()}')
        self._thread.start()

    def finish(self) -> None:
        """Say that this rank is done; the first, which may keep the store, waits for the others."""
        self._stop()
        self.store.set(self._name('done', self.rank), '')
        end = time.monotonic() + _PATIENCE
        names = [self._name('done', rank) for rank in range(self.count)]
        while self.rank == 0 and time.monotonic() < end and not self.store.check(names):
            time.sleep(0.02)

    def fail(self, exception: BaseException) -> None:
        """Say why this rank ends, unless the end of another one is why."""
        self._stop()
        end = time.monotonic() + _PATIENCE
        # That of a library of communication says that another rank is gone, not why.
        while isinstance(exception, RuntimeError) and time.monotonic() < end:
            self._look_or_end()
            time.sleep(0.05)
        text = ' '.join(str(exception).split())
        try:
            self._say(f'rank {self.rank} failed: {type(exception).__name__}: {text}')
        except RuntimeError:
            return
        if self.rank == 0:
            # The others read it before the store may end with this process.
            time.sleep(2 * _INTERVAL)

    def _stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _watch(self) -> None:
        """Look at the others until this rank is done."""
        while not self._stopped.wait(_INTERVAL):
            self._look_or_end()

    def _look_or_end(self) -> None:
        """Look at the others; a store that is gone is the end of the rank that kept it."""
        try:
            self._look()
        except RuntimeError:
            if self._first_done:
                self._stopped.set()
                return
            ended = self._ended.get(0)
            killed = ended is not None and ended()
            self._end(f'rank 0{"" if killed else ", or what started the ranks,"} was killed')

    def _look(self) -> None:
        """End if another rank has."""
        if self.store.check([self._name('failure')]):
            self._end(self.store.get(self._name('failure')).decode())
        self._first_done = self.store.check([self._name('done', 0)])
        for rank in range(self.count):
            if rank == self.rank:
                continue
            if rank not in self._ended:
                self._find(rank)
            ended = self._ended.get(rank)
            if ended is None or not ended() or self.store.check([self._name('done', rank)]):
                continue
            # It may have said why just before.
            self._end(self._say(f'rank {rank} was killed'))

    def _find(self, rank: int) -> None:
        """Have the system tell of the end of a rank, if it is on this machine."""
        name = self._name('process', rank)
        if not self.store.check([name]):
            return
        host, process = self.store.get(name).decode().split()
        self._ended[rank] = _ending(int(process)) if host == socket.gethostname() else None

    def _say(self, reason: str) -> str:
        """Put a reason in the store, unless there is one; the one that stands."""
        stands: bytes = self.store.compare_set(self._name('failure'), '', reason)
        return stands.decode()

    def _end(self, reason: str) -> NoReturn:
        """End this rank, whatever it waits for."""
        sys.stdout.flush()
        sys.stderr.write(f'\nrank {self.rank} of {self.count} ends, for {reason}\n')
        sys.stderr.flush()
        os._exit(1)

    def _name(self, *parts: Any) -> str:
        """Name in the store."""
        return '/'.join(map(str, (self._key, *parts)))


def _ending(process: int) -> Callable[[], bool] | None:
    """What tells whether a process has ended; None where the system does not say it."""
    try:
        number = os.pidfd_open(process)
    except (AttributeError, OSError):
        return None
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return lambda: bool(poll.poll(0))
