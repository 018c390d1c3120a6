# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Backscatter from stored numbers, on the device."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torchgeo.transforms.sar import lee_filter

from ..runtime.checks import check_choice, check_range
from .reflectance import UNIT_RANGE

Scaling = Literal['fixed', 'maximum']

#: Stored number of 1 dB by type: floats hold dB, 16-bit integers dB x 100.
_UNITS = {torch.int16: 100.0, torch.int32: 100.0}

# Range of backscatter over land in the code of Dual-SimCLR, in dB.
_LEAST, _LARGEST = -25.0, 0.0

# Looks of ground-range products of Sentinel-1 in interferometric wide swath mode,
# https://sentiwiki.copernicus.eu/web/s1-products
_LOOKS = 4.4
_WINDOW = 7

# Keeps channels without any signal at 0.
_EPS = 1e-5


class Backscatter(nn.Module):
    """Backscatter scaled to 0-1 (float32) from stored dB: -25 dB is 0, 0 dB is 1.

    What lies beyond is clipped. NaN stays NaN, which a training refuses, unless it is filled.

    Shape:
        - Input: :math:`(..., C, H, W)`
        - Output: the same

    References:
        Scheibenreif et al., 2022, https://doi.org/10.5194/isprs-annals-V-3-2022-705-2022
    """

    #: Added to stored numbers, as of Reflectance.
    offset = 0.0

    def __init__(
        self,
        unit: float | None = None,
        scaling: Scaling = 'fixed',
        speckle_filter: bool = False,
        fill_nan: bool = False,
    ) -> None:
        """Initialize a new Backscatter instance.

        Args:
            unit: Stored number of 1 dB, or None to take it from the type: 1 for floats, 100 for
                16- and 32-bit integers.
            scaling: ``fixed``, or ``maximum`` to divide every channel of an image by its largest
                value after that, as the original code does, which loses how much an image
                scatters in all.
            speckle_filter: Whether speckle is filtered before, by the Lee filter of TorchGeo over
                7 x 7 pixels.
            fill_nan: Whether NaN, as beyond the border of a swath, counts as -25 dB.

        Raises:
            ValueError: If *unit* is out of range, or *scaling* is unknown.
        """
        super().__init__()
        self.unit = check_range('unit', unit, UNIT_RANGE)
        self.scaling = check_choice('scaling', scaling, get_args(Scaling))
        self.speckle_filter = speckle_filter
        self.fill_nan = fill_nan

    def forward(self, image: Tensor) -> Tensor:
        """Scale images.

        Args:
            image: Stored numbers, (..., C, H, W).

        Returns:
            Backscatter, float32, same shape.
        """
        unit = _UNITS.get(image.dtype, 1.0) if self.unit is None else self.unit
        decibel = image.to(torch.float32) / unit
        if self.fill_nan:
            decibel = decibel.nan_to_num(_LEAST)
        if self.speckle_filter:
            power = 10 ** (decibel.reshape(-1, *decibel.shape[-3:]) / 10)
            # Rounding may leave no power at all.
            filtered = lee_filter(power, _WINDOW, _LOOKS).clamp_min(1e-10)
            decibel = (10 * filtered.log10()).view(decibel.shape)
        scaled = ((decibel - _LEAST) / (_LARGEST - _LEAST)).clamp(0, 1)
        return scale_by_maximum(scaled) if self.scaling == 'maximum' else scaled


def scale_by_maximum(image: Tensor) -> Tensor:
    """Clip images to 0-1, and divide every channel of every image by its largest value.

    Args:
        image: Images, (..., C, H, W).

    Returns:
        Images whose channels reach 1, or are 0.
    """
    image = image.clamp(0, 1)
    return image / (image.amax((-2, -1), keepdim=True) + _EPS)


def require_decibel(path: str, image: Tensor) -> None:
    """Refuse backscatter that is plainly not in dB.

    Args:
        path: What holds it, for the message.
        image: Stored numbers of an image.

    Raises:
        ValueError: If there are numbers above 0, but none below, as of a ratio of powers.
    """
    finite = image[torch.isfinite(image.float())]
    if len(finite) and finite.min() >= 0 and finite.max() > 0:
        raise ValueError(
            f'{path} holds numbers from {finite.min():g} to {finite.max():g}, which are no '
            'backscatter in dB; convert ratios of powers by 10 log10'
        )
