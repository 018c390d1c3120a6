# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: files and folders that are damaged, hostile or of another kind."""

from .fault import Fault

FAULTS: list[Fault] = []
