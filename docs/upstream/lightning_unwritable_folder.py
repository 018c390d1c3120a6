# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Lightning: a checkpoint for a folder that is not writable is lost without a word (#21800)."""

import os
import tempfile
from pathlib import Path

from lightning.fabric.plugins.io import TorchCheckpointIO

with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)  # noqa: S103
    path = Path(folder) / 'last.ckpt'
    ours, theirs = os.pipe()
    if not os.fork():
        if os.getuid() == 0:
            os.setuid(65534)  # The superuser may write anywhere.
        else:
            os.chmod(folder, 0o500)
        try:
            TorchCheckpointIO().save_checkpoint({'step': 1}, path)
            said = b'nothing'
        except BaseException as error:  # noqa: BLE001
            said = type(error).__name__.encode()
        os.write(theirs, said)
        os._exit(0)
    os.wait()
    said, exists = os.read(ours, 100).decode(), path.exists()
    os.chmod(folder, 0o755)  # noqa: S103
print(f'raised: {said}; the checkpoint exists: {exists}')
print('shown' if said == 'nothing' and not exists else 'not shown')
