# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoder of band groups: one three-channel backbone looks at every group."""

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from ..transforms import LocalBinaryPattern, SemanticGroups


class GroupImages(nn.Module):
    """Three-channel images of the groups of a multispectral image, standardised.

    First the spectral groups, then the textures: the local binary patterns of the same
    groups. Every channel is standardised, by the statistics of the batch in training and by
    running ones in evaluation, as BatchNorm does: reflectances spread by hundredths and codes
    by tenths, and all share one backbone call.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, G, 3, H, W)`
    """

    def __init__(
        self,
        bands: Sequence[str],
        groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        sensor: str = 'sentinel2_l1c',
        texture: bool | Sequence[str] = True,
        texture_points: int = 16,
        texture_radius: float = 2.0,
    ) -> None:
        """Initialize a new GroupImages instance.

        Args:
            bands: Names of the channels of the image.
            groups: Groups by published name, a mapping from names to three bands, or None for
                all published groups. Those that the bands cannot form are left out.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
            texture: Whether textures are added, or the groups that get one.
            texture_points: Neighbours on the circle of the local binary pattern.
            texture_radius: Its radius, in pixels.

        Raises:
            ValueError: If no group can be formed, or a texture is asked of an unknown group.
        """
        super().__init__()
        self.spectral = SemanticGroups(bands, groups, sensor)
        formed = [group.name for group in self.spectral.groups]
        omitted = [group.name for group in self.spectral.omitted]
        if isinstance(texture, str):
            raise ValueError(f'texture must be true, false or a list of groups, got {texture!r}')
        textured = formed if texture is True else [] if texture is False else list(texture)
        unknown = [name for name in textured if name not in formed + omitted]
        if unknown:
            raise ValueError(
                f'texture is asked of {", ".join(unknown)}, which is no group here; '
                f'the groups are {", ".join(formed)}. Name some of them, or set texture to true'
            )
        self.textured = [name for name in textured if name in formed]
        self._textured_index = [formed.index(name) for name in self.textured]
        #: Names of the groups in the order of the output.
        self.names = formed + [f'{name}_texture' for name in self.textured]
        self.texture = LocalBinaryPattern(texture_points, texture_radius, normalize=True)
        self.standardize = nn.BatchNorm2d(3 * len(self.names), eps=1e-6, affine=False)

    def raw(self, image: Tensor) -> Tensor:
        """Groups before standardisation: reflectance, and codes from 0 to 1."""
        groups = self.spectral(image)
        if self.textured:
            textures = self.texture(groups[:, self._textured_index])
            groups = torch.cat([groups, textures.to(groups.dtype)], dim=1)
        return groups

    def forward(self, image: Tensor) -> Tensor:
        """Standardised groups of an image."""
        groups = rearrange(self.raw(image), 'b g c h w -> b (g c) h w')
        return rearrange(self.standardize(groups), 'b (g c) h w -> b g c h w', c=3)


def group_features(backbone: nn.Module, groups: Tensor) -> Tensor:
    """Features of every group, in one call of the backbone.

    Args:
        backbone: Maps (N, 3, H, W) to (N, D).
        groups: Three-channel images, (B, G, 3, H, W).

    Returns:
        Features, (B, G, D). The cluster of an image is their mean over G.
    """
    images = rearrange(groups, 'b g c h w -> (b g) c h w')
    features = backbone(images.contiguous(memory_format=torch.channels_last))
    return rearrange(features, '(b g) d -> b g d', b=groups.shape[0])


class GroupEncoder(nn.Module):
    """Band groups, shared backbone and fusion by mean, as one module.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, D)`

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    def __init__(self, images: GroupImages, backbone: nn.Module) -> None:
        """Initialize a new GroupEncoder instance.

        Args:
            images: Makes the three-channel images of the groups.
            backbone: Maps (N, 3, H, W) to (N, D), such as a timm model without classes.
        """
        super().__init__()
        self.images = images
        self.backbone = backbone

    def per_group(self, image: Tensor) -> Tensor:
        """Features of every group, (B, G, D)."""
        return group_features(self.backbone, self.images(image))

    def forward(self, image: Tensor) -> Tensor:
        """Cluster of the groups, (B, D)."""
        return self.per_group(image).mean(1)
