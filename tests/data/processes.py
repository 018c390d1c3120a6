# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Commands on two processes, started as torchrun or SLURM starts them."""

import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryFile


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def environment(**more: str | int) -> dict[str, str]:
    """Environment of a process of two that meet on this machine."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('SLURM_', 'TORCHELASTIC', 'PYTEST_'))
    }
    fixed = {'OMP_NUM_THREADS': '1', 'GLOO_SOCKET_IFNAME': 'lo', 'PL_GLOBAL_SEED': '0'}
    return kept | fixed | {name: str(value) for name, value in more.items()}


def torchrun_environments() -> list[dict[str, str]]:
    """What torchrun tells each of two processes."""
    port = free_port()
    common = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port, 'WORLD_SIZE': 2}
    common |= {'TORCHELASTIC_RUN_ID': 'none', 'LOCAL_WORLD_SIZE': 2, 'GROUP_RANK': 0}
    return [environment(RANK=rank, LOCAL_RANK=rank, **common) for rank in range(2)]


def slurm_environments() -> list[dict[str, str]]:
    """What SLURM tells each of two tasks of a job on one node."""
    common = {
        'SLURM_JOB_ID': 7, 'SLURM_JOB_NAME': 'saco', 'SLURM_NTASKS': 2, 'SLURM_NTASKS_PER_NODE': 2,
        'SLURM_NODELIST': '127.0.0.1', 'SLURM_NODEID': 0, 'MASTER_PORT': free_port(),
    }  # fmt: skip
    return [environment(SLURM_PROCID=rank, SLURM_LOCALID=rank, **common) for rank in range(2)]


def run_together(
    command: Sequence[str], environments: Sequence[dict[str, str]], timeout: float = 300
) -> list[subprocess.CompletedProcess[str]]:
    """Run a command in several processes at once; what outlives the time is killed, and says so."""
    with ExitStack() as stack:
        # Files, for a pipe that nobody reads yet would stop a process once it is full.
        logs = [stack.enter_context(TemporaryFile('w+')) for _ in environments]
        processes = [
            subprocess.Popen(  # noqa: S603
                command, env=env, stdout=log, stderr=subprocess.STDOUT
            )
            for env, log in zip(environments, logs, strict=True)
        ]
        end = time.monotonic() + timeout
        try:
            for process in processes:
                process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            logs[0].write(f'\nkilled after {timeout:g} s\n')
            logs[0].flush()
        finally:
            for process in processes:
                process.kill()
                process.wait()
        finished = []
        for process, log in zip(processes, logs, strict=True):
            log.seek(0)
            finished.append(subprocess.CompletedProcess(command, process.returncode, log.read()))
        return finished
