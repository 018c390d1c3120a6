# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tree in the layout of BigEarthNet, version 1."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..geotiff import write_raster
from ..landscape import Landscape
from ..locations import SampleLocation, placed
from ..patterns import cells
from ..products import level2a
from ..radar import backscattered
from ..sensor import PIXEL
from .kinds import add_river, mosaic
from .tree import BenchmarkTree, shuffled, site, split_sizes

_OPTICAL_FOLDER = 'BigEarthNet-v1.0'
_RADAR_FOLDER = 'BigEarthNet-S1-v1.0'
_SIZE = 120

# Label of each kind of scenery, of the 43 of CORINE Land Cover in their order.
_LABELS = {
    'town': 'Discontinuous urban fabric',
    'village': 'Discontinuous urban fabric',
    'industry': 'Industrial or commercial units',
    'winter_crops': 'Non-irrigated arable land',
    'summer_crops': 'Non-irrigated arable land',
    'vineyard': 'Vineyards',
    'orchard': 'Fruit trees and berry plantations',
    'pasture': 'Pastures',
    'broadleaf_forest': 'Broad-leaved forest',
    'conifer_forest': 'Coniferous forest',
    'mixed_forest': 'Mixed forest',
    'grassland': 'Natural grassland',
    'water': 'Water bodies',
}
_RIVER = 'Water courses'

# Share of a patch that a class must fill to be a label.
_LEAST = 0.04

# Degrees east and north of Europe.
_WEST, _EAST, _SOUTH, _NORTH = -9.0, 29.0, 38.0, 62.0

# Uses of randomness.
_PLACE, _LAND, _SCENE, _RADAR, _SPLIT = range(5)


class _Pair(NamedTuple):
    """Names of a patch."""

    #: Folder of its Sentinel-2 image.
    optical: str

    #: Folder of its Sentinel-1 image.
    radar: str


@dataclass(frozen=True)
class BigEarthNetTree(BenchmarkTree):
    """Patches with several classes of land cover each."""

    name: ClassVar[str] = 'bigearthnet'
    title: ClassVar[str] = 'BigEarthNet'
    unit: ClassVar[str] = 'patches'
    layout: ClassVar[str] = f"""\
- `{_OPTICAL_FOLDER}/<patch>/<patch>_<band>.tif`: Sentinel-2 level 2A, 12 bands of 120, 60 and
  20 px, reflectance x 10000 (uint16); `<patch>_labels_metadata.json`: classes (names of the 43),
  location and date.
- `{_RADAR_FOLDER}/<patch>/<patch>_{{VV,VH}}.tif`: Sentinel-1 backscatter in dB (float32), 120 px,
  and its JSON file.
- `bigearthnet-{{train,val,test}}.csv`: Sentinel-2 and Sentinel-1 patch of each line, 60/20/20.

A patch has a label if the class fills at least {_LEAST:.0%} of it. This is version 1 of
the data set.
"""

    #: Patches in all.
    patches: int = 200

    @property
    def count(self) -> int:
        """How many patches there are."""
        return self.patches

    def write(self, root: Path, number: int) -> _Pair:
        """Write both images of one patch."""
        location, moment = self._location(number), self._moment(number)
        rng, radar_rng = self.rng(number, _SCENE), self.rng(number, _RADAR)
        land, labels = _countryside(self.rng(number, _LAND))
        where = site(self.rng(number, _LAND, 1), _SIZE, location.latitude)
        spot = '{}_{}'.format(*divmod(number, 91))
        satellite = 'S2A' if rng.random() < 0.5 else 'S2B'
        later = moment + timedelta(hours=6.5 + radar_rng.uniform(0, 0.5))
        names = _Pair(
            f'{satellite}_MSIL2A_{moment:%Y%m%dT%H%M%S}_{spot}',
            f'S1A_IW_GRDH_1SDV_{later:%Y%m%dT%H%M%S}_{location.tile.removeprefix("T")}_{spot}',
        )
        day = moment.timetuple().tm_yday
        ground = where.ground(land, day, rng)
        scene = level2a(ground, where.terrain, where.clear_sky(day, rng), rng)
        power = backscattered(land, day - round(where.late), radar_rng.uniform(0, 0.7), radar_rng)
        decibel = {name: (10 * np.log10(layer)).astype(np.float32) for name, layer in power.items()}
        optical, radar = root / _OPTICAL_FOLDER / names.optical, root / _RADAR_FOLDER / names.radar
        _write_bands(optical, scene, location)
        _write_bands(radar, decibel, location)
        _write_json(optical, _optical_metadata(location, labels, moment, satellite))
        _write_json(radar, _radar_metadata(location, labels, later, names.optical))
        return names

    def write_lists(self, root: Path, records: list[_Pair]) -> None:
        """Write the lists of the splits."""
        order = np.array(shuffled(self.rng(0, _SPLIT), len(records)))
        parts = np.split(order, split_sizes(len(records)))
        for part, numbers in zip(('train', 'val', 'test'), parts, strict=True):
            lines = [','.join(records[number]) + '\n' for number in np.sort(numbers)]
            (root / f'bigearthnet-{part}.csv').write_text(''.join(lines), encoding='utf-8')

    def _location(self, number: int) -> SampleLocation:
        """Where a patch lies."""
        rng = self.rng(number, _PLACE)
        longitude, latitude = rng.uniform(_WEST, _EAST), rng.uniform(_SOUTH, _NORTH)
        return placed(number, '', False, longitude, latitude, _SIZE)

    def _moment(self, number: int) -> datetime:
        """When a patch is seen, between June 2017 and May 2018, winter excluded."""
        rng = self.rng(number, _PLACE, 1)
        day = int(rng.integers(0, 240))
        # 130 days from June to early October, then from mid-February on.
        start = datetime(2017, 6, 1, 9, 30, tzinfo=UTC) + timedelta(hours=rng.uniform(0, 2))
        return start + timedelta(days=day if day < 130 else day + 125)


def _countryside(rng: Generator) -> tuple[Landscape, list[str]]:
    """A location of a few zones, and the classes that fill enough of it."""
    zones, _ = cells(rng, 2 * _SIZE, 720)
    count = int(zones.max()) + 1
    palette = rng.choice(list(_LABELS), int(rng.integers(1, 5)), replace=False)
    kinds = [str(palette[rank % len(palette)]) for rank in rng.permutation(count)]
    location = mosaic(rng, zones, kinds)
    shares = {label: 0.0 for label in _LABELS.values()} | {_RIVER: 0.0}
    dry = np.ones(zones.shape, bool)
    if rng.random() < 0.2:
        river = add_river(location, rng, rng.uniform(60, 120), 80)
        shares[_RIVER], dry = float(river.mean()), ~river
    for zone, kind in enumerate(kinds):
        shares[_LABELS[kind]] += float((dry & (zones == zone)).mean())
    order = [label for label in shares if label != 'Water bodies'] + ['Water bodies']
    return location, [label for label in order if shares[label] >= _LEAST]


def _optical_metadata(
    location: SampleLocation, labels: list[str], moment: datetime, satellite: str
) -> dict[str, Any]:
    """Description of a Sentinel-2 patch."""
    left, top = location.corner
    extent = int(location.size * PIXEL)
    stamp = f'{moment:%Y%m%dT%H%M%S}'
    return {
        'labels': labels,
        'coordinates': {
            'ulx': int(left),
            'uly': int(top),
            'lrx': int(left) + extent,
            'lry': int(top) - extent,
        },
        'projection': location.crs.to_wkt(),
        'tile_source': f'{satellite}_MSIL1C_{stamp}_N0206_R036_{location.tile}_{stamp}.SAFE',
        'acquisition_date': f'{moment:%Y-%m-%d %H:%M:%S}',
    }


def _radar_metadata(
    location: SampleLocation, labels: list[str], moment: datetime, optical: str
) -> dict[str, Any]:
    """Description of a Sentinel-1 patch."""
    left, top = location.corner
    extent = int(location.size * PIXEL)
    stamp = f'{moment:%Y%m%dT%H%M%S}'
    return {
        'labels': labels,
        'coordinates': {
            'ulx': int(left),
            'uly': int(top),
            'lrx': int(left) + extent,
            # The release spells the lower right corner so.
            'lly': int(top) - extent,
        },
        'projection': location.crs.to_wkt(),
        'corresponding_s2_patch': optical,
        'scene_source': f'S1A_IW_GRDH_1SDV_{stamp}_{stamp}_017018_01C579_7EEC',
        'acquisition_time': f'{moment:%Y-%m-%dT%H:%M:%S}',
    }


def _write_bands(folder: Path, bands: dict[str, NDArray[Any]], location: SampleLocation) -> None:
    """One file per band."""
    for name, layer in bands.items():
        metres = location.size * PIXEL / len(layer)
        path = folder / f'{folder.name}_{name}.tif'
        write_raster(path, layer[None], location.crs, location.transform(metres))


def _write_json(folder: Path, content: dict[str, Any]) -> None:
    """The description of a patch."""
    path = folder / f'{folder.name}_labels_metadata.json'
    path.write_text(json.dumps(content), encoding='utf-8')
