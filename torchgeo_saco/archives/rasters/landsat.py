# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Landsat scenes of collection 2 (and 1), one GeoTIFF a band, by their usual names."""

import datetime
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from ...bands import band_name, known_sensor
from ..readers import Scale
from .products import (
    QA_PIXEL_MASKED,
    MaskSource,
    ProductBand,
    ProductError,
    RasterProduct,
    named_day,
    stored_scale,
)

#: Scene and layer of a file, such as ``LC08_L2SP_126046_20200301_20200822_02_T1_SR_B4.TIF``.
LANDSAT_FILE = re.compile(
    r'(?P<scene>L[COTEM]0\d_L\w{3}_\d{6}_(?P<date>\d{8})_\d{8}_0\d_\w\w)_(?P<layer>\w+)'
    r'\.(?P<suffix>tiff?|txt|json|xml)',
    re.IGNORECASE,
)

# https://www.usgs.gov/landsat-missions/landsat-collection-2-surface-reflectance, as multiplier and
# addend; of level 1, the rescaling that all scenes have, not
# divided by the sine of the sun's height.
_LEVEL2, _LEVEL1 = (2.75e-05, -0.2), (2e-05, -0.1)
_GROUPS = {2: 'LEVEL2_SURFACE_REFLECTANCE_PARAMETERS', 1: 'LEVEL1_RADIOMETRIC_RESCALING'}
_SENSORS = {
    'LC08': 'landsat_8_9',
    'LC09': 'landsat_8_9',
    'LO08': 'landsat_8_9',
    'LT04': 'landsat_4_7',
    'LT05': 'landsat_4_7',
    'LE07': 'landsat_4_7',
}
_THERMAL = {'landsat_8_9': ('B10', 'B11'), 'landsat_4_7': ('B06',)}
_PANCHROMATIC = 'B08'


def read_landsat(folder: str, scene: str, layers: Mapping[str, str]) -> RasterProduct:
    """Read what the files of a Landsat scene say.

    Args:
        folder: Where they are.
        scene: Identifier of the scene.
        layers: File name of each layer, such as ``SR_B4`` or ``QA_PIXEL``; of text, ``MTL.txt``.

    Returns:
        The product.

    Raises:
        ProductError: If the sensor is unknown, or the metadata cannot be read.
    """
    path = os.path.join(folder, scene)
    sensor = _SENSORS.get(scene[:4].upper())
    if sensor is None:
        raise ProductError(f'{path} is of {scene[:4]}, which is no sensor known here; remove it')
    level = int(scene[6])
    bands, passed_over = {}, []
    for layer, name in sorted(layers.items()):
        if not re.fullmatch(r'(S[RT]_)?B\d+', layer, re.IGNORECASE):
            continue
        band = band_name(layer.rpartition('_')[2], sensor)
        if band in _THERMAL[sensor]:
            passed_over.append(f'{name} (thermal)')
        else:
            bands[band] = ProductBand(os.path.join(folder, name))
    if not bands:
        raise ProductError(
            f'{path} has files of {", ".join(sorted(layers))} and no band to read; files of bands '
            'are named as in SR_B4.TIF'
        )
    order = [band for band in known_sensor(sensor).bands if band in bands]
    quality = layers.get('QA_PIXEL')
    mask = None
    if quality is not None:
        source = ProductBand(os.path.join(folder, quality))
        mask = MaskSource((source,), None, QA_PIXEL_MASKED)
    scale, certain = _scale(folder, scene, layers, level)
    found = re.search(r'_(\d{4})(\d\d)(\d\d)_', scene)
    day = named_day(path, *found.groups()) if found else datetime.date.min
    # Of 15 m, it would bring all others to its grid.
    on_request = (_PANCHROMATIC,) if _PANCHROMATIC in bands else ()
    return RasterProduct(
        path, day, sensor, {band: bands[band] for band in order}, scale, certain, 0, mask,
        on_request=on_request, passed_over=tuple(passed_over),
    )  # fmt: skip


def _scale(folder: str, scene: str, layers: Mapping[str, str], level: int) -> tuple[Scale, bool]:
    """Scale of reflectance in the metadata, else that of the level; and whether metadata say it."""
    multiplier, addend = _LEVEL2 if level == 2 else _LEVEL1
    for layer, parse in (('MTL.json', _parse_json), ('MTL.txt', _parse_text)):
        if layer not in layers:
            continue
        path = os.path.join(folder, layers[layer])
        try:
            with open(path, encoding='utf-8', errors='replace') as file:
                values = parse(file.read(), _GROUPS[level])
            factors = {float(v) for k, v in values.items() if k.startswith('REFLECTANCE_MULT_')}
            addends = {float(v) for k, v in values.items() if k.startswith('REFLECTANCE_ADD_')}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ProductError(f'{path} cannot be read ({error}); fetch the scene again') from error
        if len(factors) == len(addends) == 1:
            multiplier, addend = factors.pop(), addends.pop()
            return stored_scale(path, multiplier, addend), True
        if factors or addends:
            raise ProductError(
                f'{path} gives bands different scales of reflectance, which is not read here; '
                'rescale the bands to one'
            )
    if level == 1 and _SENSORS[scene[:4].upper()] == 'landsat_4_7':
        raise ProductError(
            f'{os.path.join(folder, scene)} is of level 1, whose scale of reflectance differs from '
            'band to band and scene to scene; fetch the scene of level 2 (L2SP)'
        )
    return stored_scale(folder, multiplier, addend), False


def _parse_json(text: str, group: str) -> dict[str, Any]:
    """Values of a group of an MTL file in JSON."""
    return dict(json.loads(text).get('LANDSAT_METADATA_FILE', {}).get(group, {}))


def _parse_text(text: str, group: str) -> dict[str, Any]:
    """Values of a group of an MTL file of lines ``KEY = value``."""
    values, inside = {}, False
    for line in text.splitlines():
        key, _, value = (part.strip().strip('"') for part in line.partition('='))
        if key in ('GROUP', 'END_GROUP') and value == group:
            inside = key == 'GROUP'
        elif inside:
            values[key] = value
    return values
