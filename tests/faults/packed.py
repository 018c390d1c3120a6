# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: packed stores that are damaged or tampered with."""

from .fault import Fault

FAULTS: list[Fault] = []
