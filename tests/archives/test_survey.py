# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what is said of folders that no layout fits."""

import numpy as np
import pytest

from torchgeo_saco.archives.layout import LayoutError
from torchgeo_saco.datasets import SeasonalArchive

from ..data.archives import write_tif
from ..data.layouts import write_rgb

SAFE = 'S2A_MSIL2A_20200604T054639_N0214_R120_T43RCP_20200604T100000.SAFE'
LANDSAT = 'LC08_L2SP_197024_20200604_20200824_02_T1'


@pytest.mark.parametrize(
    ('path', 'found', 'nearest'),
    [
        (None, 'no file', ''),
        (f'{SAFE}/GRANULE/L2A/IMG_DATA/R10m/T43RCP_20200604T054639_B02_10m.jp2',
         f'JP2 files in a SAFE folder ({SAFE})', 'data/rasters.yaml'),
        (f'{LANDSAT}/{LANDSAT}_SR_B4.TIF', 'scenes of Landsat named LC08_..._SR_B4.TIF',
         'data/rasters.yaml'),
        ('S2B_31UFS_20200604_0_L2A_B02.tif', 'band files named by their scene, such as S2B_31UFS',
         'data/rasters.yaml'),
        ('20200604/B04.tif', 'bands such as 20200604/B04.tif, 1 folders deep',
         'put them into <location>/<date>'),
        ('a/b/c/20200604/B04.tif', 'bands such as a/b/c/20200604/B04.tif', 'a/b'),
        ('a/20200604/VV.tif', 'bands such as a/20200604/VV.tif', 'set sensor to sentinel1'),
        ('cube.nc', 'netCDF or HDF5 files, such as cube.nc', 'data/rasters.yaml'),
        ('data.zip', 'a packed file, such as data.zip', 'unpack it'),
        ('a/scene.jp2', 'JP2 files, such as a/scene.jp2', 'data/rasters.yaml'),
        ('scenes.npy', 'arrays without place and bands, such as scenes.npy', 'as GeoTIFFs'),
        ('notes/readme.docx', 'files such as notes/readme.docx', 'the layouts read are <s1, s2c'),
        ('broken.tif', 'GeoTIFFs that cannot be opened, such as broken.tif', 'fetch'),
        ('train/x/a.jpg', '8-bit images such as train/x/y/a.jpg', 'set root to'),
    ],
)  # fmt: skip
def test_what_was_found_and_what_comes_nearest(tmp_path, path, found, nearest):
    if path == 'train/x/a.jpg':
        write_rgb(tmp_path / 'train/x/y/a.jpg')
    elif path is not None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b'?')
    with pytest.raises(LayoutError) as caught:
        SeasonalArchive(tmp_path)
    message = str(caught.value)
    assert 'holds no location laid out as <location>/' in message
    assert f'; it holds {found}' in message
    assert nearest in message
    assert '\n' not in message


@pytest.mark.parametrize(
    ('count', 'found', 'nearest'),
    [
        (13, 'multi-band GeoTIFFs of 13 bands, such as a/20200604.tif', 'layout=eurosat'),
        (3, 'multi-band GeoTIFFs of 3 bands', 'set previews=True'),
        (5, 'multi-band GeoTIFFs of 5 bands', 'data/rasters.yaml'),
        (1, 'GeoTIFFs of one band', 'data/rasters.yaml'),
    ],
)
def test_geotiffs_are_told_by_their_bands(tmp_path, count, found, nearest):
    write_tif(tmp_path / 'a/20200604.tif', np.ones((count, 6, 6), 'uint16'))
    with pytest.raises(LayoutError) as caught:
        SeasonalArchive(tmp_path)
    assert f'it holds {found}' in str(caught.value)
    assert nearest in str(caught.value)


def test_bands_where_previews_are_asked_for(archive):
    with pytest.raises(
        LayoutError, match=r'as <location>/<scene id>\.tif; it holds bands .* leave'
    ):
        SeasonalArchive(archive, previews=True)
