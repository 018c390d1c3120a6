# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Texture of every band as local binary patterns (LBP)."""

import difflib
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..runtime.compile import compiled
from .base import ImageTransform
from .patterns import Ring, largest_code, pattern_codes

# Pixels handled at once: on a CPU as many for each thread as leave all buffers in its cache, else
# so many that the buffers stay small beside the memory of the device.
_CPU_BLOCK, _BLOCK = 2**18, 2**22

# Codes hold one bit per neighbour, and float32 counts exactly to 2**24.
_MOST_POINTS = {'default': 24, 'ror': 24, 'uniform': 254, 'nri_uniform': 254, 'var': 254}

# Integers to which float64 counts.
_LARGEST = 2**53

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


def local_binary_pattern(
    image: Tensor,
    points: int = 16,
    radius: float = 2.0,
    method: str = 'uniform',
    compile: bool = False,
) -> Tensor:
    r"""Local binary pattern of every band.

    Each pixel is compared with *points* neighbours on a circle around it, interpolated
    bilinearly; a neighbour at least as bright sets a bit. Pixels outside the image count as 0.
    Gain and offset do not change the codes (apart from that border), so raw digital numbers and
    reflectance agree. The methods are those of ``skimage.feature.local_binary_pattern``:

    * ``'default'``: the bits as a binary number, :math:`0 \ldots 2^P - 1`.
    * ``'ror'``: the smallest number among the rotations of the bits.
    * ``'uniform'``: the number of bits set, or ``points + 1`` where the bits change more than
      twice around the circle.
    * ``'nri_uniform'``: as *uniform*, with one code for every orientation,
      :math:`0 \ldots P (P - 1) + 2`.
    * ``'var'``: the variance of the neighbours, in the unit of *image* squared; NaN where it
      is 0.

    The differences neighbour - centre are weighted, not the values, so flat ground always sets
    all bits (*points* for *uniform*), where scikit-image, which weights values, errs for some
    of them, such as 0.1. Elsewhere the codes of 16-bit integers are those of exact arithmetic in
    float64 always, and in float32 but for about one in ten million: a neighbour whose weighted
    differences cancel to less than float32 resolves may fall on the wrong side of the centre
    (none of 10.1 million codes of Sentinel-2 images, 6 of 128 million of synthetic noise of
    little contrast; *uniform*, 16 points, radius 2). Convert integers to float64 where that
    counts, at twice the memory. scikit-image differs from exact arithmetic
    at ties alone, in 86 of 8.9 million codes, 69 of them in three EuroSAT images. Rounding
    to reflectance in float32 breaks ties and moves 38 codes in a million.

    The codes have no gradient, and the result is detached. They are computed in the type of
    *image*, whatever the autocast, and integer images in the narrowest float that holds them.

    Args:
        image: Bands in any linear unit. A value that is not finite makes the code NaN in every
            pixel that is compared with it.
        points: Neighbours on the circle: 1 to 24 for *default* and *ror*, else 1 to 254.
        radius: Radius of the circle, in pixels.
        method: One of the methods above.
        compile: Whether to compile the arithmetic, which takes some seconds in each process and
            makes it many times faster; the codes are the same. Where there is no compiler a
            warning says so once. *var* has no compiled form.

    Returns:
        Codes as floats: float64 if *image* is float64 or an integer of more than 16 bits,
        else float32.

    Raises:
        ValueError: If *image* has fewer than three axes or no pixels, or is half precision,
            complex or boolean; if *points* or *radius* is out of range, or the image is no larger
            than twice the radius; if *method* is unknown; or if *compile* is asked for *var*.

    Shape:
        - Input: :math:`(\ldots, C, H, W)`
        - Output: :math:`(\ldots, C, H, W)`

    References:
        Ojala et al., 2002, https://doi.org/10.1109/TPAMI.2002.1017623

    Example:
        >>> edge = torch.tensor([[0., 0., 9., 9.]]).repeat(4, 1)[None]
        >>> local_binary_pattern(edge, points=8, radius=1)[0, 1]
        tensor([8., 8., 5., 5.])
    """
    _check_arguments(points, radius, method, compile)
    dtype = _exact_dtype(image)
    _require_size(image, radius)
    finite = not image.is_floating_point()
    if torch.compiler.is_compiling():
        ring = Ring(points, radius)
        with torch.no_grad():
            return pattern_codes(F.pad(image.to(dtype), (ring.reach,) * 4), ring, method, finite)
    ring, write_codes = _writer(points, radius, method, finite, compile)
    bands = image.detach().flatten(0, -3)
    codes = torch.empty_like(bands, dtype=dtype, memory_format=torch.contiguous_format)
    _write_blocks(bands, codes, ring.reach, write_codes)
    return codes.view(image.shape)


def lbp_histogram(
    image: Tensor, points: int = 16, radius: float = 2.0, compile: bool = False
) -> Tensor:
    r"""Frequencies of the uniform local binary patterns of every band.

    All ``points + 2`` codes are counted and divided by the number of pixels, so the frequencies
    of a band sum to 1. Pixels whose code is NaN are not counted; of a band of nothing else all
    frequencies are 0, so that NaN does not spread to what is made of them.

    Args:
        image: As for :func:`local_binary_pattern`.
        points: Neighbours on the circle, 1 to 254.
        radius: Radius of the circle, in pixels.
        compile: As for :func:`local_binary_pattern`.

    Returns:
        Frequency of each code, in the dtype of the codes.

    Raises:
        ValueError: As :func:`local_binary_pattern`.

    Shape:
        - Input: :math:`(\ldots, C, H, W)`
        - Output: :math:`(\ldots, C, P + 2)`

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024. The original code drops
        two of the codes, flat ground and patterns that are not uniform.

    Example:
        >>> lbp_histogram(torch.ones(1, 9, 9), points=4, radius=1)
        tensor([[0.0000, 0.0000, 0.0494, 0.3457, 0.6049, 0.0000]])
    """
    codes = local_binary_pattern(image, points, radius, compile=compile).flatten(-2)
    bins = points + 2
    # NaN falls into one bin more, which is skipped.
    index = torch.where(codes.isnan(), bins, codes).long()
    counts = index.new_zeros((*codes.shape[:-1], bins + 1))
    counts.scatter_add_(-1, index, index.new_ones(()).expand(codes.shape))
    counts = counts[..., :bins]
    return counts.to(codes.dtype) / counts.sum(-1, keepdim=True).clamp(min=1)


class LocalBinaryPattern(ImageTransform):
    r"""Kornia form of :func:`local_binary_pattern`.

    See :class:`~torchgeo_saco.transforms.base.ImageTransform` for the containers it works in.
    Put it after geometric transforms, so that neighbours are those of the final pixels, and
    before any that leave the numbers of codes no meaning, such as blur.

    Shape:
        - Input: :math:`(\ldots, C, H, W)`
        - Output: :math:`(\ldots, C, H, W)`

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
        compile: bool = False,
    ) -> None:
        """Initialize a new LocalBinaryPattern.

        Args:
            points: See :func:`local_binary_pattern`.
            radius: See :func:`local_binary_pattern`.
            method: See :func:`local_binary_pattern`.
            normalize: Whether to divide the codes by the largest code there is (for *uniform*
                ``points + 1``), so that they lie in 0-1 whatever the image.
            keepdim: See :class:`~torchgeo_saco.transforms.base.ImageTransform`.
            compile: See :func:`local_binary_pattern`.

        Raises:
            ValueError: If *points* or *radius* is out of range, *method* is unknown, or
                *normalize* or *compile* is asked for *var*, which has no largest value and no
                compiled form.
        """
        super().__init__(keepdim)
        _check_arguments(points, radius, method, compile)
        if normalize and method == 'var':
            raise ValueError("method 'var' has no largest value to normalize by")
        self.flags = {
            'points': points,
            'radius': radius,
            'method': method,
            'normalize': normalize,
            'compile': compile,
        }

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
        codes = local_binary_pattern(input, points, flags['radius'], method, flags['compile'])
        return codes.div_(largest_code(points, method)) if flags['normalize'] else codes


class LBPHistogram(ImageTransform):
    r"""Kornia form of :func:`lbp_histogram`.

    See :class:`~torchgeo_saco.transforms.base.ImageTransform` for the containers it works in.
    The result is no image, so put it last.

    Shape:
        - Input: :math:`(\ldots, C, H, W)`
        - Output: :math:`(\ldots, C, P + 2)`

    Example:
        >>> LBPHistogram()(torch.rand(2, 13, 64, 64)).shape
        torch.Size([2, 13, 18])
    """

    def __init__(
        self, points: int = 16, radius: float = 2.0, keepdim: bool = True, compile: bool = False
    ) -> None:
        """Initialize a new LBPHistogram.

        Args:
            points: See :func:`lbp_histogram`.
            radius: See :func:`lbp_histogram`.
            keepdim: See :class:`~torchgeo_saco.transforms.base.ImageTransform`.
            compile: See :func:`local_binary_pattern`.

        Raises:
            ValueError: If *points* or *radius* is out of range.
        """
        super().__init__(keepdim)
        _check_arguments(points, radius, 'uniform')
        self.flags = {'points': points, 'radius': radius, 'compile': compile}

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
        return lbp_histogram(input, flags['points'], flags['radius'], flags['compile'])


def _check_arguments(points: int, radius: float, method: str, compile: bool = False) -> None:
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
    if compile and method == 'var':
        raise ValueError("method 'var' has no compiled form; set compile to false")


def _exact_dtype(image: Tensor) -> torch.dtype:
    """Float type that holds the image without rounding."""
    if image.ndim < 3:
        raise ValueError(f'image must be (..., C, H, W), got shape {tuple(image.shape)}')
    if 0 in image.shape[-2:]:
        raise ValueError(
            f'image has no pixels: its height and width are {tuple(image.shape[-2:])}; leave it out'
        )
    if image.dtype not in _FLOATS:
        raise ValueError(
            f'image is {image.dtype}, which has no exact order of brightness to compare; '
            'half precision has already moved codes by rounding. '
            'Compute the texture from integers, float32 or float64, before any cast'
        )
    compiling = torch.compiler.is_compiling()
    if image.dtype == torch.int64 and not compiling and (image.abs() > _LARGEST).any():
        raise ValueError(
            'image holds integers beyond 2**53, which float64 rounds, and codes would move; '
            'subtract their least value, which changes no code'
        )
    return _FLOATS[image.dtype]


def _require_size(image: Tensor, radius: float) -> None:
    """Refuse images of which no pixel has all its neighbours."""
    height, width = image.shape[-2:]
    if min(height, width) <= 2 * radius:
        raise ValueError(
            f'image of {height} x {width} px has no pixel with all neighbours at radius {radius}; '
            'give one larger than twice the radius, or lower radius'
        )


@functools.cache
def _writer(
    points: int, radius: float, method: str, finite: bool, compile: bool
) -> tuple[Ring, Callable[[Tensor, Tensor], None]]:
    """Neighbours, and what writes the codes of padded bands into a tensor."""
    ring = Ring(points, radius)

    def write_codes(padded: Tensor, codes: Tensor) -> None:
        codes.copy_(pattern_codes(padded, ring, method, finite))

    name = f'the local binary pattern ({method}, {points} points, radius {radius})'
    return ring, compiled(write_codes, name) if compile else write_codes


def _write_blocks(
    bands: Tensor, codes: Tensor, reach: int, write_codes: Callable[[Tensor, Tensor], None]
) -> None:
    """Write the codes of bands, some of them or some rows of one at a time."""
    count, height, width = bands.shape
    if count == 0:
        return
    on_cpu = bands.device.type == 'cpu'
    most = min(_CPU_BLOCK * torch.get_num_threads(), _BLOCK) if on_cpu else _BLOCK
    planes = min(count, max(1, most // (height * width)))
    # Blocks of a band are about equally high.
    rows = math.ceil(height / math.ceil(height / max(1, most // width)))
    padded = codes.new_zeros((planes, rows + 2 * reach, width + 2 * reach))
    for part, out in zip(bands.split(planes), codes.split(planes), strict=True):
        for top in range(0, height, rows):
            below = out[:, top : top + rows]
            window = padded[: len(part), : below.shape[1] + 2 * reach]
            # Rows around the block; those outside of the image are 0.
            first, last = max(top - reach, 0), min(top + below.shape[1] + reach, height)
            inside = slice(first - top + reach, last - top + reach)
            columns = window[..., reach : reach + width]
            columns[:, : inside.start].zero_()
            columns[:, inside].copy_(part[:, first:last])
            columns[:, inside.stop :].zero_()
            write_codes(window, below)
