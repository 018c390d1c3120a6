# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Images that a backbone sees: groups of three bands and their textures, or bands as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..bands import band_index, band_names, known_sensor
from ..transforms import LocalBinaryPattern, SelectBands, SemanticGroups
from .scaling import WeightScaling


class GroupInputs(nn.Module):
    """Standardized three-channel images of the groups of a multispectral image.

    Spectral groups come first, then textures: the local binary patterns of the same groups.
    Every channel is standardized as by BatchNorm, since reflectance spreads by hundredths and
    codes by tenths, and one backbone sees both.

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
        scaling: WeightScaling | None = None,
    ) -> None:
        """Initialize a new GroupInputs instance.

        Args:
            bands: Names of the channels of the image.
            groups: Groups by published name, a mapping from names to three bands, or None for
                all published groups. Those that the bands cannot form are skipped.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
            texture: Whether textures are added, or the groups that get one.
            texture_points: Neighbours on the circle of the local binary pattern.
            texture_radius: Its radius, in pixels.
            compile: Whether textures are computed by compiled code, see
                :class:`~torchgeo_saco.transforms.LocalBinaryPattern`.
            scaling: Scaling of all channels that the weights were trained with, or None to
                standardize each.

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
        self.standardize: nn.Module = (
            nn.BatchNorm2d(3 * len(self.names), eps=1e-6, affine=False)
            if scaling is None
            else scaling
        )

    @property
    def channels(self) -> dict[str, tuple[str, ...]]:
        """Bands of each group, spectral and textured, by name."""
        spectral = {group.name: tuple(group.bands) for group in self.spectral.groups}
        return spectral | {f'{name}_texture': spectral[name] for name in self.textured}

    def report(self) -> list[str]:
        """Say which groups the encoder sees, and which are skipped."""
        skipped = [f'skipped: group {g.name}, since {g.reason}' for g in self.spectral.skipped]
        return [f'groups: {", ".join(self.names)}', *skipped]

    def unnormalized(self, image: Tensor) -> Tensor:
        """Form the groups: reflectance, and texture codes from 0 to 1."""
        if not self.textured:
            return self.spectral(image)
        textures = self.texture(self._textured_bands(image)).to(image.dtype)
        planes = [*image.unbind(1), *textures.unbind(1)]
        groups = torch.stack([planes[number] for number in self._planes], dim=1)
        return rearrange(groups, 'b (g c) h w -> b g c h w', c=3)

    def forward(self, image: Tensor) -> Tensor:
        """Form the standardized groups of an image."""
        groups = rearrange(self.unnormalized(image), 'b g c h w -> b (g c) h w')
        return rearrange(self.standardize(groups), 'b (g c) h w -> b g c h w', c=3)


class BandInputs(nn.Module):
    """Bands that a backbone takes at once, as one scaled image in place of groups.

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
            wanted: Bands that the backbone takes, in its order.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
            scaling: Scaling that the weights were trained with, or None to standardize as
                :class:`GroupInputs` does.

        Raises:
            ValueError: If the image lacks a band.
        """
        super().__init__()
        self.select = SelectBands(bands, wanted, sensor)
        #: Bands that the backbone takes.
        self.bands = band_names(wanted, known_sensor(sensor))
        #: Names of the groups in the order of the output.
        self.names = ['bands']
        self.standardize: nn.Module = (
            nn.BatchNorm2d(len(wanted), eps=1e-6, affine=False) if scaling is None else scaling
        )

    @property
    def channels(self) -> dict[str, tuple[str, ...]]:
        """Bands of the one image."""
        return {'bands': self.bands}

    def report(self) -> list[str]:
        """Say which bands the encoder sees."""
        return [f'one image of the bands {", ".join(self.bands)}']

    def unnormalized(self, image: Tensor) -> Tensor:
        """Select the bands, (B, 1, C', H, W)."""
        return self.select(image)[:, None]

    def forward(self, image: Tensor) -> Tensor:
        """Select and scale the bands."""
        return self.standardize(self.unnormalized(image)[:, 0])[:, None]


def encoder_inputs(
    bands: Sequence[str], sensor: str, arguments: Mapping[str, Any]
) -> GroupInputs | BandInputs:
    """Make the inputs of a backbone from the arguments of a task.

    Args:
        bands: Names of the channels of the image.
        sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
        arguments: ``groups``, ``texture``, ``texture_points``, ``texture_radius`` and, if there is
            one, ``compile`` and ``texture_histograms``; or ``input_bands``, the bands of one image
            in place of groups.

    Returns:
        The module.

    Raises:
        ValueError: If the bands cannot form it.
    """
    if arguments['input_bands'] is not None:
        return BandInputs(bands, arguments['input_bands'], sensor)
    names = ('groups', 'texture', 'texture_points', 'texture_radius')
    options = {name: arguments[name] for name in names}
    if arguments.get('texture_histograms'):
        # They are no images.
        options['texture'] = False
    return GroupInputs(bands, sensor=sensor, compile=arguments.get('compile', False), **options)


def matching_inputs(
    bands: Sequence[str],
    sensor: str,
    arguments: Mapping[str, Any],
    trained: GroupInputs | BandInputs | None,
) -> GroupInputs | BandInputs:
    """Make the inputs as :func:`encoder_inputs`, with the statistics of trained ones.

    Args:
        bands: Names of the channels of the image.
        sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
        arguments: See :func:`encoder_inputs`.
        trained: Inputs that the encoder was trained on, or None.

    Returns:
        The module.

    Raises:
        ValueError: If the bands cannot form it, or form other groups than were trained.
    """
    inputs = encoder_inputs(bands, sensor, arguments)
    if trained is None:
        return inputs
    if trained.channels != inputs.channels:
        differ = [
            f'{name} ({" ".join(of)})'
            for name, of in trained.channels.items()
            if inputs.channels.get(name) != of
        ]
        needed = sorted({band for of in trained.channels.values() for band in of})
        raise ValueError(
            f'the bands {", ".join(bands)} cannot form the groups that the encoder was trained '
            f'on: {", ".join(differ)}; read the bands {", ".join(needed)}'
        )
    inputs.load_state_dict(trained.state_dict())
    return inputs
