# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: runs that would train on nothing, or on what is not finite."""

from .fault import Fault

FAULTS: list[Fault] = []
