# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: checkpoints that are torn, foreign, hostile or of another run."""

from .fault import Fault

FAULTS: list[Fault] = []
