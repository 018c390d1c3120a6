# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Processes, precision, seeds and checks that all parts share."""
