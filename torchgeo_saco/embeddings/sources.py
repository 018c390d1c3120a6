# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What archives and scenes say of their numbers, pixels and days."""

from pathlib import Path

from ..archives.layout import scene_date
from ..datasets import SeasonalArchive
from ..io.scene_reader import SceneReader
from ..transforms import Reflectance


def pixel_side(archive: SeasonalArchive) -> float | None:
    """Side of a pixel of an archive in metres, by the finest of its bands.

    Args:
        archive: The archive.

    Returns:
        The side, or None of RGB images, which have no size on the ground.
    """
    if archive.sensor_name == 'rgb':
        return None
    return min(archive.sensor.bands[band] for band in archive.bands)


def require_unit(scene: SceneReader) -> None:
    """Refuse floats of a scene that are plainly no reflectance.

    Args:
        scene: The scene; a window in its middle is read.

    Raises:
        ValueError: If one is above 20 and no unit is known.
    """
    if scene.dtype.kind != 'f' or scene.unit is not None:
        return
    row, column = (max(0, side // 2 - 32) for side in scene.shape)
    height, width = (min(64, side) for side in scene.shape)
    _require_small(scene.path, float(scene.read((row, column, height, width))[0].max()))


def require_reflectance(archive: SeasonalArchive, reflectance: Reflectance) -> None:
    """Refuse floats of an archive that are plainly no reflectance.

    Args:
        archive: The archive; its first image is read.
        reflectance: Knows the unit.

    Raises:
        ValueError: If one is above 20 and no unit is known.
    """
    if archive.dtype.is_floating_point and reflectance.unit is None:
        _require_small(str(archive.root), archive[0]['image'].max().item())


def _require_small(path: str, largest: float) -> None:
    """Refuse a number that is plainly no reflectance."""
    if largest > 20:
        raise ValueError(
            f'{path} holds floats up to {largest:g}, which is no reflectance; set unit to the '
            'number stored for reflectance 1, such as 10000'
        )


def scene_day(path: str) -> str | None:
    """Day in the last part of a path that holds one.

    Args:
        path: Path of a scene.

    Returns:
        The day as yyyy-mm-dd, or None.
    """
    for part in reversed(Path(path).parts):
        try:
            return scene_date(part).isoformat()
        except ValueError:
            continue
    return None
