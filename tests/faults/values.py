# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: pixels that are not what they are declared to be."""

from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from pyproj import Transformer

from torchgeo_saco.io.raster import read_bands, read_mask
from torchgeo_saco.transforms import LocalBinaryPattern, Reflectance

from ..data.archives import write_radar_archive, write_tif
from ..data.small_archive import (
    BANDS,
    DATES,
    SIDE,
    band_file,
    copy_archive,
    open_small,
    read_small,
    rewrite,
    rewrite_all,
)
from .fault import Fault

_PATH = f'000000/{DATES[0]}/B4.tif'


def _band(
    change, dtype: str = 'uint8', band: str = 'B4', location: int = 0, date: int = 0, **profile
):
    """Change the numbers (1, H, W) or the header of one file."""

    def act(root: Path) -> None:
        path = band_file(copy_archive(root, dtype), band, location, date)
        with rasterio.open(path) as file:
            image = change(file.read())
        rewrite(path, image, **profile)
        read_small(root)

    return act


def _all(change, dtype: str = 'uint16', bands=BANDS, use=None, profile=None, **kwargs):
    """Change the numbers of all files, and open or read the archive."""

    def act(root: Path) -> None:
        rewrite_all(copy_archive(root, dtype), change, bands, **(profile or {}))
        read_small(root, **kwargs)

    return act


def _scene(value, dtype: str = 'uint16', **kwargs):
    """Give one number to all pixels of all bands of one date."""

    def act(root: Path) -> None:
        copy_archive(root, dtype)
        for band in BANDS:
            path = band_file(root, band, 3, 1)
            with rasterio.open(path) as file:
                rewrite(path, np.full_like(file.read(), value))
        read_small(root, **kwargs)

    return act


def collection2(image):
    """Reflectance of dark ground as Landsat's collection 2 stores it."""
    return ((image / 4e4 + 0.2) / 2.75e-5).astype('uint16')


def same(image):
    """The numbers as they are."""
    return image


def _moved(**change):
    """Write one band with another georeference."""
    kind = {'crs': 'EPSG:32631'} | change
    return _band(same, **kind)


def _transform(change):
    """Another transform of one band, from that of the archive."""
    return change(Affine(10, 0, 500000, 0, -10, 5600000))


_PLACES = {
    'shifted by 5 km': {'transform': _transform(lambda t: Affine.translation(5000, 0) @ t)},
    'shifted by 2 pixels': {'transform': _transform(lambda t: Affine.translation(20, 0) @ t)},
    'in another zone': {'crs': 'EPSG:32632'},
    'in degrees': {'crs': 'EPSG:4326', 'transform': Affine(1e-4, 0, 3, 0, -1e-4, 50)},
    'rotated': {'transform': _transform(lambda t: t @ Affine.rotation(20))},
    'south-up': {
        'transform': _transform(lambda t: t @ Affine.translation(0, SIDE) @ Affine.scale(1, -1))
    },
    'mirrored': {
        'transform': _transform(lambda t: t @ Affine.translation(SIDE, 0) @ Affine.scale(-1, 1))
    },
    'of larger pixels': {'transform': _transform(lambda t: t @ Affine.scale(3))},
}


def _date_elsewhere(**profile):
    """Write all bands of one date with another georeference."""

    def act(root: Path) -> None:
        copy_archive(root)
        for band in BANDS:
            path = band_file(root, band, 1, 1)
            with rasterio.open(path) as file:
                ratio = SIDE // file.height
            given = {
                k: v @ Affine.scale(ratio) if k == 'transform' else v for k, v in profile.items()
            }
            rewrite(path, **given)
        read_small(root, dates=2)

    return act


_TYPES = (
    'float16',
    'int8',
    'uint32',
    'uint64',
    'int64',
    'complex64',
    'complex128',
    'complex_int16',
)


def _typed(dtype: str):
    """Store one band as a type that is not read."""

    def act(root: Path) -> None:
        path = band_file(copy_archive(root))
        kind = {'complex_int16': 'complex64'}.get(dtype, dtype)
        rewrite(path, np.ones((1, SIDE, SIDE), kind))
        read_small(root)

    return act


def _masked(path: Path) -> None:
    """Write a band with a mask of its own."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, 'r+') as file:
        mask = np.full(file.shape, 255, 'uint8')
        mask[:4] = 0
        file.write_mask(mask)


def _palette(path: Path) -> None:
    """Give a band a colour table."""
    with rasterio.open(path) as file:
        image, profile = file.read(), file.profile
    with rasterio.open(path, 'w', **(profile | {'photometric': 'palette'})) as file:
        file.write(image)
        file.write_colormap(1, {number: (number, 0, 0, 255) for number in range(256)})


def _scaled(name: str, number: float):
    """Give a band a scale or an offset."""

    def change(path: Path) -> None:
        with rasterio.open(path, 'r+') as file:
            setattr(file, name, (number,))

    return change


def _tagged(change, band: str = 'B4', dtype: str = 'uint8'):
    """Change one file in place."""

    def act(root: Path) -> None:
        change(band_file(copy_archive(root, dtype), band))
        read_small(root)

    return act


def _part(value):
    """Put a number into a quarter of the pixels."""

    def change(image):
        image = image.copy()
        image[..., : image.shape[-2] // 2, : image.shape[-1] // 2] = value
        return image

    return change


def _one_pixel(value, dtype: str = 'float32'):
    """Put a number into one pixel of reflectances."""

    def change(image):
        image = (image / 255).astype(dtype)
        image[0, -1, -1] = value
        return image

    return change


def _float_archive(change=None, last=None, **kwargs):
    """Read an archive of float reflectances, maybe with one band of the last date changed."""

    def act(root: Path) -> None:
        rewrite_all(copy_archive(root), change or (lambda image: (image / 255).astype('float32')))
        if last is not None:
            path = band_file(root, 'B4', 3, 1)
            with rasterio.open(path) as file:
                rewrite(path, last(file.read()))
        read_small(root, **kwargs)

    return act


def _kept(dtype: str, low: int, high: int):
    """Numbers below 0 and above reflectance 1 are kept."""

    def act(root: Path) -> None:
        image = np.linspace(low, high, SIDE * SIDE).reshape(1, SIDE, SIDE)
        rewrite_all(copy_archive(root, 'uint16'), lambda old: old.astype(dtype))
        rewrite(band_file(root), image.astype(dtype))
        found = read_small(root).predict_dataset[0]['image'][0, 2]
        assert np.array_equal(found.numpy(), image[0].astype(dtype))
        assert torch.isfinite(Reflectance()(found)).all()

    return act


def _nodata(share: float, max_nodata: float = 0.0):
    """Mark some rows by the nodata value of the file."""

    def act(root: Path) -> None:
        path = band_file(copy_archive(root))
        with rasterio.open(path) as file:
            image = file.read().clip(1)
        image[:, : round(share * SIDE)] = 0
        rewrite(path, image, nodata=0)
        read_small(root, max_nodata=max_nodata)

    return act


def _constant_band(root: Path) -> None:
    """One band of one number, as of a lake, is read as it is."""
    copy_archive(root)
    rewrite(band_file(root), np.full((1, SIDE, SIDE), 7, 'uint8'))
    assert (read_small(root).predict_dataset[0]['image'][0, 2] == 7).all()


def _flat_texture(value: float):
    """On flat ground every neighbour is at least the centre, away from the border."""

    def act(root: Path) -> None:
        codes = LocalBinaryPattern()(torch.full((1, 1, 9, 9), value))
        assert (codes[..., 2:-2, 2:-2] == codes[0, 0, 4, 4]).all() and codes.isfinite().all()

    return act


def _small_texture(side: int, radius: float):
    """Texture of an image that the circle does not fit in."""
    return lambda root: LocalBinaryPattern(radius=radius)(torch.rand(1, 1, side, side))


def _sized(side: tuple[int, int], everywhere: bool = True, bands=BANDS, **kwargs):
    """Store images of another size."""

    def act(root: Path) -> None:
        copy_archive(root)
        for location in range(4):
            for date in range(2):
                if everywhere or (location, date) == (2, 1):
                    for band in bands:
                        path = band_file(root, band, location, date)
                        with rasterio.open(path) as file:
                            ratio = SIDE // file.height
                        shape = (1, side[0] // ratio, side[1] // ratio)
                        rewrite(path, np.arange(np.prod(shape)).reshape(shape).astype('uint8'))
        read_small(root, **kwargs)

    return act


def _band_size(band: str, side: tuple[int, int], everywhere: bool = False):
    """Store one band at another size, on the same ground."""

    def act(root: Path) -> None:
        copy_archive(root)
        for path in sorted(root.glob(f'*/*/{band}.tif')):
            if everywhere or '000002/20190715' in str(path):
                image = np.arange(np.prod(side)).reshape(1, *side).astype('uint8')
                pixel = Affine(120 / side[1], 0, 500000, 0, -120 / side[0], 5600000)
                rewrite(path, image, transform=pixel)
        read_small(root)

    return act


def _larger(margin: int | None, **kwargs):
    """Store one date with a half more pixels, some before those of others, or without a place."""

    def act(root: Path) -> None:
        copy_archive(root)
        for band in BANDS:
            path = band_file(root, band, 2, 1)
            with rasterio.open(path) as file:
                ratio, transform = SIDE // file.height, file.transform
            side = 18 // ratio
            image = np.arange(side * side).reshape(1, side, side).astype('uint8')
            if margin is None:
                rewrite(path, image, crs=None, transform=None)
            else:
                move = Affine.translation(-10 * margin, 10 * margin)
                rewrite(path, image, transform=move @ transform)
        read_small(root, **kwargs)

    return act


def _mask(change, values=range(16), suffix: str = '.tif'):
    """Read a mask of classes."""

    def act(root: Path) -> None:
        path = root / f'mask{suffix}'
        image = np.zeros((8, 8), 'uint8')
        write_tif(path, change(image))
        read_mask(path, (8, 8), values, root / 'image.tif')

    return act


def _with(value, dtype: str = 'uint8'):
    """A mask that holds a number."""

    def change(image):
        image = image.astype(dtype)
        image[3, 4] = value
        return image

    return change


def _radar(change, **kwargs):
    """Read an archive of backscatter."""

    def act(root: Path) -> None:
        write_radar_archive(root, 3, size=8)
        rewrite_all(root, change, ('VV', 'VH'))
        read_small(root, sensor='sentinel1', **kwargs)

    return act


# Pixels of 30 m.
_COARSE = Affine(30, 0, 500000, 0, -30, 5600000)


def _landsat(root: Path, crs: str = 'EPSG:32631', transform: Affine = _COARSE, **kwargs) -> None:
    """Store images of Landsat in folders, and open them as those of Sentinel-2."""
    for location in range(4):
        for date in DATES:
            for band in ('B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7'):
                path = root / f'{location:06d}' / date / f'{band}.tif'
                image = np.arange(64).reshape(8, 8) * 10 + 500 * (location + 1)
                write_tif(path, image.astype('uint16'), transform=transform, crs=crs)
    read_small(root, **kwargs)


def _landsat_names(root: Path) -> None:
    """The same in folders that are named by the scene of Landsat."""
    copy_archive(root)
    for scene in sorted(root.glob('*/*')):
        scene.rename(scene.with_name(f'LC08_L1TP_191025_{scene.name}_02_T1'))
    open_small(root)


def _plain(count: int):
    """Numbers of 1 to 9 bands of one type by GDAL and without it are the same."""

    def act(root: Path) -> None:
        image = np.arange(count * 64).reshape(count, 8, 8).astype('uint16')
        write_tif(root / 'a.tif', image)
        write_tif(root / 'b.tif', image, tiled=True, blockxsize=16, blockysize=16)
        assert np.array_equal(read_bands(root / 'a.tif', count), read_bands(root / 'b.tif', count))

    return act


_TAGS = {
    'mask': (_masked, 'mask of its own'),
    'palette': (_palette, 'expand it'),
    'scale 0.0001': (_scaled('scales', 1e-4), 'set unit and offset'),
    'scale 2.75e-05': (_scaled('scales', 2.75e-5), 'set unit and offset'),
    'offset -0.2': (_scaled('offsets', -0.2), 'set unit and offset'),
    'offset nan': (_scaled('offsets', float('nan')), 'set unit and offset'),
}

_FILLS = (
    ('uint16', 0), ('uint16', 65535), ('uint8', 0), ('uint8', 255), ('int16', -32768),
    ('int16', 32767), ('int16', -9999), ('int16', 0),
)  # fmt: skip

_LARGE = (2e38, -3.4028235e38, 1e20, 9.96921e36, -9999.0, -32768.0, 65535.0, 1e9)


_TILED = {'tiled': True, 'blockxsize': 16, 'blockysize': 16}


def _next_zone(root: Path) -> None:
    """One ground is read in the systems of two zones, as where tiles overlap."""
    copy_archive(root)
    corner = (713000, 5600000)
    other = Transformer.from_crs('EPSG:32631', 'EPSG:32632').transform(*corner)
    for date, (crs, (x, y)) in enumerate((('EPSG:32631', corner), ('EPSG:32632', other))):
        for band in BANDS:
            path = band_file(root, band, 1, date)
            with rasterio.open(path) as file:
                pixel = 10 * SIDE // file.height
            rewrite(path, crs=crs, transform=Affine(pixel, 0, x, 0, -pixel, y))
    read_small(root, dates=2)


def _all_south_up(root: Path) -> None:
    """Images that are all stored from south to north are stacked alike."""
    copy_archive(root)
    for path in sorted(root.glob('*/*/*.tif')):
        with rasterio.open(path) as file:
            transform = file.transform @ Affine.translation(0, file.height) @ Affine.scale(1, -1)
        rewrite(path, transform=transform)
    read_small(root, dates=2)


def _no_georeference(root: Path) -> None:
    """Images that say nothing of their ground are read."""
    copy_archive(root)
    for path in sorted(root.glob('*/*/*.tif')):
        rewrite(path, crs=None, transform=None)
    read_small(root, dates=2)


def _cast(dtype: str):
    """Reflectances of a type."""
    return lambda image: (image / 255).astype(dtype)


def _filled_date(value: int, dtype: str):
    """Give one number to all of one date of an archive of another type."""

    def act(root: Path) -> None:
        rewrite_all(copy_archive(root, 'uint16'), lambda image: image.astype(dtype))
        for band in BANDS:
            path = band_file(root, band, 3, 1)
            with rasterio.open(path) as file:
                rewrite(path, np.full_like(file.read(), value))
        read_small(root)

    return act


def _quarter(value: int, dtype: str):
    """Put a number into a quarter of one band of an archive of a type."""

    def act(root: Path) -> None:
        rewrite_all(copy_archive(root, 'uint16'), lambda image: image.astype(dtype))
        path = band_file(root, 'B4', 3, 1)
        with rasterio.open(path) as file:
            rewrite(path, _part(value)(file.read()))
        read_small(root)

    return act


FAULTS: list[Fault] = [
    # Georeference
    *(
        Fault(f'R2 band {kind}', _moved(**change), (_PATH, 'B2.tif'), 'one grid')
        for kind, change in _PLACES.items()
    ),
    *(
        Fault(f'R2 tiled band {kind}', _moved(**change, **_TILED), (_PATH, 'B2.tif'), 'one grid')
        for kind, change in _PLACES.items()
    ),
    *(
        Fault(f'V14 date {kind}', _date_elsewhere(**change), ('000001',), 'one ground')
        for kind, change in {
            'shifted by 5 km': _PLACES['shifted by 5 km'],
            'south-up': _PLACES['south-up'],
            'rotated': _PLACES['rotated'],
            'in another zone': _PLACES['in another zone'],
            'in degrees': _PLACES['in degrees'],
        }.items()
    ),
    Fault('V14 date in the next zone on the same ground', _next_zone, error=None),
    Fault('R2 all bands south-up', _all_south_up, error=None),
    Fault('V14 no georeference', _no_georeference, error=None),
    # Tags
    *(
        Fault(f'R2 {kind} of a {dtype} band', _tagged(change, dtype=dtype), (_PATH,), remedy)
        for kind, (change, remedy) in _TAGS.items()
        for dtype in ('uint8', 'uint16')
        if (kind, dtype) != ('palette', 'uint16')
    ),
    *(
        Fault(
            f'R2 {bits} bits a pixel',
            _band(lambda image, bits=bits: image % (1 << bits), nbits=bits),
            (_PATH, f'{bits} bit'),
            'store',
        )
        for bits in (1, 2, 4, 7)
    ),
    Fault(
        'R2 12 bits a pixel', _all(lambda image: image % 4096, profile={'nbits': 12}), error=None
    ),
    # Numbers and their unit
    Fault(
        'V1 uint8 among uint16',
        _band(lambda i: (i // 40).astype('uint8'), 'uint16', location=2),
        ('000002', 'uint8', 'uint16'),
        'one type',
    ),
    Fault(
        'V1 uint16 among uint8',
        _band(lambda i: i.astype('uint16') * 40, location=2),
        ('000002', 'uint8', 'uint16'),
        'one type',
    ),
    Fault(
        'V1 int16 among uint16',
        _band(lambda i: i.astype('int16'), 'uint16', location=3, date=1),
        ('000003', 'int16', 'uint16'),
        'one type',
    ),
    Fault(
        'V1 float32 among uint16',
        _band(lambda i: (i / 1e4).astype('float32'), 'uint16', band='B11'),
        ('B11.tif', 'float32', 'uint16'),
        'one type',
    ),
    Fault('V1 uint16 that holds 0-255', _all(lambda i: i // 40), ('206',), 'set unit'),
    Fault(
        'V1 int16 that holds 0-255', _all(lambda i: (i // 40).astype('int16')), ('206',), 'set unit'
    ),
    Fault(
        'V1 uint16 that holds 0-255 with its unit', _all(lambda i: i // 40, unit=255), error=None
    ),
    Fault(
        'V1 uint16 of Landsat collection 2',
        _all(collection2),
        ('unit 10000',),
        'set unit and offset, for collection 2 of Landsat',
    ),
    Fault(
        'V1 uint16 of Landsat collection 2, by its unit and offset',
        _all(collection2, unit=1 / 2.75e-5, offset=-0.2 / 2.75e-5),
        error=None,
    ),
    Fault('V1 clouds alone, by their unit', _all(lambda i: 6000 + i // 4, unit=10000), error=None),
    Fault(
        'V1 clouds alone', _all(lambda i: 6000 + i // 4), ('uint16',), 'unit 10000 if all is cloud'
    ),
    Fault('V1 deep water, by its unit', _all(lambda i: i // 100, unit=10000), error=None),
    Fault('V1 uint16 that holds 0-100', _all(lambda i: i // 100), ('100',), 'set unit'),
    *(
        Fault(
            f'V1 {dtype} with unit {unit:g}',
            _all(same, dtype, unit=unit),
            (f'{unit:g}',),
            'unit must be' if not 1e-3 <= unit <= 1e9 else 'set unit',
        )
        for dtype, unit in (
            ('uint8', 10000),
            ('uint8', 1),
            ('uint8', 1e-30),
            ('uint8', 1e30),
            ('uint16', 1),
            ('uint16', 255),
            ('uint16', 1e7),
            ('uint16', 1e30),
        )
    ),
    *(
        Fault(
            f'V3 {dtype} with offset {offset:g}',
            _all(same, dtype, offset=offset),
            (f'{offset:g}',),
            'offset must be' if abs(offset) > 1e7 else 'set offset',
        )
        for dtype, offset in (
            ('uint8', -1000),
            ('uint8', 1000),
            ('uint16', 1e30),
            ('uint16', -1e30),
            ('uint16', -1e5),
        )
    ),
    Fault(
        'V2 floats divided twice',
        _float_archive(lambda i: (i / 2550000).astype('float32')),
        ('floats up to',),
        'set unit',
    ),
    Fault(
        'V2 floats in percent',
        _float_archive(lambda i: (i / 2.55).astype('float32')),
        ('floats such as',),
        'set unit',
    ),
    Fault(
        'V2 floats as digital numbers',
        _float_archive(lambda i: (i * 40.0).astype('float32')),
        ('floats such as',),
        'set unit',
    ),
    Fault(
        'V2 floats as digital numbers with their unit',
        _float_archive(lambda i: (i * 40.0).astype('float32'), unit=10000),
        error=None,
    ),
    Fault('V2 float reflectance', _float_archive(), error=None),
    Fault('V2 float64 reflectance', _float_archive(lambda i: i / 255), error=None),
    Fault(
        'V2 digital numbers in the last location alone',
        _float_archive(last=lambda i: (i * 40.0).astype('float32')),
        ('000003', 'B04'),
        'set unit',
    ),
    Fault(
        'V2 percent in the last location alone',
        _float_archive(last=lambda i: (i * 100).astype('float32')),
        ('000003', 'B04'),
        'set unit',
    ),
    *(
        Fault(f'V3 {dtype} from {low} to {high}', _kept(dtype, low, high), error=None)
        for dtype, low, high in (
            ('int16', -1000, 20000),
            ('int32', -1000, 20000),
            ('uint16', 0, 28000),
            ('int16', -50, 100),
        )
    ),
    # Missing numbers
    *(
        Fault(
            f'V4 {value} in a {dtype} band',
            _float_archive(_cast(dtype), _one_pixel(value, dtype)),
            ('000003', 'B4.tif', 'row 11', 'column 11'),
            "on_invalid='drop'",
        )
        for value in (float('nan'), float('inf'), float('-inf'))
        for dtype in ('float32', 'float64')
    ),
    Fault(
        'V4 NaN everywhere',
        _float_archive(last=lambda i: np.full_like(i, np.nan, 'float32')),
        ('000003', 'B4.tif'),
        "on_invalid='drop'",
    ),
    Fault(
        'V4 NaN left out on request',
        _float_archive(last=_one_pixel(float('nan')), on_invalid='drop'),
        error=None,
    ),
    Fault(
        'V4 NaN with on_invalid=error',
        _float_archive(last=_one_pixel(float('nan')), on_invalid='error'),
        ('1 of 8 dates', '000003'),
        "on_invalid='drop'",
    ),
    Fault('V5 nodata tag', _nodata(0.5), (_PATH, '50.0%'), 'raise max_nodata'),
    Fault('V5 more nodata than allowed', _nodata(0.5, 0.2), (_PATH, '20.0%'), 'raise max_nodata'),
    Fault('V5 nodata that is allowed', _nodata(0.25, 0.3), error=None),
    *(
        Fault(f'V5 max_nodata={share}', _nodata(0.5, share), (str(share),), 'from 0 to 1')
        for share in (-0.1, 1.5, float('nan'))
    ),
    *(
        Fault(
            f'V5 date of {value} in {dtype}',
            _scene(value, dtype),
            ('000003/20190715', str(value)),
            "on_invalid='drop'",
        )
        for dtype, value in _FILLS
        if dtype.startswith('u')
    ),
    *(
        Fault(
            f'V5 date of {value} in {dtype}',
            _filled_date(value, dtype),
            ('000003/20190715', str(value)),
            "on_invalid='drop'",
        )
        for dtype, value in _FILLS
        if dtype == 'int16'
    ),
    *(
        Fault(
            f'V5 a quarter of a band is {value} in {dtype}',
            _quarter(value, dtype),
            ('000003', 'B04', str(value)),
            'nodata',
        )
        for dtype, value in (
            ('uint16', 65535),
            ('int16', -32768),
            ('int16', -9999),
            ('int16', 32767),
        )
    ),
    *(
        Fault(
            f'V5 float of {value:g}',
            _float_archive(last=_one_pixel(value)),
            ('000003', f'{np.float32(value):g}'),
            'nodata' if abs(value) >= 1e9 else 'set unit',
        )
        for value in _LARGE
    ),
    Fault('V5 a corner of zeros', _band(_part(0)), error=None),
    Fault('V6 one band of one number', _constant_band, error=None),
    *(
        Fault(f'V6 texture of {value:g}', _flat_texture(value), error=None)
        for value in (0, 1 / 3, 0.1, 1001, 65535)
    ),
    # Types
    *(
        Fault(
            f'V8 {dtype}',
            _typed(dtype),
            (_PATH, dtype.replace('complex_int16', 'complex64')),
            'store',
        )
        for dtype in _TYPES
    ),
    *(
        Fault(
            f'V8 reflectance of {dtype}',
            lambda root, dtype=dtype: Reflectance()(torch.ones(2, 2).to(dtype)),
            (str(dtype).removeprefix('torch.'),),
            'convert',
        )
        for dtype in (torch.complex64, torch.bool)
    ),
    # Sizes
    *(
        Fault(
            f'V9 {side} px with radius {radius:g}',
            _small_texture(side, radius),
            (f'{side} x {side}', f'{radius:g}'),
            'radius',
        )
        for side, radius in ((1, 2), (4, 2), (2, 1), (16, 40), (5, 3))
    ),
    *(
        Fault(f'V10 {height} x {width} px', _sized((height, width)), error=None)
        for height, width in ((12, 18), (30, 12), (42, 6))
    ),
    Fault('V11 window of 500 px', _sized((24, 24), size=500), ('24 x 24', '500'), 'size'),
    *(
        Fault(f'V11 size={size}', _sized((24, 24), size=size), (str(size),), 'size')
        for size in (0, -1)
    ),
    Fault(
        'V11 window of one image',
        _sized((6, 6), everywhere=False, size=12),
        ('000002', 'B2.tif'),
        'one ground',
    ),
    *(
        Fault(
            f'V12 {band} of {side} x {other} px',
            _band_size(band, (side, other)),
            (f'000002/20190715/{band}.tif', f'{other} x {side}'),
            'resample it',
        )
        for band, side, other in (
            ('B4', 6, 6),
            ('B4', 4, 4),
            ('B4', 2, 2),
            ('B4', 1, 1),
            ('B4', 24, 24),
            ('B4', 12, 11),
            ('B11', 12, 12),
            ('B11', 4, 4),
            ('B11', 2, 2),
            ('B11', 5, 5),
            ('B1', 6, 6),
            ('B1', 4, 4),
            ('B1', 1, 1),
            ('B1', 3, 2),
        )
    ),
    *(
        Fault(
            f'V12 {band} of {side} px everywhere',
            _band_size(band, (side, side), True),
            named,
            remedy,
        )
        for band, side, named, remedy in (
            ('B4', 6, ('B4.tif', '6 x 6'), 'resample it'),
            ('B11', 2, ('B11.tif', '2 x 2'), 'resample it'),
        )
    ),
    *(
        Fault(
            f'V12 {band} of {side} px everywhere', _band_size(band, (side, side), True), error=None
        )
        for band, side in (('B11', 12), ('B1', 6), ('B1', 12))
    ),
    Fault('V13 other ground on one date', _larger(0), ('000002', 'B2.tif'), 'one ground'),
    Fault('V13 centred other ground on one date', _larger(3), ('000002', 'B2.tif'), 'one ground'),
    Fault('V13 another size', _larger(None), ('000002', '18 x 18', '12 x 12'), 'set size'),
    Fault('V13 other window on one date', _larger(0, size=6), ('000002', 'B2.tif'), 'one ground'),
    Fault('V13 the same window of another size', _larger(3, size=6), error=None),
    Fault('V13 a window of another size', _larger(None, size=6), error=None),
    # Classes
    *(
        Fault(
            f'V15 class {value:g} as {dtype}',
            _mask(_with(value, dtype)),
            ('mask.tif', f'{value:g}'),
            'correct the mask',
        )
        for value, dtype in (
            (16, 'uint8'),
            (255, 'uint8'),
            (-1, 'int16'),
            (300, 'uint16'),
            (0.5, 'float32'),
            (float('nan'), 'float32'),
            (65536, 'int32'),
            (1e30, 'float32'),
        )
    ),
    # Sensors
    Fault(
        'R2 radar as linear power',
        _radar(lambda i: (10 ** (i / 10)).astype('float32')),
        ('dB',),
        'dB',
    ),
    Fault(
        'R2 radar as numbers of 16 bits',
        _radar(lambda i: np.abs(100 * i).astype('uint16')),
        ('root',),
        'dB',
    ),
    Fault('R2 Landsat by its pixels', _landsat, ('30 m', 'Sentinel-2'), 'set sensor'),
    Fault(
        'R2 Landsat in degrees',
        partial(_landsat, crs='EPSG:4326', transform=Affine(2.7e-4, 0, 5, 0, -2.7e-4, 60)),
        ('30 m', 'Sentinel-2'),
        'set sensor',
    ),
    # 60 degrees north, where a metre of the map is half of one on the ground.
    Fault(
        'R2 Landsat in web Mercator',
        partial(_landsat, crs='EPSG:3857', transform=Affine(60, 0, 5e5, 0, -60, 8399738)),
        ('30 m', 'Sentinel-2'),
        'set sensor',
    ),
    Fault(
        'R2 pixels of 10 m in web Mercator',
        partial(_landsat, crs='EPSG:3857', transform=Affine(20, 0, 5e5, 0, -20, 8399738)),
        error=None,
    ),
    Fault('R2 Landsat by its names', _landsat_names, ('LC08', 'Sentinel-2'), 'set sensor'),
    Fault(
        'R2 Landsat that is said to be',
        lambda root: _landsat(root, sensor='landsat_8_9', unit=10000),
        error=None,
    ),
    Fault(
        'R2 30 m that is said to be Sentinel-2',
        lambda root: _landsat(root, sensor='sentinel2_l1c'),
        error=None,
    ),
]
