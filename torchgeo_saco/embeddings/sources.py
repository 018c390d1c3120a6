# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What archives and scenes say of their numbers and pixels."""

import torch

from ..archives.rasters import SceneReader
from ..datasets import SeasonalArchive
from ..transforms import Backscatter, Reflectance
from ..transforms.backscatter import require_decibel
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


def scene_scale(scene: SceneReader) -> Reflectance | Backscatter:
    """Return what makes reflectance of the numbers of a scene, of Sentinel-1 backscatter.

    Args:
        scene: The scene.
    """
    if scene.sensor == 'sentinel1':
        return Backscatter(scene.unit)
    return Reflectance(scene.unit, scene.offset)


def require_unit(scene: SceneReader) -> None:
    """Refuse floats of a scene that are plainly no reflectance, or no backscatter in dB.

    Args:
        scene: The scene; a window in its middle is read.

    Raises:
        ValueError: If one is above 20 and no unit is known; of Sentinel-1, if none is below 0.
    """
    if scene.dtype.kind != 'f' or scene.unit is not None:
        return
    row, column = (max(0, side // 2 - 32) for side in scene.shape)
    height, width = (min(64, side) for side in scene.shape)
    image, _ = scene.read((row, column, height, width))
    if scene.sensor == 'sentinel1':
        require_decibel(scene.path, torch.from_numpy(image))
    else:
        require_reflectance(scene.path, float(image.max()))
