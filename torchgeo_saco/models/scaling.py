# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Input scaling that published weights were trained with."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models._api import WeightsEnum
from torchvision.transforms.v2 import Normalize

from ..transforms.reflectance import UNITS, Reflectance

# SeCo, datasets/seco_dataset.py, QUANTILES: 2nd and 98th percentile of 8-bit B04, B03, B02.
# TorchGeo 0.10 has them in reverse order, and its transform multiplies by 255 once too often.
_SECO_LOW = torch.tensor([0, 2, 3], dtype=torch.uint8)
_SECO_HIGH = torch.tensor([129, 103, 88], dtype=torch.uint8)
_IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406])
_IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225])


class WeightScaling(nn.Module):
    """Affine scaling of reflectance: ``(clip(image) - mean) / std``, band by band.

    Shape:
        - Input: reflectance, :math:`(..., C, H, W)`
        - Output: same shape
    """

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        low: Sequence[float] = (float('-inf'),),
        high: Sequence[float] = (float('inf'),),
    ) -> None:
        """Initialize a new WeightScaling instance.

        Args:
            mean: Reflectance that becomes 0, per band or one for all.
            std: How much more becomes 1.
            low: Reflectance below which all is taken as equal.
            high: Reflectance above which all is taken as equal.
        """
        super().__init__()
        for name, values in (('mean', mean), ('std', std), ('low', low), ('high', high)):
            numbers = torch.tensor(values, dtype=torch.float32)
            self.register_buffer(name, numbers[:, None, None], persistent=False)

    def arguments(self) -> dict[str, list[float]]:
        """Arguments that make an equal scaling, as plain numbers."""
        names = ('mean', 'std', 'low', 'high')
        return {name: getattr(self, name).flatten().tolist() for name in names}

    def forward(self, image: Tensor) -> Tensor:
        """Scaled image."""
        return (image.clamp(self.low, self.high) - self.mean) / self.std


def seco_scaling() -> WeightScaling:
    """Scaling of reflectance in B04, B03 and B02 that SeCo and CACo train with."""
    reflectance = Reflectance()
    low, high = reflectance(_SECO_LOW), reflectance(_SECO_HIGH)
    mean, std = low + _IMAGENET_MEAN * (high - low), _IMAGENET_STD * (high - low)
    return WeightScaling(mean.tolist(), std.tolist(), low.tolist(), high.tolist())


def weight_scaling(weights: WeightsEnum) -> WeightScaling | None:
    """Scaling of reflectance that the weights were trained with.

    Args:
        weights: Weights of TorchGeo or of this package.

    Returns:
        The scaling, or None where it is not one of reflectance: the images are then to be
        standardized by their own statistics.
    """
    if 'encoder' in weights.meta:
        scaling = weights.meta['encoder']['scaling']
        return None if scaling is None else WeightScaling(**scaling)
    if weights.name == 'SENTINEL2_RGB_SECO':
        return seco_scaling()
    steps = [step for step in weights.transforms.modules() if isinstance(step, Normalize)]
    # Digital numbers of Sentinel-2 spread by hundreds and are divided by 10000 or by their
    # standard deviations; 255 and 8160 tell stretched 8-bit images, which are no reflectance.
    if len(steps) != 1 or max(steps[0].std) <= 255 or 255 in steps[0].std or 8160 in steps[0].std:
        return None
    reflectance = Reflectance(UNITS[torch.uint16])
    mean, std = (
        reflectance(torch.tensor(values)).tolist() for values in (steps[0].mean, steps[0].std)
    )
    return WeightScaling(mean, std)
