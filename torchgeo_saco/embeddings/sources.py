# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What archives and scenes say of their numbers and pixels."""

from ..archives.rasters import SceneReader
from ..datasets import SeasonalArchive
from ..transforms.reflectance import require_reflectance


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
    require_reflectance(scene.path, float(scene.read((row, column, height, width))[0].max()))
