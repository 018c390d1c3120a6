# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""All faults."""

from . import (
    arguments,
    bands,
    checkpoints,
    commands,
    distributed,
    environment,
    files,
    locations,
    packed,
    values,
)
from .fault import Fault

_KINDS = (
    arguments, bands, checkpoints, commands, distributed, environment, files, locations, packed,
    values,
)  # fmt: skip

FAULTS: list[Fault] = [fault for kind in _KINDS for fault in kind.FAULTS]
