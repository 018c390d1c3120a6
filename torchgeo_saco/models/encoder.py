# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoder of band groups: one backbone looks at every group."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from ..bands import band_index, band_names, known_sensor
from ..transforms import LocalBinaryPattern, SelectBands, SemanticGroups
from .features import group_features, group_maps
from .scaling import WeightScaling

Fusion = Literal['mean', 'concat', 'learned']


class GroupInputs(nn.Module):
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
        compile: bool = False,
    ) -> None:
        """Initialize a new GroupInputs instance.

        Args:
            bands: Names of the channels of the image.
            groups: Groups by published name, a mapping from names to three bands, or None for
                all published groups. Those that the bands cannot form are left out.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
            texture: Whether textures are added, or the groups that get one.
            texture_points: Neighbours on the circle of the local binary pattern.
            texture_radius: Its radius, in pixels.
            compile: Whether textures are computed by compiled code, see
                :class:`~torchgeo_saco.transforms.LocalBinaryPattern`.

        Raises:
            ValueError: If no group can be formed, or a texture is asked of an unknown group.
        """
        super().__init__()
        self.spectral = SemanticGroups(bands, groups, sensor)
        formed = [group.name for group in self.spectral.groups]
        skipped = [group.name for group in self.spectral.skipped]
        if isinstance(texture, str):
            raise ValueError(f'texture must be true, false or a list of groups, got {texture!r}')
        textured = formed if texture is True else [] if texture is False else list(texture)
        unknown = [name for name in textured if name not in formed + skipped]
        if unknown:
            raise ValueError(
                f'texture is asked of {", ".join(unknown)}, which is no group here; '
                f'the groups are {", ".join(formed)}. Name some of them, or set texture to true'
            )
        self.textured = [name for name in textured if name in formed]
        spectral = {group.name: group.bands for group in self.spectral.groups}
        chosen = [band for name in self.textured for band in spectral[name]]
        # Groups share bands, and a texture takes long: each band has one.
        distinct = [band for band in self.spectral.bands if band in chosen]
        self._textured_bands = SelectBands(bands, distinct or bands, sensor)
        # Planes of the output by number: bands of the image, then textures.
        self._planes = band_index(self.spectral.bands, [b for of in spectral.values() for b in of])
        self._planes += [len(self.spectral.bands) + n for n in band_index(distinct, chosen)]
        #: Names of the groups in the order of the output.
        self.names = formed + [f'{name}_texture' for name in self.textured]
        self.texture = LocalBinaryPattern(
            texture_points, texture_radius, normalize=True, compile=compile
        )
        self.standardize = nn.BatchNorm2d(3 * len(self.names), eps=1e-6, affine=False)

    @property
    def channels(self) -> dict[str, tuple[str, ...]]:
        """Bands of each group, spectral and textured, by name."""
        spectral = {group.name: tuple(group.bands) for group in self.spectral.groups}
        return spectral | {f'{name}_texture': spectral[name] for name in self.textured}

    def unnormalized(self, image: Tensor) -> Tensor:
        """Groups before standardisation: reflectance, and codes from 0 to 1."""
        if not self.textured:
            return self.spectral(image)
        textures = self.texture(self._textured_bands(image)).to(image.dtype)
        planes = [*image.unbind(1), *textures.unbind(1)]
        groups = torch.stack([planes[number] for number in self._planes], dim=1)
        return rearrange(groups, 'b (g c) h w -> b g c h w', c=3)

    def forward(self, image: Tensor) -> Tensor:
        """Standardised groups of an image."""
        groups = rearrange(self.unnormalized(image), 'b g c h w -> b (g c) h w')
        return rearrange(self.standardize(groups), 'b (g c) h w -> b g c h w', c=3)


class BandInputs(nn.Module):
    """All bands that weights were trained on as one image, scaled as they were.

    Stands in for :class:`GroupInputs` where a backbone takes other than groups.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, 1, C', H, W)`
    """

    #: Groups with a texture.
    textured: Sequence[str] = ()

    def __init__(
        self,
        bands: Sequence[str],
        wanted: Sequence[str],
        sensor: str = 'sentinel2_l1c',
        scaling: WeightScaling | None = None,
    ) -> None:
        """Initialize a new BandInputs instance.

        Args:
            bands: Names of the channels of the image.
            wanted: Names of the channels of the backbone, in its order.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
            scaling: Scaling the weights were trained with, or None to standardise as
                :class:`GroupInputs` does.

        Raises:
            ValueError: If the image lacks a band.
        """
        super().__init__()
        self.select = SelectBands(bands, wanted, sensor)
        #: Names of its channels.
        self.inputs = band_names(wanted, known_sensor(sensor))
        #: Names of the groups in the order of the output.
        self.names = ['bands']
        self.standardize: nn.Module = (
            nn.BatchNorm2d(len(wanted), eps=1e-6, affine=False) if scaling is None else scaling
        )

    @property
    def channels(self) -> dict[str, tuple[str, ...]]:
        """Bands of the one image."""
        return {'bands': self.inputs}

    def unnormalized(self, image: Tensor) -> Tensor:
        """Bands before scaling, (B, 1, C', H, W)."""
        return self.select(image)[:, None]

    def forward(self, image: Tensor) -> Tensor:
        """Scaled bands of an image."""
        return self.standardize(self.unnormalized(image)[:, 0])[:, None]


def encoder_inputs(
    bands: Sequence[str], sensor: str, arguments: Mapping[str, Any]
) -> GroupInputs | BandInputs:
    """What the backbone is shown, by the arguments of a task.

    Args:
        bands: Names of the channels of the image.
        sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
        arguments: ``groups``, ``texture``, ``texture_points``, ``texture_radius`` and, if there is
            one, ``compile``; or ``inputs``, the bands of one image in place of groups.

    Returns:
        The module.

    Raises:
        ValueError: If the bands cannot form it.
    """
    if arguments['inputs'] is not None:
        return BandInputs(bands, arguments['inputs'], sensor)
    names = ('groups', 'texture', 'texture_points', 'texture_radius')
    options = {name: arguments[name] for name in names}
    return GroupInputs(bands, sensor=sensor, compile=arguments.get('compile', False), **options)


class GroupFusion(nn.Module):
    """One feature from those of all groups: their mean, all of them, or a learned mean.

    Shape:
        - Input: :math:`(B, G, C, ...)`
        - Output: :math:`(B, C, ...)`, or :math:`(B, G C, ...)` for ``concat``
    """

    def __init__(self, fusion: Fusion, groups: int) -> None:
        """Initialize a new GroupFusion instance.

        Args:
            fusion: ``mean``, ``concat``, or ``learned``: weights that start equal and sum to 1.
            groups: Number of groups.

        Raises:
            ValueError: If *fusion* is unknown.
        """
        super().__init__()
        if fusion not in ('mean', 'concat', 'learned'):
            raise ValueError(f"fusion must be 'mean', 'concat' or 'learned', got {fusion!r}")
        self.fusion = fusion
        #: How many features one of a group becomes.
        self.widening = groups if fusion == 'concat' else 1
        self.weight = nn.Parameter(torch.zeros(groups)) if fusion == 'learned' else None

    def forward(self, features: Tensor) -> Tensor:
        """Fused features."""
        if self.weight is not None:
            return torch.einsum('bg...,g->b...', features, self.weight.softmax(0))
        return features.flatten(1, 2) if self.fusion == 'concat' else features.mean(1)


class Encoder(nn.Module):
    """Band groups and shared backbone as one module.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, D)`, the cluster: the mean over groups

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    def __init__(self, inputs: GroupInputs | BandInputs, backbone: nn.Module) -> None:
        """Initialize a new Encoder instance.

        Args:
            inputs: Makes the images of the groups.
            backbone: Maps (N, 3, H, W) to (N, D), such as a timm model without classes.
        """
        super().__init__()
        self.inputs = inputs
        self.backbone = backbone

    @property
    def num_features(self) -> int:
        """Length of the feature of a group."""
        return int(self.backbone.num_features)  # type: ignore[arg-type]

    @property
    def map_channels(self) -> list[int]:
        """Channels of the feature maps, from fine to coarse."""
        info: Sequence[Mapping[str, int]] = self.backbone.feature_info  # type: ignore[assignment]
        return [level['num_chs'] for level in info]

    def forward_groups(self, image: Tensor) -> Tensor:
        """Features of every group, (B, G, D)."""
        return group_features(self.backbone, self.inputs(image))

    def forward_maps(self, image: Tensor) -> list[Tensor]:
        """Feature maps of every group from fine to coarse, each (B, G, C, h, w)."""
        return group_maps(self.backbone, self.inputs(image))

    def forward(self, image: Tensor) -> Tensor:
        """Cluster of the groups, (B, D)."""
        return self.forward_groups(image).mean(1)


@torch.no_grad()
def fit_input_statistics(
    encoder: Encoder, images: Callable[[], Iterable[Tensor]], backbone: bool = False
) -> None:
    """Take the statistics that standardise the groups from images; nothing else changes.

    They are exact, whatever the batches. Those of a backbone are means over batches.

    Args:
        encoder: The encoder. One whose weights bring their own scaling keeps it.
        images: Makes an iterator over batches of reflectance, (B, C, H, W).
        backbone: Whether the BatchNorm layers of the backbone are statistics_fitted too, as one with
            random weights needs, whose statistics are those of no image.
    """
    standardize = encoder.inputs.standardize
    if isinstance(standardize, nn.BatchNorm2d):
        mean, variance = _moments(
            encoder.inputs.unnormalized(batch).flatten(1, 2) for batch in images()
        )
        standardize.running_mean = mean.to(standardize.running_mean)
        standardize.running_var = variance.to(standardize.running_var)
    if not backbone:
        return
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    layers = [layer for layer in encoder.backbone.modules() if isinstance(layer, norms)]
    training = {module: module.training for module in encoder.modules()}
    momentum = {layer: layer.momentum for layer in layers}
    encoder.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over batches
        layer.train()
    for batch in images():
        encoder(batch)
    for layer, kept in momentum.items():
        layer.momentum = kept
    for module, mode in training.items():
        module.training = mode


def _moments(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance of every channel over all batches, (C), float64."""
    count: int = 0
    total: Any = 0
    squares: Any = 0
    for batch in batches:
        values = batch.double()
        count += values.numel() // values.shape[1]
        total = total + values.sum((0, 2, 3))
        squares = squares + values.square().sum((0, 2, 3))
    mean = total / count
    return mean, (squares / count - mean.square()).clamp_min(0)
