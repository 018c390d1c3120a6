# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Surface reflectance of materials in the bands of Sentinel-2."""

import numpy as np
from numpy.typing import NDArray

from torchgeo_saco.bands import SENTINEL2_L2A

#: Bands of every spectrum and every scene, in this order.
BANDS = tuple(SENTINEL2_L2A.bands)

#: Publications with measured spectra of the materials, by the key in the table's last column.
SOURCES = {
    'splib07': 'Kokaly et al., 2017, USGS Spectral Library Version 7, doi:10.3133/ds1035',
    'ecostress': 'Meerdink et al., 2019, ECOSTRESS spectral library, doi:10.1016/j.rse.2019.111196',
    'slum': 'Kotthaus et al., 2014, London urban materials, doi:10.1016/j.isprsjprs.2014.05.005',
    'immitzer': 'Immitzer et al., 2016, crops and tree species, Sentinel-2, doi:10.3390/rs8030166',
    'toming': 'Toming et al., 2016, lakes in Sentinel-2, doi:10.3390/rs8080640',
}

# Reflectance in per cent. Every row is approximate, after its source: set by hand to what is
# usual for the material, neither copied nor digitised from a spectrum there.
_TABLE = """
material       B01  B02  B03  B04  B05  B06  B07  B08  B8A  B09  B11  B12  source
broadleaf      1.8  2.2  4.6  2.4  7.6 27.0 35.0 37.0 39.0 40.0 18.5  8.0  immitzer
autumn_leaves  2.6  3.4  6.0  7.5 12.5 20.0 23.5 25.0 27.0 27.5 20.0 11.5  ecostress
bare_branches  3.4  4.4  6.2  7.6 10.0 13.5 15.5 17.0 18.5 19.0 22.0 15.5  ecostress
conifer        1.5  1.8  3.2  2.0  4.8 14.5 18.0 19.0 20.0 20.5  9.5  4.5  immitzer
cereal         2.2  2.8  5.8  3.0  8.8 31.0 40.0 43.0 44.5 45.0 19.0  9.5  immitzer
ripe_cereal    5.5  7.0 10.5 14.5 18.0 22.5 25.5 28.0 30.0 30.5 33.5 24.0  splib07
stubble        6.5  8.5 12.0 16.0 19.0 21.5 23.5 26.0 27.5 28.0 34.0 27.0  splib07
rape_flower    3.0  4.0 11.5  8.5 14.5 30.0 37.0 40.0 41.5 42.0 20.0 10.5  immitzer
maize          2.0  2.5  5.2  2.6  8.0 30.0 40.5 43.0 45.0 45.5 18.5  8.0  immitzer
ripe_maize     4.2  5.4  8.2  9.5 13.5 20.0 23.5 26.0 28.0 28.5 26.0 16.5  immitzer
beet           2.2  2.8  6.2  2.8  9.0 36.0 48.0 51.0 52.0 52.0 19.0  9.0  immitzer
grass          2.6  3.2  6.6  4.0 10.0 28.5 36.0 38.5 40.0 40.5 22.5 12.0  splib07
dry_grass      4.8  6.2  9.2 11.0 14.5 20.0 22.5 24.5 26.5 27.0 31.0 21.5  splib07
light_soil     7.0  8.6 11.4 14.6 16.6 18.2 19.8 21.4 22.8 23.6 29.0 25.0  ecostress
dark_soil      4.2  5.0  6.4  8.0  9.2 10.4 11.6 12.8 14.0 14.6 19.5 17.0  ecostress
clear_water    3.2  2.8  2.6  1.6  1.4  1.0  0.9  0.8  0.7  0.7  0.5  0.4  toming
turbid_water   5.2  6.0  8.4  7.2  6.6  3.4  3.2  2.6  2.2  2.0  0.8  0.5  toming
asphalt        8.0  8.8  9.8 10.6 11.2 11.8 12.2 12.8 13.2 13.5 15.0 14.5  slum
concrete      15.5 18.0 21.0 23.5 25.0 26.0 27.0 28.0 29.0 29.3 31.5 29.0  slum
tile           6.0  7.4 10.0 18.5 22.5 24.0 25.5 27.0 28.0 28.3 32.5 28.0  slum
slate          6.2  6.8  7.4  8.0  8.6  9.2  9.8 10.4 11.0 11.2 13.0 12.6  slum
metal         28.0 31.0 33.5 34.5 35.5 36.0 36.5 37.0 38.0 38.0 37.0 33.0  slum
gravel        13.0 16.0 20.5 24.5 27.0 28.5 30.0 31.5 32.5 33.0 39.0 35.0  ecostress
"""

_HEADER, *_ROWS = (line.split() for line in _TABLE.strip().splitlines())

#: Reflectance (0-1) of each material in the order of :data:`BANDS`.
SPECTRA: dict[str, NDArray[np.float64]] = {
    row[0]: np.array([float(row[_HEADER.index(band)]) / 100 for band in BANDS]) for row in _ROWS
}

#: Publication to compare each material with, a key in :data:`SOURCES`.
SPECTRUM_SOURCES = {row[0]: row[-1] for row in _ROWS}
