# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: commands and configurations that cannot run."""

from .fault import Fault

FAULTS: list[Fault] = []
