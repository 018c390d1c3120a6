# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reflectance from stored numbers, on the device."""

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.checks import check_range

#: Digital number of reflectance 1 by type: SeCo stores it x 255, Copernicus products x 10000.
UNITS = {torch.uint8: 255.0, torch.uint16: 10000.0, torch.int16: 10000.0, torch.int32: 10000.0}

# Stored numbers have at most 32 bits, of which float32 keeps 24; beyond these all pixels are one.
UNIT_RANGE, _OFFSET_RANGE = '[0.001, 1e9] or None', '[-1e7, 1e7]'


class Reflectance(nn.Module):
    """Reflectance (0-1, float32) from stored numbers: ``(dn + offset) / unit``.

    This is the only place that divides by 255 or 10000. Values above 1, as of bright cloud,
    and below 0 are kept.
    """

    def __init__(self, unit: float | None = None, offset: float = 0.0) -> None:
        """Initialize a new Reflectance instance.

        Args:
            unit: Digital number of reflectance 1, or None to take it from the type: 255 for
                8-bit, 10000 for 16- and 32-bit integers, 1 for floats.
            offset: Added to stored numbers: -1000 for Sentinel-2 L2A since baseline 04.00,
                unless the provider has undone it.

        Raises:
            ValueError: If *unit* or *offset* is out of range.
        """
        super().__init__()
        self.unit = check_range('unit', unit, UNIT_RANGE)
        self.offset = check_range('offset', offset, _OFFSET_RANGE)

    def unit_of(self, dtype: np.dtype) -> float:
        """Digital number of reflectance 1 in images of a type.

        Args:
            dtype: Type of the stored numbers.
        """
        if self.unit is not None:
            return self.unit
        return UNITS.get(torch.from_numpy(np.empty(0, dtype)).dtype, 1.0)

    def forward(self, image: Tensor) -> Tensor:
        """Reflectance of an image.

        Args:
            image: Stored numbers, any shape.

        Returns:
            Reflectance, float32, same shape.

        Raises:
            ValueError: If they are complex or truth values.
        """
        if image.dtype.is_complex or image.dtype == torch.bool:
            raise ValueError(
                f'images hold {str(image.dtype).removeprefix("torch.")}, which is no number to '
                'take reflectance of; convert them to integers or floats'
            )
        unit = UNITS.get(image.dtype, 1.0) if self.unit is None else self.unit
        # One copy, for a batch is large; never the image of the caller.
        numbers = image.to(torch.float32, copy=True)
        if self.offset:
            numbers += self.offset
        return numbers.div_(unit)


def require_reflectance(path: str, largest: float) -> None:
    """Refuse floats without a unit that are plainly no reflectance.

    Args:
        path: What holds them, for the message.
        largest: Largest of them.

    Raises:
        ValueError: If it is above 20.
    """
    if largest > 20:
        raise ValueError(
            f'{path} holds floats up to {largest:g}, which is no reflectance; set unit to the '
            'number stored for reflectance 1, such as 10000'
        )
