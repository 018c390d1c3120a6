# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: arguments that are not finite, out of range, or contradict."""

from .fault import Fault

FAULTS: list[Fault] = []
