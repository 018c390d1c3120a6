# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Search of a folder for raster products, each as it lies there."""

import datetime
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from torchgeo.datasets.utils import Path

from ...bands import SENSORS, Sensor, band_name, band_names, known_sensor
from ...io.formats import PROVENANCE_TAG, open_product_file
from ..layout import UNDATED, is_data
from ..readers import Scale
from .landsat import LANDSAT_FILE, read_landsat
from .netcdf import read_netcdf
from .products import (
    CLOUD_MASKED,
    QA_PIXEL_MASKED,
    SCL_MASKED,
    MaskSource,
    ProductBand,
    ProductError,
    RasterProduct,
    product_date,
    sentinel2_scale,
    sentinel2_sensor,
    stored_scale,
)
from .sentinel2 import is_safe, read_safe

_RASTER = ('.tif', '.tiff', '.jp2')

# Scene, band and resolution in the name of a file of one band.
_BAND_FILE = re.compile(
    r'(?P<scene>.*?)[._-]?(?P<band>(?:SR_)?B\d?\d|B8A|VV|VH|SCL|QA_PIXEL|cloud_mask)'
    r'(?:_(?P<resolution>\d\d)m)?',
    re.IGNORECASE,
)
# Names of Landsat and of its harmonized product, whose bands have numbers as those of Sentinel-2.
_LANDSAT_NAME = re.compile(r'(?<![a-z])(?:L[COTEM]0[4-9]|HLS)(?![a-z\d])', re.IGNORECASE)

# Bands that a message names.
_LISTED = 8

_MASKS = {
    'SCL': (SCL_MASKED, 0),
    'QA_PIXEL': (None, QA_PIXEL_MASKED),
    'CLOUD_MASK': (CLOUD_MASKED, 0),
}


class Naming(NamedTuple):
    """What the user says of files that do not say it themselves."""

    #: Sensor, or None to take it from the product.
    sensor: str | None = None

    #: Bands of multi-band files in their order, or None to take them from their descriptions.
    bands_in_file: Sequence[str] | None = None

    #: Regular expression with a group ``date`` in the name of a file or folder, or None.
    date_regex: str | None = None

    #: Whether files without a date are of one unknown date.
    undated: bool = False

    #: Whether files that say no sensor are of the one that has most of their bands.
    guess_sensor: bool = False


def find_products(root: Path, naming: Naming | None = None) -> list[RasterProduct]:
    """List the raster products below a folder: SAFE, Landsat, netCDF, and GeoTIFF or JP2 files.

    Args:
        root: Folder, SAFE folder, or file.
        naming: What files do not say themselves.

    Returns:
        The products, by name.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ProductError: If none is found, or one cannot be understood.
    """
    root = os.path.abspath(root)
    if not os.path.exists(root):
        raise FileNotFoundError(f'{root} does not exist; set root to a folder of rasters')
    products = list(_products(root, naming or Naming()))
    if not products:
        raise ProductError(_nothing(root))
    return sorted(products, key=lambda product: product.name)


def find_product(path: Path, naming: Naming | None = None) -> RasterProduct:
    """Find the one raster product that a path names.

    Args:
        path: Folder or file that holds one product, or where several share a folder, the name of
            one of them.
        naming: What files do not say themselves.

    Returns:
        The product.

    Raises:
        FileNotFoundError: If there is none of that name.
        ProductError: If there are several, or it cannot be understood.
    """
    naming = naming or Naming()
    path = os.path.abspath(path)
    if os.path.exists(path):
        # Beside the bands of a scene lie what was made of it, such as maps and pictures.
        found = list(islice(_products(path, naming, stacks=False), 2))
        found = found or list(islice(_products(path, naming), 2))
    else:
        folder = os.path.dirname(path)
        others = _products(folder, naming, stacks=False) if os.path.isdir(folder) else iter(())
        found = [product for product in others if product.name == path]
        if not found:
            raise FileNotFoundError(
                f'{path} does not exist; give a SAFE folder, a GeoTIFF, or a folder of bands'
            )
    if not found:
        raise ProductError(_nothing(path))
    if len(found) > 1:
        named = [product for product in found if product.name == path]
        if not named:
            raise ProductError(
                f'{path} holds several scenes; give the path of one, such as {found[0].name}'
            )
        found = named
    sensor = found[0].sensor
    if None not in (naming.sensor, sensor) and naming.sensor != sensor:
        raise ProductError(
            f'{found[0].name} is of {sensor}, and sensor={naming.sensor} is asked for; leave it out'
        )
    return found[0]


def raster_band_names(path: str) -> list[str] | None:
    """Names of the bands of a GeoTIFF or JP2 file, empty where it says none.

    Args:
        path: The file.

    Returns:
        A name for each band; None if the path is something else, or the file of one band.
    """
    stem, suffix = os.path.splitext(os.path.basename(path))
    if suffix.lower() not in _RASTER or not os.path.isfile(path) or _BAND_FILE.fullmatch(stem):
        return None
    return _own_names(path)


def _own_names(path: str) -> list[str]:
    """Names that a file gives its bands, in descriptions or tags, empty for none."""
    with open_product_file(path) as file:
        tags = [file.tags(number) for number in file.indexes]
        both = zip(file.descriptions, tags, strict=True)
        return [name or tag.get('band') or tag.get('BAND') or '' for name, tag in both]


def most_likely_sensor(bands: Iterable[str]) -> str | None:
    """Sensor that has most of the bands, the first of :data:`~torchgeo_saco.bands.SENSORS`.

    Args:
        bands: Names of bands, and of anything else.

    Returns:
        Its key, or None if no sensor has one of them.
    """
    counts = dict.fromkeys(SENSORS, 0)
    for sensor in SENSORS:
        for band in bands:
            with suppress(ValueError):
                band_name(band, sensor)
                counts[sensor] += 1
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else None


def _nothing(path: str) -> str:
    """What to say of a path without products."""
    return (
        f'{path} holds no raster that is read: SAFE folders, scenes of Landsat, GeoTIFF or JP2 '
        'files with one band each (B02.tif) or several, or netCDF-4 files of bands over time'
    )


def _products(root: str, naming: Naming, stacks: bool = True) -> Iterator[RasterProduct]:
    """Products of a file, or of a folder and those below, with or without multi-band files."""
    if os.path.isfile(root):
        yield from _in_folder(root, os.path.dirname(root), [os.path.basename(root)], naming, stacks)
        return
    for folder, below, names in os.walk(root):
        if is_safe(folder, names):
            below.clear()
            yield from read_safe(folder)
            continue
        below[:] = sorted(name for name in below if is_data(name))
        yield from _in_folder(root, folder, sorted(filter(is_data, names)), naming, stacks)


def _in_folder(
    root: str, folder: str, names: Sequence[str], naming: Naming, stacks: bool
) -> Iterator[RasterProduct]:
    """Products of the files of a folder, with or without multi-band files."""
    landsat: dict[str, dict[str, str]] = defaultdict(dict)
    scenes: dict[str, dict[str, str]] = defaultdict(dict)
    series: list[str] = []
    images: list[str] = []
    for name in names:
        stem, suffix = os.path.splitext(name)
        found = LANDSAT_FILE.fullmatch(name)
        if found is not None:
            layer = found['layer'].upper()
            layer = f'MTL.{found["suffix"].lower()}' if layer == 'MTL' else layer
            landsat[found['scene']][layer] = name
        elif suffix.lower() == '.nc':
            series.append(name)
        elif suffix.lower() in _RASTER:
            band = _BAND_FILE.fullmatch(stem)
            if band is not None and naming.bands_in_file is None:
                _take_finest(scenes[band['scene']], _layer(band['band']), name, folder)
            else:
                images.append(name)
    for scene, layers in landsat.items():
        yield read_landsat(folder, scene, layers)
    yield from read_netcdf(folder, series, naming.sensor)
    for scene, files in scenes.items():
        yield _band_files(root, folder, scene, files, naming)
    for name in images if stacks else ():
        yield _image_file(root, os.path.join(folder, name), naming)


def _layer(name: str) -> str:
    """Name of a layer in one spelling: B04 for b4."""
    return re.sub(r'^((?:SR_)?B)(\d)$', r'\g<1>0\2', name.upper())


def _take_finest(files: dict[str, str], band: str, name: str, folder: str) -> None:
    """Keep the file of a band; of several, the one of the finest resolution in its name."""

    def resolution(name: str) -> int:
        found = _BAND_FILE.fullmatch(os.path.splitext(name)[0])
        return int(found['resolution'] or 0) if found else 0

    other = files.get(band)
    if other is not None and resolution(other) == resolution(name):
        raise ProductError(f'{folder} has two files of band {band}: {other} and {name}; remove one')
    if other is None or resolution(name) < resolution(other):
        files[band] = name


def _band_files(
    root: str, folder: str, scene: str, files: dict[str, str], naming: Naming
) -> RasterProduct:
    """A scene of one file a band."""
    path = os.path.join(folder, scene)
    sensor = _sensor(path, naming, files)
    known = known_sensor(sensor)
    bands: dict[str, ProductBand] = {}
    passed_over, mask = [], None
    for layer, name in files.items():
        source = ProductBand(os.path.join(folder, name))
        if layer in _MASKS:
            mask = MaskSource((source,), *_MASKS[layer])
            continue
        try:
            band = band_name(layer, known)
        except ValueError:
            passed_over.append(f'{name} (no band of {known.name})')
            continue
        with open_product_file(source.path) as file:
            if file.count > 1:
                raise ProductError(
                    f'{source.path} has {file.count} bands and is named as one; rename it, such as '
                    'scene.tif'
                )
        if band in bands:
            other = os.path.basename(bands[band].path)
            raise ProductError(
                f'{folder} has two files of band {band}: {other} and {name}; remove one'
            )
        bands[band] = source
    if not bands:
        raise ProductError(
            f'{path} has files of {", ".join(files)}, no band of {known.name}; set sensor, or '
            'remove them'
        )
    order = [band for band in known.bands if band in bands]
    return RasterProduct(
        os.path.normpath(path), _date(root, path if scene else folder, naming), sensor,
        {band: bands[band] for band in order},
        _one_scale(path, [bands[band] for band in order]) or sentinel2_scale(path),
        mask=mask, passed_over=tuple(passed_over),
    )  # fmt: skip


def _image_file(root: str, path: str, naming: Naming) -> RasterProduct:
    """A file of several bands."""
    with open_product_file(path) as file:
        if PROVENANCE_TAG in file.tags():
            raise ProductError(
                f'{path} is made of embeddings and no scene; move it out of the folder of rasters'
            )
    described = _own_names(path)
    count = len(described)
    sensor = _sensor(path, naming, naming.bands_in_file or described)
    known = known_sensor(sensor)
    try:
        if naming.bands_in_file is not None:
            names = list(band_names(naming.bands_in_file, known))
            if len(names) != count:
                raise ValueError(f'bands_in_file names {len(names)} bands')
        elif not all(described):
            raise ValueError('not all are named')
        else:
            names = [_described(text, known) for text in described]
    except ValueError as error:
        raise ProductError(
            f'{path} has {count} bands, and {error}; set bands_in_file to their names in the '
            f'order of the file, such as [{", ".join(list(known.bands)[:3])}, ...]'
        ) from error
    bands = {name: ProductBand(path, i + 1) for i, name in enumerate(names) if name}
    unnamed = [text for text, name in zip(described, names, strict=True) if not name]
    order = [band for band in known.bands if band in bands]
    mask = next(
        (
            MaskSource((ProductBand(path, i + 1),), *_MASKS[text.upper()])
            for i, text in enumerate(described)
            if text.upper() in _MASKS
        ),
        None,
    )
    return RasterProduct(
        path, _date(root, path, naming), sensor, {band: bands[band] for band in order},
        _one_scale(path, [bands[band] for band in order]) or sentinel2_scale(path), mask=mask,
        passed_over=tuple(f'band {text} of {os.path.basename(path)}' for text in unnamed
                          if text.upper() not in _MASKS),
    )  # fmt: skip


def _described(text: str, sensor: Sensor) -> str:
    """Band that a description names; empty for what is no band, such as a mask."""
    try:
        return band_name(text, sensor)
    except ValueError:
        if re.fullmatch(r'(?i)B\d+A?', text):
            raise
        return ''


def _sensor(path: str, naming: Naming, bands: Iterable[str]) -> str:
    """Sensor that the user or the name of a product says."""
    found = sentinel2_sensor(path)
    if naming.sensor is not None and found is not None and naming.sensor != found:
        raise ProductError(
            f'{os.path.normpath(path)} is of {found}; set sensor to that, or leave it out'
        )
    known = naming.sensor or found
    if known is None and naming.guess_sensor and not _LANDSAT_NAME.search(os.path.basename(path)):
        known = most_likely_sensor(bands)
    if known is None:
        names = list(filter(None, bands))
        listed = ', '.join(names[:_LISTED] + ['...'] * (len(names) > _LISTED)) or 'no name'
        raise ProductError(
            f'{path} does not say its sensor (its bands have {listed}); set sensor to one of '
            f'{", ".join(SENSORS)}'
        )
    return known


def _date(root: str, path: str, naming: Naming) -> datetime.date:
    """Day of a file, unknown where the user allows it."""
    try:
        return product_date(root, path, naming.date_regex)
    except ProductError:
        if naming.undated:
            return UNDATED
        raise


def _one_scale(name: str, bands: Iterable[ProductBand]) -> Scale | None:
    """Scale and offset that files say of the numbers of bands, refused if they say several."""
    found = set()
    for band in bands:
        with open_product_file(band.path) as file:
            scale, offset = file.scales[band.number - 1], file.offsets[band.number - 1]
        stored_scale(band.path, scale, offset)
        found.add((scale, offset))
    if len(found) > 1:
        raise ProductError(
            f'bands of {name} have different scales and offsets: {sorted(found)}; write them alike'
        )
    ((scale, offset),) = found
    return None if (scale, offset) == (1, 0) else stored_scale(name, scale, offset)
