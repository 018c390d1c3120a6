# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Lightning: with TMPDIR on another file system, a killed save leaves half a checkpoint."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

here, other = tempfile.mkdtemp(dir='/tmp'), '/dev/shm'  # noqa: S108
path = Path(here) / 'last.ckpt'
if os.stat(here).st_dev == os.stat(other).st_dev:
    raise SystemExit(f'{here} and {other} are one file system')
if not (child := os.fork()):
    os.environ['TMPDIR'], tempfile.tempdir = other, None

    def die_halfway(source, target, *args):
        """Copy half of a file, and be killed."""
        size = os.fstat(source.fileno()).st_size
        target.write(source.read(size // 2))
        target.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    shutil.copyfileobj = shutil._fastcopy_sendfile = die_halfway
    TorchCheckpointIO().save_checkpoint({'weights': torch.zeros(250_000)}, path)
    os._exit(0)
os.waitpid(child, 0)
size = path.stat().st_size if path.exists() else 0
left = [file.name for file in Path(other).glob('tmp*') if file.stat().st_size > 900_000]
print(f'{path.name} has {size} of 1,000,000 bytes; left in {other}: {", ".join(left) or "nothing"}')
for name in left:
    (Path(other) / name).unlink()
shutil.rmtree(here)
print('shown' if 0 < size < 1_000_000 else 'not shown')
