# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: bands that are missing, doubled, misnamed or permuted."""

from .fault import Fault

FAULTS: list[Fault] = []
