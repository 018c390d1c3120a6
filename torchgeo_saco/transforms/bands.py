# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Transforms that pick bands by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..bands import SENTINEL2_L1C, Sensor, available_groups, band_index, band_names
from .base import ImageTransform


def _pick(image: Tensor, channels: Sequence[int], bands: Sequence[str]) -> Tensor:
    """Channels of an image whose bands are named."""
    if image.shape[-3] != len(bands):
        raise ValueError(
            f'the image must have {len(bands)} channels ({", ".join(bands)}), '
            f'got {image.shape[-3]}; name the bands it has, in its order'
        )
    # Indexing with a list would copy that list to the device at every call.
    return torch.stack([image.select(-3, channel) for channel in channels], dim=-3)


class SelectBands(ImageTransform):
    r"""Bands of an image, picked and put in order by name.

    Any dtype is kept. See :class:`~torchgeo_saco.transforms.base.ImageTransform` for the Kornia
    containers it works in.

    Shape:
        - Input: :math:`(\ldots, C, H, W)`, one channel for each of *bands*
        - Output: :math:`(\ldots, K, H, W)`, one channel for each of *wanted*

    Example:
        >>> import torch
        >>> select = SelectBands(['B2', 'B3', 'B4', 'B8'], wanted=['B4', 'B3', 'B2'])
        >>> select(torch.arange(4.0).reshape(1, 4, 1, 1)).flatten()
        tensor([2., 1., 0.])
    """

    def __init__(
        self,
        bands: Sequence[str],
        wanted: Sequence[str],
        sensor: str | Sensor = SENTINEL2_L1C,
        keepdim: bool = True,
    ) -> None:
        """Initialize a new SelectBands.

        Args:
            bands: Bands of the image, in its order and in any spelling.
            wanted: Bands of the output, in its order and in any spelling.
            sensor: Sensor that has the bands, by object or by its name in
                :data:`~torchgeo_saco.bands.SENSORS`.
            keepdim: See :class:`~torchgeo_saco.transforms.base.ImageTransform`.

        Raises:
            ValueError: If a band is unknown, listed twice or not in the image.
        """
        super().__init__(keepdim)
        self.bands = band_names(bands, sensor)
        self.wanted = band_names(wanted, sensor)
        self._channels = band_index(self.bands, self.wanted)
        self.flags = {'bands': self.bands, 'wanted': self.wanted}

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        """Wanted bands of the images.

        Raises:
            ValueError: If the image has not one channel for each of its bands.
        """
        return _pick(input, self._channels, self.bands)


class SemanticGroups(ImageTransform):
    r"""Three-band groups of an image, each on its own index of a new axis.

    A group that the bands cannot form is skipped and listed in :attr:`skipped`; B09 stands in
    for B10 where the image has no B10. Any dtype is kept.

    See :class:`~torchgeo_saco.transforms.base.ImageTransform` for the Kornia containers it works
    in. Kornia's own transforms do not know a group axis: put them before this one, or set
    *flatten*. :class:`torchgeo.tasks.MoCo` counts the channels of the batch before it augments
    it, so there this transform belongs in the ``aug`` of the datamodule, with *flatten* and
    ``MoCo(in_channels=3 * len(groups))``; in MoCo's own augmentations it works where that
    product is also the number of bands.

    Attributes:
        bands: Bands of the image.
        groups: Groups formed, in the order of the output.
        skipped: Groups that are skipped, with the reason.

    Shape:
        - Input: :math:`(\ldots, C, H, W)`, one channel for each of *bands*
        - Output: :math:`(\ldots, G, 3, H, W)`, or :math:`(\ldots, 3 G, H, W)` with *flatten*

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024, band combinations.

    Example:
        >>> import torch
        >>> groups = SemanticGroups(['B02', 'B03', 'B04', 'B08', 'B11', 'B12'])
        >>> groups(torch.zeros(2, 6, 8, 8)).shape
        torch.Size([2, 3, 3, 8, 8])
        >>> [group.name for group in groups.groups]
        ['natural_color', 'near_infrared', 'urban']
        >>> groups.skipped[0]
        SkippedGroup(name='agriculture', reason='the image lacks B8A')
    """

    def __init__(
        self,
        bands: Sequence[str],
        groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        sensor: str | Sensor = SENTINEL2_L1C,
        flatten: bool = False,
        keepdim: bool = True,
    ) -> None:
        """Initialize a new SemanticGroups.

        Args:
            bands: Bands of the image, in its order and in any spelling.
            groups: Names of published groups, a mapping from names of your own to three bands
                each, or None for all published groups of the sensor.
            sensor: Sensor that has the bands, by object or by its name in
                :data:`~torchgeo_saco.bands.SENSORS`.
            flatten: Whether groups and bands share one channel axis, group by group.
            keepdim: See :class:`~torchgeo_saco.transforms.base.ImageTransform`.

        Raises:
            ValueError: If a band or group is unknown or listed twice, a group has not three
                bands, or no group can be formed.
        """
        super().__init__(keepdim)
        self.bands = band_names(bands, sensor)
        self.groups, self.skipped = available_groups(self.bands, groups, sensor)
        self.flatten = flatten
        self._channels = [
            channel for group in self.groups for channel in band_index(self.bands, group.bands)
        ]
        names = tuple(group.name for group in self.groups)
        self.flags = {'bands': self.bands, 'groups': names, 'flatten': flatten}

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        """Groups of the images.

        Raises:
            ValueError: If the image has not one channel for each of its bands.
        """
        picked = _pick(input, self._channels, self.bands)
        return picked if self.flatten else picked.unflatten(-3, (len(self.groups), 3))
