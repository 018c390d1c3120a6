# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of texture from histograms of codes, in place of images of codes."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..bands import band_index
from ..transforms import SelectBands, lbp_histogram
from .inputs import BandInputs, GroupInputs

# Width of the hidden layer.
_HIDDEN = 256


class TextureFeatures(nn.Module):
    """Features of the textures of groups: histograms of their codes through a perceptron.

    Codes of local binary patterns are categories, which a backbone for images sees as grey values.
    Counted, they are what SACo+ itself classifies by: the frequencies of all codes of the three
    bands of a group, (B, 3 (points + 2)), whose square roots a perceptron that all groups share
    maps to features as long as those of the backbone (ours).

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, T, D)`
    """

    def __init__(
        self,
        bands: Sequence[str],
        groups: Mapping[str, Sequence[str]],
        width: int,
        sensor: str = 'sentinel2_l1c',
        points: int = 16,
        radius: float = 2.0,
        compile: bool = False,
    ) -> None:
        """Initialize a new TextureFeatures instance.

        Args:
            bands: Names of the channels of the image.
            groups: Three bands of each group with a texture, by name.
            width: Length of a feature.
            sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
            points: Neighbours on the circle of the local binary pattern.
            radius: Its radius, in pixels.
            compile: Whether codes are computed by compiled code.
        """
        super().__init__()
        self.groups = {name: tuple(of) for name, of in groups.items()}
        #: Names of the textures in the order of the output.
        self.names = [f'{name}_texture' for name in groups]
        chosen = [band for of in groups.values() for band in of]
        # Groups share bands, and codes take long: each band is coded once.
        distinct = list(dict.fromkeys(chosen))
        self._select = SelectBands(bands, distinct, sensor)
        self._numbers = band_index(distinct, chosen)
        self.points, self.radius, self.compile_codes = points, radius, compile
        count = 3 * (points + 2)
        self.standardize = nn.BatchNorm1d(count, affine=False)
        self.perceptron = nn.Sequential(
            nn.Linear(count, _HIDDEN, bias=False),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(_HIDDEN, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
        )

    def forward(self, image: Tensor, chosen: Sequence[int] | None = None) -> Tensor:
        """Compute the features.

        Args:
            image: Reflectance, (B, C, H, W).
            chosen: Numbers of the textures to compute, or None for all.

        Returns:
            Features, (B, T, D).
        """
        histograms = lbp_histogram(
            self._select(image), self.points, self.radius, self.compile_codes
        )
        # Roots spread the rare and the common codes alike (Hellinger distance).
        groups = histograms.sqrt()[:, self._numbers].unflatten(1, (-1, 3)).flatten(2)
        groups = groups if chosen is None else groups[:, list(chosen)]
        features: Tensor = self.perceptron(self.standardize(groups.flatten(0, 1)))
        return features.unflatten(0, groups.shape[:2])


def texture_features(
    bands: Sequence[str],
    sensor: str,
    arguments: Mapping[str, Any],
    inputs: GroupInputs | BandInputs | None,
    width: int,
) -> TextureFeatures | None:
    """Make the features of textures from the arguments of a task.

    Args:
        bands: Names of the channels of the image.
        sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
        arguments: ``texture_histograms``, ``groups``, ``texture``, ``texture_points``,
            ``texture_radius`` and ``compile``.
        inputs: Inputs that the bands form.
        width: Length of a feature.

    Returns:
        The module, or None where textures are images or there are none.

    Raises:
        ValueError: If a texture is asked of an unknown group, or of bands that form no groups.
    """
    if not arguments['texture_histograms']:
        return None
    if not isinstance(inputs, GroupInputs):
        raise ValueError('texture_histograms are of groups; leave out input_bands')
    points, radius = arguments['texture_points'], arguments['texture_radius']
    # Refuses textures of unknown groups.
    names = GroupInputs(
        bands, arguments['groups'], sensor, arguments['texture'], points, radius
    ).textured
    groups = {name: inputs.channels[name] for name in names}
    if not groups:
        return None
    return TextureFeatures(bands, groups, width, sensor, points, radius, arguments['compile'])
