# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Raster products as a dataset of TorchGeo."""

import math
import os
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import rasterio
import rasterio.features
import rasterio.merge
import rasterio.warp
import shapely
import torch
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from torchgeo.datasets import RasterDataset
from torchgeo.datasets.utils import GeoSlice, Path, Sample

from ...bands import band_names, known_sensor
from ..layout import UNDATED
from ..readers import Scale
from .finding import Naming, find_products
from .grid import WorldGrid, phase_of
from .products import MaskSource, ProductBand, ProductError, RasterProduct
from .virtual import SourceGrid, read_grid, virtual_raster

# Open files of a process.
_HANDLES = 64

#: Where an unknown date is kept among the dates of TorchGeo, which begin in 1677.
UNKNOWN_DATE = pd.Timestamp('1700-01-01')

_LISTED = 20


class ProductRasters(RasterDataset):
    """Sentinel-2, Landsat and other rasters as they lie on disk, brought to one grid.

    Reads SAFE folders of Sentinel-2 (L1C and L2A), Landsat scenes by their usual names, scenes of
    one GeoTIFF or JP2 file a band, multi-band GeoTIFFs whose bands are named, and netCDF-4 files of
    bands over time. A query gives the acquisitions there, (T, C, H, W), with ``date`` (T) as
    yyyymmdd and ``valid`` (T, H, W), False where a file has no data. Samplers of TorchGeo draw
    queries.

    Products in another coordinate system, of another resolution or rotated are warped. Where all
    products say the same scale, images hold stored numbers, else reflectance, see ``scale``.
    """

    def __init__(
        self,
        paths: Path = 'data',
        crs: CRS | None = None,
        res: float | tuple[float, float] | None = None,
        bands: Sequence[str] | None = None,
        transforms: Callable[[Sample], Sample] | None = None,
        cache: bool = True,
        time_series: bool = True,
        naming: Naming | None = None,
        resampling: str = 'bilinear',
        on_missing: Literal['error', 'drop'] = 'error',
    ) -> None:
        """Initialize a new ProductRasters instance.

        Args:
            paths: Folder that holds the products, or one product.
            crs: Coordinate system to warp to, or None for that of most products.
            res: Size of a pixel in its units, or None for that of most products.
            bands: Bands to read, in any spelling, or None for all that every product has.
            transforms: Transform of a sample.
            cache: Keep files open.
            time_series: Whether dates are stacked, or laid over one another.
            naming: What files do not say themselves.
            resampling: How pixels are brought to the grid, a :class:`rasterio.enums.Resampling` by
                name.
            on_missing: Refuse products that lack a band, or drop them.

        Raises:
            FileNotFoundError: If *paths* is missing.
            ProductError: If no product is found, or products do not fit together.
        """
        self.products = {p.name: p for p in find_products(paths, naming)}
        self.sensor_name = _common_sensor(list(self.products.values()), naming)
        #: Clauses on what was found, dropped and warped.
        self.notes: list[str] = []
        self.all_bands = self._choose_bands(bands, on_missing)
        self._resampling = resampling
        self._handles: OrderedDict[tuple[int, str], Any] = OrderedDict()
        self._choose_grid(crs, res)
        self._choose_scale()
        super().__init__(
            paths, self.grid.crs, self.grid.res, self.all_bands, transforms, cache, time_series
        )

    @property
    def files(self) -> list[str]:
        """Names of the products; of a day, the one processed last comes first."""
        by_name = sorted(self.products.values(), key=lambda p: p.name, reverse=True)
        return [p.name for p in sorted(by_name, key=lambda p: p.date)]

    @property
    def dtype(self) -> torch.dtype:
        """Type of the stored numbers, or float32 where products are brought to one scale."""
        return torch.from_numpy(np.empty(0, self.number_type)).dtype

    @property
    def resampling(self) -> Resampling:
        """How pixels are brought to the grid."""
        return Resampling[self._resampling]

    def __getitem__(self, index: GeoSlice) -> Sample:
        """Images of an area and time.

        Args:
            index: Slices of x, y and time.

        Returns:
            ``image`` (T, C, H, W), ``date`` (T), ``valid`` (T, H, W), ``bounds`` and ``transform``.

        Raises:
            IndexError: If there is none.
            ProductError: If a file cannot be read; the message names it.
        """
        x, y, t = self._disambiguate_slice(index)
        chosen = self.index.iloc[self.index.index.overlaps(pd.Interval(t.start, t.stop))]
        chosen = chosen.iloc[:: t.step].cx[x.start : x.stop, y.start : y.stop]
        if chosen.empty:
            raise IndexError(f'index: {index} not found in dataset with bounds: {self.bounds}')
        area = (x.start, y.start, x.stop, y.stop)
        parts = [self.read(name, area, (x.step, y.step)) for name in chosen.filepath]
        image, valid = (np.stack(arrays) for arrays in zip(*parts, strict=True))
        dates = np.array([_as_number(self.products[name]) for name in chosen.filepath])
        if not self.time_series:
            image, valid = laid_over(image, valid, image.dtype.type(self.fill_value))
            dates = dates[0]
        transform = rasterio.transform.from_origin(x.start, y.stop, x.step, y.step)
        sample: Sample = {
            'image': torch.from_numpy(image),
            'valid': torch.from_numpy(valid),
            'date': torch.as_tensor(dates),
            'bounds': self._slice_to_tensor(index),
            'transform': torch.tensor(tuple(transform)),
        }
        return sample if self.transforms is None else self.transforms(sample)

    def read(
        self, name: str, area: tuple[float, float, float, float], res: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read an area of one product.

        Args:
            name: Name of the product.
            area: West, south, east and north.
            res: Width and height of a pixel.

        Returns:
            Image (C, H, W), with 0 of reflectance where the product has no data; and where it has,
            (H, W).

        Raises:
            ProductError: If a file cannot be read.
        """
        try:
            file = self._kept_open(name)
            image, _ = rasterio.merge.merge(
                [file], bounds=area, res=res, resampling=self.resampling
            )
            nodata = file.nodata
        except rasterio.errors.RasterioError as error:
            raise ProductError(
                f'{name} cannot be read ({error.__cause__ or error}); fetch it again, or remove it'
            ) from error
        hidden = (image == 0).all(0) if nodata is None else (image == nodata).any(0)
        if image.dtype.kind == 'f':
            hidden |= ~np.isfinite(image).all(0)
        scale = self.products[name].scale
        if self.rescaled and scale is not None:
            image = (image.astype(np.float32) + np.float32(scale.offset)) / np.float32(scale.unit)
        image[:, hidden] = self.fill_value
        return image, ~hidden

    def read_mask(
        self, name: str, area: tuple[float, float, float, float], res: tuple[float, float]
    ) -> np.ndarray:
        """Where one product shows the ground, by its mask and one band, or else by all its bands.

        Args:
            name: Name of the product.
            area: West, south, east and north.
            res: Width and height of a pixel; the nearest stored one is taken.

        Returns:
            False where the ground is hidden or there is no data, (H, W).
        """
        product = self.products[name]
        # The mask of a product marks missing pixels, too; reading all bands takes long.
        bands = self.bands[:1] if product.mask is not None else self.bands
        layers: list[tuple[ProductBand, MaskSource | None]] = [
            (product.bands[band], None) for band in bands
        ]
        if product.mask is not None:
            layers += [(source, product.mask) for source in product.mask.sources]
        shown: Any = None
        for source, mask in layers:
            # Neither the offset nor the fill value of the image is that of its mask.
            layer = product if mask is None else product._replace(nodata=None)
            with self._open(layer, [source], 'nearest') as file:
                values, _ = rasterio.merge.merge([file], bounds=area, res=res, masked=True)
            known = ~np.ma.getmaskarray(values)[0]
            numbers = values.data[0]
            if mask is None:
                clear = known & (np.isfinite(numbers) if numbers.dtype.kind == 'f' else True)
            elif mask.values is None:
                clear = (numbers.astype(np.int64) & mask.bits) == 0
            else:
                clear = ~np.isin(numbers, mask.values)
            shown = clear if shown is None else shown & clear
        rows, columns = shown.shape
        transform = rasterio.transform.from_bounds(*area, columns, rows)
        return shown & ~rasterio.features.geometry_mask(
            [self._footprints[name]], shown.shape, transform
        )

    def _kept_open(self, filepath: Path) -> Any:
        """Open a product once in each process, for files that are open do not travel to workers."""
        if not self.cache:
            return self._load_warp_file(filepath)
        key = (os.getpid(), str(filepath))
        if not self._handles:
            # What is still open when Python ends cannot be closed any more.
            weakref.finalize(self, _close, self._handles)
        if key not in self._handles:
            self._handles[key] = self._load_warp_file(filepath)
            while len(self._handles) > _HANDLES:
                self._handles.popitem(last=False)
        self._handles.move_to_end(key)
        return self._handles[key]

    def _load_warp_file(self, filepath: Path, crs: CRS | None = None) -> DatasetReader | WarpedVRT:
        """Open the bands of a product as one raster on the grid of the dataset."""
        product = self.products[str(filepath)]
        sources = [product.bands[band] for band in self.bands]
        return self._open(product, sources, self._resampling)

    def _open(
        self, product: RasterProduct, sources: Sequence[ProductBand], resampling: str
    ) -> DatasetReader | WarpedVRT:
        """Open bands as one raster on the grid of the dataset."""
        file = rasterio.open(virtual_raster(product, sources, resampling), driver='VRT')
        if file.crs == self.grid.crs and self.grid.is_aligned(file.transform):
            return file
        # Coarser bands alone, such as masks, lie on a grid that is aligned with that of the finest.
        bounds = _outline(file.transform, file.shape).bounds
        if file.crs != self.grid.crs:
            bounds = transform_bounds(file.crs, self.grid.crs, *bounds)
        transform, width, height = self.grid.cover(bounds)
        return WarpedVRT(
            file, crs=self.grid.crs, transform=transform, width=width, height=height,
            resampling=Resampling[resampling],
            # Nodata counts band by band, for the bands of a scene end at different pixels.
            UNIFIED_SRC_NODATA='NO',
        )  # fmt: skip

    def footprint_from_datasource(self, datasource: Any) -> shapely.Polygon | None:
        """Return the ground of the product that is being listed."""
        return self._footprints[self._listing.pop(0)]

    def _filepath_to_timestamp(self, filepath: Path) -> tuple[datetime, datetime]:
        """Return the day of a product."""
        date = self.products[str(filepath)].date
        start = UNKNOWN_DATE if date == UNDATED else pd.Timestamp(date)
        return start, start + pd.Timedelta(days=1, microseconds=-1)

    def _choose_bands(self, bands: Sequence[str] | None, on_missing: str) -> tuple[str, ...]:
        """Bands that are read; products that lack one are refused or dropped."""
        sensor = known_sensor(self.sensor_name)
        products = list(self.products.values())
        if bands is None:
            held = {band for p in products for band in p.bands if band not in p.on_request}
            wanted = tuple(band for band in sensor.bands if band in held)
        else:
            wanted = band_names(bands, sensor)
        for name in sorted({band for p in products for band in p.on_request} - set(wanted)):
            self.notes.append(f'{name} is finer than other bands, and read where bands names it')
        for passed in sorted({note for p in products for note in p.passed_over})[:_LISTED]:
            self.notes.append(f'passed over {passed}')
        lacking = {
            p.name: ', '.join(band for band in wanted if band not in p.bands)
            for p in products
            if not set(wanted) <= set(p.bands)
        }
        clauses = [f'{name} lacks {missing}' for name, missing in lacking.items()]
        if clauses and (on_missing == 'error' or len(clauses) == len(products)):
            more = f' and {len(clauses) - _LISTED} more' if len(clauses) > _LISTED else ''
            raise ProductError(
                f'{"; ".join(clauses[:_LISTED])}{more}; complete them, ask for bands that all '
                "have, or set on_missing='drop' to skip these"
            )
        self.notes += [f'skipped {clause}' for clause in clauses]
        for name in lacking:
            del self.products[name]
        return wanted

    def _choose_grid(self, crs: CRS | None, res: float | tuple[float, float] | None) -> None:
        """Grid of most products, and the ground of each."""
        grids: dict[str, SourceGrid] = {}
        for product in self.products.values():
            sides = {band: known_sensor(self.sensor_name).bands[band] for band in self.all_bands}
            grids[product.name] = read_grid(
                product.bands[min(sides, key=sides.__getitem__)], product.grid
            )
        counts = Counter(grid.crs.to_wkt() for grid in grids.values())
        chosen = CRS.from_user_input(crs) if crs else CRS.from_wkt(counts.most_common(1)[0][0])
        same = [g for g in grids.values() if chosen == g.crs]
        if same:
            sizes = Counter((_length(g.transform, 0), _length(g.transform, 1)) for g in same)
            most = max(sizes.values())
            common = min(size for size, count in sizes.items() if count == most)
        else:
            first = next(iter(grids.values()))
            transform, *_ = rasterio.warp.calculate_default_transform(
                first.crs, chosen, first.shape[1], first.shape[0],
                *_outline(first.transform, first.shape).bounds,
            )  # fmt: skip
            common = (transform.a, -transform.e)
        pixel = common if res is None else (res, res) if isinstance(res, int | float) else res
        phases = Counter(phase_of(g.transform, pixel) for g in same) or Counter([(0.0, 0.0)])
        self.grid = WorldGrid(chosen, pixel, phases.most_common(1)[0][0])
        self._footprints, self._listing, warped, resampled = {}, [], [], []
        for name in self.files:
            grid = grids[name]
            outline = _outline(grid.transform, grid.shape)
            if chosen != grid.crs:
                warped.append(name)
                outline = shapely.geometry.shape(
                    rasterio.warp.transform_geom(grid.crs, chosen, outline)
                )
            elif not self.grid.is_aligned(grid.transform):
                resampled.append(name)
            self._footprints[name] = outline
            self._listing.append(name)
        for names, how in ((warped, f'warped to {chosen.to_string()[:60]}'), (resampled,
                           f'resampled to the grid of {pixel[0]:g} x {pixel[1]:g}')):  # fmt: skip
            if names:
                self.notes.append(
                    f'{len(names)} of {len(grids)} products are {how}, such as {names[0]}'
                )

    def _choose_scale(self) -> None:
        """One scale of all products, or reflectance of each by its own."""
        scales = {p.scale for p in self.products.values()}
        if None in scales and len(scales) > 1:
            unknown = next(p.name for p in self.products.values() if p.scale is None)
            known, scale = next((p, p.scale) for p in self.products.values() if p.scale is not None)
            raise ProductError(
                f'{unknown} says no scale of its numbers, {known.name} one of unit '
                f'{scale.unit:g} and offset {scale.offset:g}; keep them in two folders'
            )
        types = {
            read_grid(p.bands[self.all_bands[0]], p.grid).dtype for p in self.products.values()
        }
        if len(types) > 1 and None in scales:
            raise ProductError(
                f'rasters of {self.paths_text} hold {" and ".join(sorted(types))}, and say no '
                'scale; store all in one type and unit'
            )
        #: Whether images hold reflectance, as products say different scales.
        self.rescaled = len(scales) > 1 or len(types) > 1
        #: Scale of the numbers of images, or None where no product says one.
        self.scale = Scale(1.0, 0.0) if self.rescaled else scales.pop()
        #: Whether it cannot be contradicted: metadata say it, or it was applied already.
        self.certain = self.rescaled or any(p.certain for p in self.products.values())
        #: Type of the numbers of images.
        self.number_type = np.dtype('float32' if self.rescaled else types.pop())
        #: Number of pixels without data, 0 of reflectance.
        self.fill_value = self.number_type.type(0)
        if self.scale is not None and self.number_type.kind in 'iu':
            limits = np.iinfo(self.number_type)
            self.fill_value = self.number_type.type(
                min(max(round(-self.scale.offset), limits.min), limits.max)
            )
        if self.rescaled:
            self.notes.append('products have different scales, and each is read as reflectance')

    @property
    def paths_text(self) -> str:
        """Folder that the products are of, for messages."""
        return os.path.dirname(next(iter(self.products), ''))

    def __getstate__(self) -> dict[str, Any]:
        """Open files do not travel."""
        return vars(self) | {'_handles': OrderedDict()}


def _close(handles: OrderedDict[tuple[int, str], Any]) -> None:
    """Close the files that this process has open."""
    for (process, _), file in handles.items():
        if process == os.getpid():
            file.close()
    handles.clear()


def laid_over(images: np.ndarray, valid: np.ndarray, fill: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lay images of one day over one another; of a pixel, the first that has data counts.

    Args:
        images: The images, (N, C, H, W).
        valid: Where they have data, (N, H, W).
        fill: Number where none has.

    Returns:
        One image (C, H, W), and where it has data, (H, W).
    """
    image, shown = np.full_like(images[0], fill), np.zeros_like(valid[0])
    for part, there in zip(images, valid, strict=True):
        new = there & ~shown
        image[:, new] = part[:, new]
        shown |= there
    return image, shown


def _common_sensor(products: Sequence[RasterProduct], naming: Naming | None) -> str:
    """Sensor of all products."""
    found = Counter(p.sensor for p in products if p.sensor is not None)
    wanted = naming.sensor if naming is not None else None
    if len(found) > 1 or (wanted is not None and set(found) - {wanted}):
        listed = '; '.join(
            f'{sensor}: {count}, such as {next(p.name for p in products if p.sensor == sensor)}'
            for sensor, count in found.items()
        )
        asked = f', and {wanted} is asked for' if wanted else ''
        raise ProductError(
            f'there are products of {listed}{asked}; set root to a folder of one sensor'
        )
    if not found and wanted is None:
        raise ProductError(f'{products[0].name} does not say its sensor; set sensor')
    return wanted or str(next(iter(found)))


def _outline(transform: Any, shape: tuple[int, int]) -> shapely.Polygon:
    """Ground of a raster, also of one that is rotated."""
    height, width = shape
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    return shapely.Polygon([transform @ corner for corner in corners])


def _length(transform: Any, axis: int) -> float:
    """Width or height of a pixel."""
    x, y = (transform.a, transform.d) if axis == 0 else (transform.b, transform.e)
    # A pixel in degrees is about 1e-4, so round to significant digits, not to decimals.
    return float(f'{math.hypot(x, y):.9g}')


def _as_number(product: RasterProduct) -> int:
    """Day as yyyymmdd, 0 where it is unknown."""
    day = product.date
    return 0 if day == UNDATED else day.year * 10000 + day.month * 100 + day.day
