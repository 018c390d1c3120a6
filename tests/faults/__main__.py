# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Meet every fault in a process of limited time and memory, and count what went wrong."""

import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from .catalogue import FAULTS
from .fault import Fault, Unmet, meet

#: Seconds, and bytes over what the process holds when it starts.
_TIME, _MEMORY = 120, 2 << 30


def _child(fault: Fault, folder: Path, report: int) -> None:
    """Meet a fault, say how it went in one line, and end."""
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    try:
        meet(fault, folder)
        verdict = 'as it should be'
    except Unmet as error:
        verdict = str(error).removeprefix(f'{fault.id}: ')
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        verdict = f'not handled: {type(error).__name__}: {error}'
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) * 1024 > _MEMORY:
        verdict = 'took more than 2 GiB of memory'
    os.write(report, ' '.join(verdict.split()).encode()[:4000])
    os._exit(0)


def _met(fault: Fault) -> str:
    """How a fault went."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as shared:
        ours, theirs = os.pipe()
        number = os.fork()
        if not number:
            os.close(ours)
            # What outlasts a fault goes with its process.
            tempfile.tempdir = shared
            _child(fault, Path(folder), theirs)
        os.close(theirs)
        end = time.monotonic() + _TIME
        while not os.waitpid(number, os.WNOHANG)[0]:
            if time.monotonic() > end:
                os.kill(number, signal.SIGKILL)
                os.waitpid(number, 0)
                return f'hung for {_TIME} s'
            time.sleep(0.005)
        with os.fdopen(ours) as pipe:
            return pipe.read() or 'crashed'


def main() -> None:
    """Meet all faults, or those whose name begins with an argument."""
    torch.set_num_threads(1)
    chosen = [f for f in FAULTS if not sys.argv[1:] or f.id.startswith(tuple(sys.argv[1:]))]
    counts: Counter[str] = Counter()
    for fault in chosen:
        verdict = _met(fault)
        good = verdict == 'as it should be'
        counts['as they should be' if good else 'not'] += 1
        if not good:
            print(f'{fault.id}: {verdict}', flush=True)
    print(f'{len(chosen)} faults: ' + ', '.join(f'{n} {kind}' for kind, n in counts.items()))
    sys.exit(counts['not'] > 0)


if __name__ == '__main__':
    main()
