# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: runs of several processes."""

from .fault import Fault

FAULTS: list[Fault] = []
