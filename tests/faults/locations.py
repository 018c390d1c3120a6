# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: locations and dates that are missing, doubled or disagree."""

from .fault import Fault

FAULTS: list[Fault] = []
