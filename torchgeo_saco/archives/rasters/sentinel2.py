# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sentinel-2 products as the agency packs them: SAFE folders of level 1C and 2A."""

import datetime
import os
import re
from collections import defaultdict
from xml.etree import ElementTree

from ...bands import known_sensor
from ..readers import Scale
from .products import (
    SCL_MASKED,
    MaskSource,
    ProductBand,
    ProductError,
    RasterProduct,
    named_day,
    sentinel2_scale,
    sentinel2_sensor,
    stored_scale,
)

_BAND = re.compile(r'_(B\d\d|B8A|SCL)(?:_(\d\d)m)?\.jp2', re.IGNORECASE)
_METADATA = re.compile(r'MTD_MSIL(1C|2A)\.xml')


def is_safe(folder: str, names: list[str]) -> bool:
    """Whether a folder is a SAFE product, by its name or its metadata."""
    return folder.endswith('.SAFE') or any(_METADATA.fullmatch(name) for name in names)


def read_safe(folder: str) -> list[RasterProduct]:
    """Read what a SAFE folder says: one product for each of its granules.

    Args:
        folder: The folder, of level 1C or 2A.

    Returns:
        The products, with every band at its finest grid.

    Raises:
        ProductError: If it is incomplete, or its metadata contradict its name.
    """
    name = os.path.basename(os.path.abspath(folder))
    metadata = next((n for n in sorted(os.listdir(folder)) if _METADATA.fullmatch(n)), None)
    sensor, day, scale, certain = sentinel2_sensor(name), None, sentinel2_scale(name), False
    if metadata is not None:
        stated, day, scale = _read_metadata(os.path.join(folder, metadata))
        if sensor is not None and stated != sensor:
            raise ProductError(
                f'{folder} is named {sensor} and holds {metadata} of {stated}; fetch it again'
            )
        sensor, certain = stated, scale is not None
    if sensor is None:
        raise ProductError(
            f'{folder} has neither MTD_MSIL1C.xml nor MTD_MSIL2A.xml, nor is it named by its '
            'level; fetch it again'
        )
    if scale is None:
        raise ProductError(
            f'{folder} says no processing baseline, neither in MTD_MSIL*.xml nor in its name, '
            'which the offset of its numbers depends on; fetch it again'
        )
    granules = sorted(_folders(os.path.join(folder, 'GRANULE')))
    products = []
    for granule in granules:
        bands, scl = _bands(granule, sensor)
        if bands:
            mask = MaskSource((ProductBand(scl),), SCL_MASKED) if scl else _classified(granule)
            label = folder if len(granules) == 1 else granule
            products.append(
                RasterProduct(
                    label, day or _sensing_day(name, folder), sensor, bands, scale, certain, 0, mask
                )
            )
    if not products:
        raise ProductError(
            f'{folder} holds no JP2 file of a band in GRANULE/<granule>/IMG_DATA; fetch it again'
        )
    return products


def _read_metadata(path: str) -> tuple[str, datetime.date | None, Scale | None]:
    """Sensor, day and scale in the metadata of a product."""
    try:
        # Expat limits what entities expand to, and fetches none.
        root = ElementTree.parse(path).getroot()  # noqa: S314
    except (ElementTree.ParseError, OSError) as error:
        raise ProductError(f'{path} cannot be read ({error}); fetch the product again') from error
    values: dict[str, set[str]] = defaultdict(set)
    for element in root.iter():
        # Names carry the namespace of a version in braces.
        values[element.tag.rpartition('}')[2]].add((element.text or '').strip())
    level = re.fullmatch(r'.*MTD_MSIL(1C|2A)\.xml', path)
    is_l1c = level is not None and level[1] == '1C'
    sensor = 'sentinel2_l1c' if is_l1c else 'sentinel2_l2a'
    units = values['QUANTIFICATION_VALUE' if is_l1c else 'BOA_QUANTIFICATION_VALUE']
    offsets = values['RADIO_ADD_OFFSET' if is_l1c else 'BOA_ADD_OFFSET'] or {'0'}
    day = None
    try:
        for text in sorted(values['PRODUCT_START_TIME']):
            day = datetime.date.fromisoformat(text[:10])
        numbers = [[float(text) for text in texts] for texts in (units, offsets)]
    except ValueError as error:
        raise ProductError(f'{path} cannot be read ({error}); fetch the product again') from error
    if not units:
        return sensor, day, None
    if len(units) > 1 or len(offsets) > 1:
        raise ProductError(
            f'{path} gives bands different scales ({", ".join(sorted(units | offsets))}), which is '
            'not read here; rescale the bands to one, and store them as GeoTIFFs'
        )
    ((unit,), (offset,)) = numbers
    if not unit:
        raise ProductError(
            f'{path} says that reflectance 1 is stored as 0; fetch the product again'
        )
    stored_scale(path, 1 / unit, offset / unit)
    return sensor, day, Scale(unit, offset)


def _bands(granule: str, sensor: str) -> tuple[dict[str, ProductBand], str | None]:
    """File of each band at its finest grid, and the scene classification."""
    finest: dict[str, tuple[int, str]] = {}
    for folder, _, names in os.walk(os.path.join(granule, 'IMG_DATA')):
        for name in names:
            found = _BAND.search(name)
            if found is None:
                continue
            band, resolution = found[1].upper(), int(found[2] or 0)
            known = finest.get(band)
            if known is None or resolution < known[0]:
                finest[band] = resolution, os.path.join(folder, name)
    scl = finest.pop('SCL', (0, None))[1]
    order = [band for band in known_sensor(sensor).bands if band in finest]
    return {band: ProductBand(finest[band][1]) for band in order}, scl


def _classified(granule: str) -> MaskSource | None:
    """Opaque cloud and cirrus of level 1C, which has them as a raster since baseline 04.00."""
    path = os.path.join(granule, 'QI_DATA', 'MSK_CLASSI_B00.jp2')
    if not os.path.isfile(path):
        return None
    return MaskSource((ProductBand(path, 1), ProductBand(path, 2)), (1,))


def _folders(path: str) -> list[str]:
    """Sub-folders of a folder that may be missing."""
    if not os.path.isdir(path):
        return []
    return [entry.path for entry in os.scandir(path) if entry.is_dir()]


def _sensing_day(name: str, folder: str) -> datetime.date:
    """Day in the name of a product."""
    found = re.search(r'_(\d{4})(\d\d)(\d\d)T\d{6}_', name)
    if found is None:
        raise ProductError(
            f'{folder} says no day, neither in MTD_MSIL*.xml nor in its name; fetch it again'
        )
    return named_day(folder, *found.groups())
