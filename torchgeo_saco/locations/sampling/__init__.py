# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Places and dates to fetch images of: around cities, on land, apart from each other."""

from .cities import built_in_cities, read_cities
from .land import built_in_land, read_land
from .maps import plot_points
from .points import Method, sample_points
from .windows import DateWindows

__all__ = (
    'DateWindows',
    'Method',
    'built_in_cities',
    'built_in_land',
    'plot_points',
    'read_cities',
    'read_land',
    'sample_points',
)
