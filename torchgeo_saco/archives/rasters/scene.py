# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Opening of whole scenes."""

import os
from collections.abc import Sequence

from torchgeo.datasets.utils import Path

from ...bands import SENSORS, band_names
from .finding import Naming, find_product, most_likely_sensor, raster_band_names
from .products import ProductError
from .scene_reader import SceneReader


def open_scene(
    path: Path,
    bands: Sequence[str] | None = None,
    sensor: str | None = None,
    unit: float | None = None,
    offset: float | None = None,
) -> SceneReader:
    """Open one acquisition as it lies on disk, to be read by windows.

    Args:
        path: SAFE folder, GeoTIFF or JP2 file of several bands, folder of one file a band, at any
            depth; or the name of one product where several share a folder, as
            ``<folder>/<Landsat scene>`` or ``<netCDF file>#<time>``.
        bands: Bands to read, or names of the bands of a file without, in their order; None for all.
        sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`, or None for that of the
            product, else the first that has its bands.
        unit: Digital number of reflectance 1, or None for that of the product, else to go by type.
        offset: Added to stored numbers before that, or None for that of the product, else 0.

    Returns:
        The scene, which is to be closed.

    Raises:
        FileNotFoundError: If nothing lies there.
        BandFileError: If that is no scene or cannot be read, or its bands do not fit together.
    """
    given = os.fspath(path)
    path = os.path.abspath(given)
    if sensor is not None and sensor not in SENSORS:
        raise ProductError(f'unknown sensor {sensor!r}; choose one of {", ".join(SENSORS)}')
    own = raster_band_names(path)
    in_file = None
    if own is not None and not all(own):
        if bands is None or len(bands) != len(own):
            raise ProductError(
                f'{path} has {len(own)} bands without names, and {len(bands or ())} are given; '
                'name all in their order by bands, such as [B02, B03, B04, B08]'
            )
        in_file = bands
    product = find_product(path, Naming(sensor, in_file, undated=True, guess_sensor=True))
    known = product.sensor or most_likely_sensor(product.bands)
    if known is None:
        raise ProductError(f'{path} does not say its sensor; set sensor to that of its bands')
    if bands is None:
        wanted = [band for band in product.bands if band not in product.on_request]
    else:
        wanted = list(band_names(bands, known))
    lacking = [band for band in wanted if band not in product.bands]
    if lacking:
        raise ProductError(
            f'{product.name} has no band {", ".join(lacking)}; its bands are '
            f'{", ".join(product.bands)}'
        )
    if not os.path.isabs(given):
        # As the user spells it, in what is said and written.
        product = product._replace(name=os.path.relpath(product.name))
    return SceneReader(product, wanted, known, unit, offset)
