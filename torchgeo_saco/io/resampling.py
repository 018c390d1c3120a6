# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Coarse bands on a finer grid, exact in whole numbers."""

import numpy as np

#: Types and methods for which :func:`enlarged` is made.
EXACT_KINDS = ('uint8', 'uint16')
EXACT_METHODS = ('nearest', 'bilinear')


def enlarged(image: np.ndarray, shape: tuple[int, int], method: str = 'bilinear') -> np.ndarray:
    """A band on a grid that is finer by a whole number.

    Bilinear values are quotients of whole numbers, rounded to the nearest one and halves up: what
    GDAL gives, in a fraction of its time.

    Args:
        image: Array of shape (height, width), uint8 or uint16.
        shape: Height and width wanted, the same whole multiple of both, at most 6.
        method: ``nearest`` or ``bilinear``. At the edge, bilinear takes the outermost pixel for
            what lies beyond.

    Returns:
        Array of *shape*, in the type of the image.

    Raises:
        ValueError: If *shape* or *method* is another.

    Example:
        >>> enlarged(np.array([[0, 4]], 'uint8'), (2, 4))
        array([[0, 1, 3, 4],
               [0, 1, 3, 4]], dtype=uint8)
    """
    ratio = shape[0] // max(image.shape[0], 1)
    if tuple(shape) != (image.shape[0] * ratio, image.shape[1] * ratio) or not 1 <= ratio <= 6:
        raise ValueError(f'{image.shape} pixels cannot be enlarged to {shape}')
    if method not in EXACT_METHODS or image.dtype not in EXACT_KINDS:
        raise ValueError(f'{image.dtype} is not enlarged by {method} here')
    if ratio == 1:
        return image
    if method == 'nearest':
        return image.repeat(ratio, 0).repeat(ratio, 1)
    # Numerators over 4 ratio²; of 8 bits they stay below 2^16, of 16 bits below 2^32.
    wide = np.uint16 if image.dtype == np.uint8 else np.uint32
    whole = 4 * ratio**2
    numerators = _stretch(_stretch(image.astype(wide), ratio, 1), ratio, 0)
    numerators += wide(whole // 2)
    if whole & (whole - 1) == 0:
        numerators >>= wide(whole.bit_length() - 1)
    else:
        numerators //= wide(whole)
    return numerators.astype(image.dtype)


def _stretch(image: np.ndarray, ratio: int, axis: int) -> np.ndarray:
    """Numerators over 2 ratio on a grid that is finer along one axis."""
    finer = [*image.shape[: axis + 1], ratio, *image.shape[axis + 1 :]]
    result = np.empty(finer, image.dtype)
    for phase in range(ratio):
        # Middle of the fine pixel from that of the coarse one, in halves of fine pixels.
        apart = 2 * phase + 1 - ratio
        part = image * image.dtype.type(2 * ratio - abs(apart))
        if apart:
            neighbour = image * image.dtype.type(abs(apart))
            ahead, beside = (part, neighbour) if axis == 0 else (part.T, neighbour.T)
            # Beyond the edge lies the outermost pixel.
            if apart < 0:
                ahead[1:] += beside[:-1]
                ahead[:1] += beside[:1]
            else:
                ahead[:-1] += beside[1:]
                ahead[-1:] += beside[-1:]
        result[(slice(None),) * (axis + 1) + (phase,)] = part
    finer[axis : axis + 2] = [-1]
    return result.reshape(finer)
