# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco convert``."""

import sys
from pathlib import Path

from ...bands import known_sensor
from ...io.tables import require_new
from .file import read_published, write_encoders


def convert(file: str, output: str | None = None, sensor: str | None = None) -> None:
    r"""Say what a file of SACo+, SeCo, CACo, Dual-SimCLR or MMA holds, and make a checkpoint of it.

    load_encoder, tasks of this package and stock TorchGeo tasks take the checkpoint. Code in the
    file is never run.

    For example:

      torchgeo-saco convert best_change_model.pth --output saco.ckpt

    Args:
        file: The published file.
        output: New checkpoint, ending in .ckpt; without, nothing is written.
        sensor: Sensor of the only encoder to write, of a file of two; both as default, and stock
            TorchGeo tasks see that of Sentinel-2.

    Raises:
        ValueError: If the file is of no known layout, damaged or incomplete.
        OSError: If the output exists.
    """
    if output is not None:
        require_new(Path(output), ('.ckpt', '.pth'))
    if sensor is not None:
        known_sensor(sensor)
    published = read_published(file)
    sys.stdout.write('\n'.join(published.report()) + '\n')
    if output is not None:
        written = write_encoders(published, output, sensor)
        names = ' and '.join(f'{one.model} of {one.config.sensor}' for one in written)
        sys.stdout.write(f'{output}: {names}\n')
