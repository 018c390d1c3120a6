# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Checkpoints of one sensor from those of two."""

import os
from typing import Any

from ...bands import known_sensor
from ...io.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from ..load import SECOND

# Modules of an encoder, by the beginning of their names in a checkpoint, behind the prefix of the
# second one, and as the only encoder of a checkpoint.
_MODULES = {'backbone.': 'model.', 'inputs.': 'inputs.', 'texture.': 'texture.'}


def export_encoder(
    weights: str | os.PathLike[str], sensor: str, output: str | os.PathLike[str]
) -> None:
    """Write the encoder of one sensor as a checkpoint of its own, which stock TorchGeo tasks load.

    Args:
        weights: Checkpoint of a task of two sensors.
        sensor: Sensor of the encoder, a key of :data:`torchgeo_saco.bands.SENSORS`.
        output: Checkpoint to write, which is replaced.

    Raises:
        ValueError: If the sensor is unknown.
        CheckpointError: If the checkpoint is of one sensor, or of two others.
    """
    known_sensor(sensor)
    content = read_checkpoint(weights)
    arguments: dict[str, Any] = content.get('hyper_parameters', {})
    second = arguments.get(f'{SECOND}sensor')
    if content.get('encoder'):
        raise CheckpointError(
            f'{weights} is of a downstream task; give the checkpoint of the pre-training'
        )
    if second is None:
        raise CheckpointError(f'{weights} is of one sensor; give it to tasks as it is')
    if sensor not in (arguments['sensor'], second):
        raise CheckpointError(
            f'{weights} holds encoders of {arguments["sensor"]} and {second}, none of {sensor}; '
            'name one of the two'
        )
    kept = {name: value for name, value in arguments.items() if not name.startswith(SECOND)}
    prefixes = {name: name for name in _MODULES.values()}
    if sensor == second:
        prefixes = {f'{SECOND}{module}': name for module, name in _MODULES.items()}
        kept |= {
            name.removeprefix(SECOND): value
            for name, value in arguments.items()
            if name.startswith(SECOND)
        }
    state = {
        name + key.removeprefix(prefix): value
        for prefix, name in prefixes.items()
        for key, value in content['state_dict'].items()
        if key.startswith(prefix)
    }
    write_checkpoint({'state_dict': state, 'hyper_parameters': kept}, output)
