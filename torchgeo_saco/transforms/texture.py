# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Texture of every band as local binary patterns (LBP)."""

import difflib
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ImageTransform

# scikit-image rounds the offsets of the neighbours to this fraction of a pixel.
_STEPS = 10**5

# Elements of an image handled at once: on a CPU such that all buffers stay in its cache, else
# such that they stay small beside the image.
_CPU_SLICE, _SLICE = 2**19, 2**24

# Codes hold one bit per neighbour, and float32 counts exactly to 2**24.
_MOST_POINTS = {'default': 24, 'ror': 24, 'uniform': 254, 'nri_uniform': 254, 'var': 254}

# Narrowest float that holds every value of a type, int64 up to 2**53.
_FLOATS = {
    torch.uint8: torch.float32,
    torch.int8: torch.float32,
    torch.uint16: torch.float32,
    torch.int16: torch.float32,
    torch.uint32: torch.float64,
    torch.int32: torch.float64,
    torch.int64: torch.float64,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


class _Term(NamedTuple):
    """Pixels that share one weight in the bilinear value of a neighbour."""

    weight: float

    #: Row and column of each pixel, from the centre.
    pixels: list[tuple[int, int]]


def local_binary_pattern(
    image: Tensor, points: int = 16, radius: float = 2.0, method: str = 'uniform'
) -> Tensor:
    r"""Local binary pattern of every band.

    Each pixel is compared with *points* neighbours on a circle around it, interpolated
    bilinearly; a neighbour at least as bright sets a bit. Pixels outside the image count as 0.
    Gain and offset do not change the codes (apart from that border), so raw digital numbers and
    reflectance agree. The methods are those of ``skimage.feature.local_binary_pattern``:

    * ``'default'``: the bits as a binary number, :math:`0 \dots 2^P - 1`.
    * ``'ror'``: the smallest number among the rotations of the bits.
    * ``'uniform'``: the number of bits set, or ``points + 1`` where the bits change more than
      twice around the circle.
    * ``'nri_uniform'``: as *uniform*, with one code for every orientation,
      :math:`0 \dots P (P - 1) + 2`.
    * ``'var'``: the variance of the neighbours, in the unit of *image* squared; NaN where it
      is 0.

    The differences neighbour - centre are weighted, not the values, so flat ground always sets
    all bits (*points* for *uniform*), where scikit-image, which weights values, errs for some
    of them, such as 0.1. Elsewhere the codes of 16-bit integers are those of exact arithmetic:
    always in float64, and in float32 in all of 8.9 million codes of Sentinel-2 images and 8
    million of synthetic ones (*uniform*, 16 points, radius 2). scikit-image differs from them
    at ties alone, there in 86 and 2 codes, 69 of the former in three EuroSAT images. Rounding
    to reflectance in float32 breaks ties and moves 38 codes in a million.

    The codes have no gradient, and the result is detached. They are computed in the type of
    *image*, whatever the autocast, and integer images in the narrowest float that holds them.

    Args:
        image: Bands in any linear unit. A value that is not finite makes the code NaN in every
            pixel that is compared with it.
        points: Neighbours on the circle: 1 to 24 for *default* and *ror*, else 1 to 254.
        radius: Radius of the circle, in pixels.
        method: One of the methods above.

    Returns:
        Codes as floats: float64 if *image* is float64 or an integer of more than 16 bits,
        else float32.

    Raises:
        ValueError: If *image* has fewer than three axes or no pixels, or is half precision,
            complex or boolean; if *points* or *radius* is out of range; or if *method* is
            unknown.

    Shape:
        - Input: :math:`(\dots, C, H, W)`
        - Output: :math:`(\dots, C, H, W)`

    References:
        Ojala et al., 2002, https://doi.org/10.1109/TPAMI.2002.1017623

    Example:
        >>> edge = torch.tensor([[0., 0., 9., 9.]]).repeat(4, 1)[None]
        >>> local_binary_pattern(edge, points=8, radius=1)[0, 1]
        tensor([8., 8., 5., 5.])
    """
    _check_arguments(points, radius, method)
    dtype = _exact_dtype(image)
    ring = _ring(points, radius)
    with torch.no_grad():
        # The compiler fuses everything into one pass and needs no slices.
        if torch.compiler.is_compiling():
            return _codes(image.to(dtype), ring, method)
        bands = image.flatten(0, -3)
        codes = torch.empty_like(bands, dtype=dtype)
        most = _CPU_SLICE if image.device.type == 'cpu' else _SLICE
        count = max(1, most // (image.shape[-2] * image.shape[-1]))
        for part, out in zip(bands.split(count), codes.split(count), strict=True):
            out.copy_(_codes(part.to(dtype), ring, method))
        return codes.view(image.shape)


def lbp_histogram(image: Tensor, points: int = 16, radius: float = 2.0) -> Tensor:
    r"""Frequencies of the uniform local binary patterns of every band.

    All ``points + 2`` codes are counted and divided by the number of pixels, so the frequencies
    of a band sum to 1. Pixels whose code is NaN are not counted; a band of nothing else is NaN.

    Args:
        image: As for :func:`local_binary_pattern`.
        points: Neighbours on the circle, 1 to 254.
        radius: Radius of the circle, in pixels.

    Returns:
        Frequency of each code, in the dtype of the codes.

    Raises:
        ValueError: As :func:`local_binary_pattern`.

    Shape:
        - Input: :math:`(\dots, C, H, W)`
        - Output: :math:`(\dots, C, P + 2)`

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024. The original code drops
        two of the codes, flat ground and patterns that are not uniform.

    Example:
        >>> lbp_histogram(torch.ones(1, 9, 9), points=4, radius=1)
        tensor([[0.0000, 0.0000, 0.0494, 0.3457, 0.6049, 0.0000]])
    """
    codes = local_binary_pattern(image, points, radius).flatten(-2)
    bins = points + 2
    # NaN falls into one bin more, which is dropped.
    index = torch.where(codes.isnan(), bins, codes).long()
    counts = index.new_zeros((*codes.shape[:-1], bins + 1))
    counts.scatter_add_(-1, index, index.new_ones(()).expand(codes.shape))
    counts = counts[..., :bins]
    return counts.to(codes.dtype) / counts.sum(-1, keepdim=True)


class LocalBinaryPattern(ImageTransform):
    r"""Kornia form of :func:`local_binary_pattern`.

    See :class:`~torchgeo_saco.transforms.base.ImageTransform` for the containers it works in.
    Put it after geometric transforms, so that neighbours are those of the final pixels, and
    before any that leave the numbers of codes no meaning, such as blur.

    Shape:
        - Input: :math:`(\dots, C, H, W)`
        - Output: :math:`(\dots, C, H, W)`

    Example:
        >>> texture = LocalBinaryPattern(normalize=True)
        >>> texture(torch.ones(1, 5, 5))[0, 2]
        tensor([0.5294, 0.6471, 0.9412, 0.6471, 0.5294])
    """

    def __init__(
        self,
        points: int = 16,
        radius: float = 2.0,
        method: str = 'uniform',
        normalize: bool = False,
        keepdim: bool = True,
    ) -> None:
        """Initialize a new LocalBinaryPattern.

        Args:
            points: See :func:`local_binary_pattern`.
            radius: See :func:`local_binary_pattern`.
            method: See :func:`local_binary_pattern`.
            normalize: Whether to divide the codes by the largest code there is (for *uniform*
                ``points + 1``), so that they lie in 0-1 whatever the image.
            keepdim: See :class:`~torchgeo_saco.transforms.base.ImageTransform`.

        Raises:
            ValueError: If *points* or *radius* is out of range, *method* is unknown, or
                *normalize* is asked for *var*, which has no largest value.
        """
        super().__init__(keepdim)
        _check_arguments(points, radius, method)
        if normalize and method == 'var':
            raise ValueError("method 'var' has no largest value to normalize by")
        self.flags = {'points': points, 'radius': radius, 'method': method, 'normalize': normalize}

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        """Codes of the images.

        Raises:
            ValueError: As :func:`local_binary_pattern`.
        """
        points, method = flags['points'], flags['method']
        codes = local_binary_pattern(input, points, flags['radius'], method)
        return codes.div_(_largest_code(points, method)) if flags['normalize'] else codes


class LBPHistogram(ImageTransform):
    r"""Kornia form of :func:`lbp_histogram`.

    See :class:`~torchgeo_saco.transforms.base.ImageTransform` for the containers it works in.
    The result is no image, so put it last.

    Shape:
        - Input: :math:`(\dots, C, H, W)`
        - Output: :math:`(\dots, C, P + 2)`

    Example:
        >>> LBPHistogram()(torch.rand(2, 13, 64, 64)).shape
        torch.Size([2, 13, 18])
    """

    def __init__(self, points: int = 16, radius: float = 2.0, keepdim: bool = True) -> None:
        """Initialize a new LBPHistogram.

        Args:
            points: See :func:`lbp_histogram`.
            radius: See :func:`lbp_histogram`.
            keepdim: See :class:`~torchgeo_saco.transforms.base.ImageTransform`.

        Raises:
            ValueError: If *points* or *radius* is out of range.
        """
        super().__init__(keepdim)
        _check_arguments(points, radius, 'uniform')
        self.flags = {'points': points, 'radius': radius}

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        """Frequencies of the codes of the images.

        Raises:
            ValueError: As :func:`local_binary_pattern`.
        """
        return lbp_histogram(input, flags['points'], flags['radius'])


def _check_arguments(points: int, radius: float, method: str) -> None:
    """Refuse arguments that define no pattern."""
    if method not in _MOST_POINTS:
        close = difflib.get_close_matches(str(method), _MOST_POINTS, n=1, cutoff=0.0)[0]
        raise ValueError(
            f'unknown method {method!r}; did you mean {close!r}? '
            f'The methods are {", ".join(_MOST_POINTS)}'
        )
    most = _MOST_POINTS[method]
    if not isinstance(points, int) or not 1 <= points <= most:
        raise ValueError(
            f'points must be a whole number from 1 to {most} for method {method!r}, got {points!r}'
        )
    if not isinstance(radius, int | float) or not 0 < radius < math.inf:
        raise ValueError(f'radius must be a positive number of pixels, got {radius!r}')


def _exact_dtype(image: Tensor) -> torch.dtype:
    """Float type that holds the image without rounding."""
    if image.ndim < 3:
        raise ValueError(f'image must be (..., C, H, W), got shape {tuple(image.shape)}')
    if 0 in image.shape[-2:]:
        raise ValueError(f'image has no pixels: its height and width are {tuple(image.shape[-2:])}')
    if image.dtype not in _FLOATS:
        raise ValueError(
            f'image is {image.dtype}, which has no exact order of brightness to compare; '
            'half precision has already moved codes by rounding. '
            'Compute the texture from integers, float32 or float64, before any cast'
        )
    return _FLOATS[image.dtype]


def _ring(points: int, radius: float) -> list[list[_Term]]:
    """Terms of every neighbour, counter-clockwise from the right."""
    angles = [2 * math.pi * point / points for point in range(points)]
    return [_terms(-radius * math.sin(angle), radius * math.cos(angle)) for angle in angles]


def _terms(row: float, column: float) -> list[_Term]:
    """Terms of the neighbour at an offset."""
    top, down = divmod(round(row * _STEPS), _STEPS)
    left, right = divmod(round(column * _STEPS), _STEPS)
    pixels: dict[int, list[tuple[int, int]]] = {}
    for i, vertical in enumerate((_STEPS - down, down)):
        for j, horizontal in enumerate((_STEPS - right, right)):
            if vertical and horizontal:
                pixels.setdefault(vertical * horizontal, []).append((top + i, left + j))
    # Whole numbers times a power of two near the inverse of their sum: in float64 such weights
    # times the differences of 16-bit integers are exact, and so is their sum.
    divisor = math.gcd(*pixels)
    scale = 2.0 ** -((_STEPS**2 // divisor).bit_length())
    return [_Term(weight // divisor * scale, where) for weight, where in pixels.items()]


class _Neighbours:
    """Differences of an image to a reference, one neighbour at a time, in three buffers."""

    def __init__(self, image: Tensor, ring: list[list[_Term]], origin: tuple[int, int]) -> None:
        """Pad *image* and take as reference the pixels at *origin*."""
        self.ring = ring
        self.size = image.shape[-2:]
        pixels = [pixel for terms in ring for term in terms for pixel in term.pixels]
        self.pad = max(abs(step) for pixel in pixels for step in pixel)
        self.padded = F.pad(image, (self.pad,) * 4)
        self.reference = self.at(origin)
        self.difference = torch.empty_like(image)
        self.addend = torch.empty_like(image)

    def at(self, pixel: tuple[int, int]) -> Tensor:
        """The image, moved so that *pixel* is at the centre."""
        rows = self.padded.narrow(-2, self.pad + pixel[0], self.size[0])
        return rows.narrow(-1, self.pad + pixel[1], self.size[1])

    def differences(self, point: int, scratch: Tensor) -> Tensor:
        """Weighted differences of a neighbour, valid until the next call."""
        first, *others = self.ring[point]
        total = self.sum_of_differences(first.pixels, self.difference).mul_(first.weight)
        for term in others:
            total.add_(self.sum_of_differences(term.pixels, scratch), alpha=term.weight)
        return total

    def sum_of_differences(self, pixels: list[tuple[int, int]], out: Tensor) -> Tensor:
        """Sum over pixels of one weight: opposite differences cancel exactly."""
        torch.sub(self.at(pixels[0]), self.reference, out=out)
        for pixel in pixels[1:]:
            out.add_(torch.sub(self.at(pixel), self.reference, out=self.addend))
        return out

    def bits(self, point: int, out: Tensor) -> Tensor:
        """1 where a neighbour is at least as bright, else 0; NaN where that is not known."""
        difference = self.differences(point, out)
        torch.ge(difference, 0, out=out)
        # 0 times NaN or infinity is NaN.
        return out.add_(difference, alpha=0)


def _codes(image: Tensor, ring: list[list[_Term]], method: str) -> Tensor:
    """Codes of float bands."""
    # Pixel to the right, where the neighbours start: equal neighbours then differ by exactly 0.
    if method == 'var':
        return _variance(_Neighbours(image, ring, ring[0][0].pixels[0]))
    neighbours = _Neighbours(image, ring, (0, 0))
    if method in ('default', 'ror'):
        codes = _binary(neighbours)
        return codes if method == 'default' else _least_rotation(codes, len(ring))
    return _uniform(neighbours, oriented=method == 'nri_uniform')


def _binary(neighbours: _Neighbours) -> Tensor:
    """Bits as a binary number, the first neighbour last."""
    codes = torch.zeros_like(neighbours.difference)
    bits = torch.empty_like(codes)
    for point in range(len(neighbours.ring)):
        codes.add_(neighbours.bits(point, bits), alpha=2**point)
    return codes


def _least_rotation(codes: Tensor, points: int) -> Tensor:
    """Smallest binary number among the rotations of each one."""
    turned = codes.nan_to_num().to(torch.int32)
    least = turned.clone()
    for _ in range(1, points):
        turned = (turned >> 1) | ((turned & 1) << (points - 1))
        torch.minimum(least, turned, out=least)
    return torch.where(codes.isnan(), codes, least.to(codes.dtype))


def _uniform(neighbours: _Neighbours, oriented: bool) -> Tensor:
    """Number of bits set, and with *oriented* where they start, if they are one run."""
    points = len(neighbours.ring)
    count = neighbours.bits(0, torch.empty_like(neighbours.difference))
    previous, bits = count.clone(), torch.empty_like(count)
    changes, start = torch.zeros_like(count), torch.zeros_like(count)
    for point in range(1, points):
        neighbours.bits(point, bits)
        count.add_(bits)
        changes.add_(previous.ne_(bits))
        if oriented:
            # Only a change to 1 starts a run.
            start.addcmul_(previous, bits, value=point)
        previous, bits = bits, previous
    codes = count
    if oriented:
        turn = torch.where(start > 0, points - start, 0)
        codes = torch.where(count == 0, 0, 1 + (count - 1) * points + turn)
    other = _largest_code(points, 'nri_uniform' if oriented else 'uniform')
    # Changes from the last neighbour to the first cannot make a third: changes are even around.
    return torch.where((changes > 2) & count.isfinite(), other, codes)


def _variance(neighbours: _Neighbours) -> Tensor:
    """Variance of the neighbours by Welford's update, which cancels no digits."""
    mean = torch.zeros_like(neighbours.difference)
    squares, scratch = torch.zeros_like(mean), torch.empty_like(mean)
    for point in range(len(neighbours.ring)):
        weights = sum(term.weight * len(term.pixels) for term in neighbours.ring[point])
        value = neighbours.differences(point, scratch).div_(weights)
        torch.sub(value, mean, out=scratch)
        mean.add_(scratch, alpha=1 / (point + 1))
        squares.addcmul_(scratch, value.sub_(mean))
    squares.div_(len(neighbours.ring))
    return torch.where(squares == 0, math.nan, squares)


def _largest_code(points: int, method: str) -> int:
    """Largest code that a method can give."""
    if method == 'uniform':
        return points + 1
    return points * (points - 1) + 2 if method == 'nri_uniform' else 2**points - 1
