# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: pixels that are not what they are declared to be."""

from .fault import Fault

FAULTS: list[Fault] = []
