# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: libraries, folders and machines that are not as expected."""

from .fault import Fault

FAULTS: list[Fault] = []
