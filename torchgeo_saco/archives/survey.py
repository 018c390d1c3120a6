# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What lies in a folder that no layout fits, and which reader would come nearest."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torchgeo.datasets.utils import Path

from ..bands import SENSORS, Sensor, band_name
from ..io.raster import BandFileError, raster_band_count
from .layout import is_data
from .layouts import LAYOUTS
from .layouts.band_folders import is_band_file

# Levels of folders, folders of each level and files of each folder that are looked at.
_DEPTH, _FOLDERS, _FILES = 5, 8, 64

_RASTERS = (
    'scenes are read as cells by layout=rasters, that is --config data/rasters.yaml; patches as '
    'they are, where each band is <location>/<date>/<band>.tif'
)


class _File(NamedTuple):
    """A file below the root."""

    #: Folders from the root to it.
    folders: tuple[str, ...]

    name: str

    @property
    def suffix(self) -> str:
        """Ending of the name, in lower case."""
        return os.path.splitext(self.name)[1].lower()


#: Says what files are and what to do, or None if they are something else.
_Question = Callable[[str, Sequence[_File]], str | None]


def describe_folder(root: Path, sensor: Sensor | None = None) -> str:
    """Say what a folder holds, and which reader comes nearest.

    Args:
        root: A folder that no layout fits.
        sensor: Sensor whose bands were looked for, or None where no band files were.

    Returns:
        A clause that follows 'it holds'.
    """
    root = os.fspath(root)
    files = list(_files(root, ()))
    if not files:
        return 'no file'
    wanted = SENSORS.values() if sensor is None else [sensor]
    placed = next(
        (f for f in files if len(f.folders) == 2 and any(_is_band(f.name, s) for s in wanted)), None
    )
    if placed is not None:
        return (
            f'bands such as {"/".join([*placed.folders, placed.name])}; leave out previews, layout'
        )
    for question in _QUESTIONS:
        answer = question(root, files)
        if answer is not None:
            return answer
    return (
        f'files such as {"/".join([*files[0].folders, files[0].name])}; the layouts read '
        f'are {", ".join(layout.pattern for layout in LAYOUTS.values())}; {_RASTERS}'
    )


def _files(root: str, folders: tuple[str, ...]) -> Iterator[_File]:
    """Files below a folder: some of each folder, of some folders."""
    try:
        with os.scandir(os.path.join(root, *folders)) as entries:
            found = sorted((e.name, e.is_dir()) for e in entries if is_data(e.name))
    except OSError:
        return
    for name in [name for name, is_folder in found if not is_folder][:_FILES]:
        yield _File(folders, name)
    if len(folders) < _DEPTH:
        for name in [name for name, is_folder in found if is_folder][:_FOLDERS]:
            yield from _files(root, (*folders, name))


def _first(files: Sequence[_File], pattern: str) -> _File | None:
    """First file whose name matches."""
    known = re.compile(pattern, re.IGNORECASE)
    return next((file for file in files if known.fullmatch(file.name)), None)


def _is_safe(root: str, files: Sequence[_File]) -> str | None:
    """Products of Sentinel-2 as the agency packs them."""
    for file in files:
        safe = [folder for folder in file.folders if folder.endswith('.SAFE')]
        if safe or os.path.basename(os.path.abspath(root)).endswith('.SAFE'):
            kind = 'JP2 files' if any(f.suffix == '.jp2' for f in files) else 'files'
            name = safe[0] if safe else os.path.basename(os.path.abspath(root))
            return f'{kind} in a SAFE folder ({name}); {_RASTERS}'
    return None


def _is_landsat(root: str, files: Sequence[_File]) -> str | None:
    """Scenes of Landsat, a file per band."""
    file = _first(files, r'L[COTEM]0\d_\w+_(SR_|ST_)?B\d+\.tiff?')
    if file is None:
        return None
    short = re.sub(r'^([A-Z0-9]+)_.*?_((?:S[RT]_)?B\d+)', r'\1_..._\2', file.name)
    return f'scenes of Landsat named {short}; {_RASTERS}'


def _is_named_by_product(root: str, files: Sequence[_File]) -> str | None:
    """Bands of Sentinel-2 or others in files that begin with the scene."""
    file = _first(files, r'.*[._-](?:B\d?\d|B8A|VV|VH)(?:_\d\dm)?\.(?:tiff?|jp2)')
    if file is None:
        return None
    return f'band files named by their scene, such as {file.name}; {_RASTERS}'


def _is_misplaced(root: str, files: Sequence[_File]) -> str | None:
    """Band files that lie one level too high or too deep."""
    file = next((file for file in files if is_band_file(file.name)), None)
    if file is None:
        return None
    path, depth = '/'.join([*file.folders, file.name]), len(file.folders)
    if depth < 2:
        return (
            f'bands such as {path}, {depth} folders deep where the location and the date are two; '
            'put them into <location>/<date>, or set root to the folder above'
        )
    if depth > 2:
        above = '/'.join(file.folders[: depth - 2])
        return f'bands such as {path}; set root to {os.path.join(root, above)}'
    names = [name for name, sensor in SENSORS.items() if _is_band(file.name, sensor)]
    return f'bands such as {path}; set sensor to {" or ".join(names)}'


def _is_band(name: str, sensor: Sensor) -> bool:
    """Whether a GeoTIFF is named by a band of a sensor."""
    stem, suffix = os.path.splitext(name)
    try:
        band_name(stem, sensor)
    except ValueError:
        return False
    return suffix.lower() in ('.tif', '.tiff')


def _is_geotiff(root: str, files: Sequence[_File]) -> str | None:
    """GeoTIFFs of one band or several."""
    file = _first(files, r'.*\.tiff?')
    if file is None:
        return None
    path = '/'.join([*file.folders, file.name])
    try:
        count = raster_band_count(os.path.join(root, path))
    except BandFileError:
        return f'GeoTIFFs that cannot be opened, such as {path}; fetch them again'
    kind = f'multi-band GeoTIFFs of {count} bands' if count > 1 else 'GeoTIFFs of one band'
    advice = _RASTERS
    if count == len(LAYOUTS['previews'].file_bands or ()) and len(file.folders) == 1:
        advice = f'set previews=True if they are R, G, B and named by date; {_RASTERS}'
    elif count == len(LAYOUTS['eurosat'].file_bands or ()):
        advice = (
            'set layout=eurosat if the folders are classes and the bands in the order of EuroSAT, '
            f'B8A last; {_RASTERS}'
        )
    return f'{kind}, such as {path}; {advice}'


def _is_image(root: str, files: Sequence[_File]) -> str | None:
    """8-bit images that lie at another depth than classes."""
    file = next((f for f in files if f.suffix in ('.jpg', '.jpeg', '.png')), None)
    if file is None:
        return None
    path = '/'.join([*file.folders, file.name])
    above = os.path.join(root, *file.folders[:-1])
    advice = f'set root to {above}' if len(file.folders) > 1 else 'set layout=images to read them'
    return f'8-bit images such as {path}; {advice}'


def _is_of_another_format(root: str, files: Sequence[_File]) -> str | None:
    """Formats that none of the layouts reads."""
    for suffixes, kind, advice in _FORMATS:
        file = next((f for f in files if f.suffix in suffixes), None)
        if file is not None:
            return f'{kind}, such as {"/".join([*file.folders, file.name])}; {advice}'
    return None


_FORMATS = (
    (('.zip', '.tar', '.gz', '.tgz', '.7z'), 'a packed file', 'unpack it'),
    (('.jp2',), 'JP2 files', _RASTERS),
    (
        ('.nc', '.h5', '.hdf5', '.hdf'),
        'netCDF or HDF5 files',
        'series of bands are read by layout=rasters, that is --config data/rasters.yaml',
    ),
    (
        ('.npy', '.npz', '.pt', '.parquet', '.lmdb', '.safetensors'),
        'arrays without place and bands',
        f'write them as GeoTIFFs named {LAYOUTS["folders"].pattern}',
    ),
)

#: In the order in which they are asked; the first answer counts.
_QUESTIONS: tuple[_Question, ...] = (
    _is_safe,
    _is_landsat,
    _is_misplaced,
    _is_named_by_product,
    _is_geotiff,
    _is_image,
    _is_of_another_format,
)
