# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Arithmetic of local binary patterns, on images with a border."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

# scikit-image rounds the offsets of the neighbours to this fraction of a pixel.
_STEPS = 10**5


class _Term(NamedTuple):
    """Pixels that share one weight in the bilinear value of a neighbour."""

    weight: float

    #: Row and column of each pixel, from the centre.
    pixels: list[tuple[int, int]]


class Ring:
    """Neighbours of a pixel, counter-clockwise from the right."""

    def __init__(self, points: int, radius: float) -> None:
        """Place the neighbours.

        Args:
            points: Neighbours on the circle.
            radius: Radius of the circle, in pixels.
        """
        angles = [2 * math.pi * point / points for point in range(points)]
        #: Terms of every neighbour.
        self.terms = [_terms(-radius * math.sin(turn), radius * math.cos(turn)) for turn in angles]
        pixels = [pixel for terms in self.terms for term in terms for pixel in term.pixels]
        #: How many pixels away the farthest pixel is, the width of the border that images need.
        self.reach = max(abs(step) for pixel in pixels for step in pixel)


def largest_code(points: int, method: str) -> int:
    """Largest code that a method can give."""
    if method == 'uniform':
        return points + 1
    return points * (points - 1) + 2 if method == 'nri_uniform' else 2**points - 1


def pattern_codes(padded: Tensor, ring: Ring, method: str, finite: bool) -> Tensor:
    """Codes of float bands.

    All operations are elementwise and, but for *var*, round alike on their own and in the one
    loop that a compiler makes of them.

    Args:
        padded: Bands with a border as wide as the ring reaches, which gets no codes.
        ring: Neighbours to compare with.
        method: Method of :func:`~torchgeo_saco.transforms.local_binary_pattern`.
        finite: Whether all numbers are known to be finite, as those of integers are; it saves
            looking for others.

    Returns:
        Codes in the type of the bands.

    Shape:
        - Input: :math:`(N, H + 2 R, W + 2 R)`, with :math:`R` the reach of the ring
        - Output: :math:`(N, H, W)`
    """
    # Pixel to the right, where the neighbours start: equal neighbours then differ by exactly 0.
    if method == 'var':
        return _variance(_Neighbours(padded, ring, ring.terms[0][0].pixels[0], finite))
    neighbours = _Neighbours(padded, ring, (0, 0), finite)
    if method in ('default', 'ror'):
        codes = _binary(neighbours)
        return codes if method == 'default' else _least_rotation(codes, len(ring.terms))
    return _uniform(neighbours, oriented=method == 'nri_uniform')


def _terms(row: float, column: float) -> list[_Term]:
    """Terms of the neighbour at an offset."""
    top, down = divmod(round(row * _STEPS), _STEPS)
    left, right = divmod(round(column * _STEPS), _STEPS)
    pixels: dict[int, list[tuple[int, int]]] = {}
    for i, vertical in enumerate((_STEPS - down, down)):
        for j, horizontal in enumerate((_STEPS - right, right)):
            if vertical and horizontal:
                pixels.setdefault(vertical * horizontal, []).append((top + i, left + j))
    if len(pixels) == 1:
        return [_Term(1.0, where) for where in pixels.values()]
    # Whole numbers times a power of two near the inverse of their sum: in float64 such weights
    # times the differences of 16-bit integers are exact, and so is their sum.
    divisor = math.gcd(*pixels)
    scale = 2.0 ** -((_STEPS**2 // divisor).bit_length())
    return [_Term(weight // divisor * scale, where) for weight, where in pixels.items()]


class _Neighbours:
    """Differences of an image to a reference, one neighbour at a time, in three buffers."""

    def __init__(self, padded: Tensor, ring: Ring, origin: tuple[int, int], finite: bool) -> None:
        """Take as reference the pixels at *origin*."""
        self.ring = ring
        self.finite = finite
        self.padded = padded
        self.size = [side - 2 * ring.reach for side in padded.shape[-2:]]
        self.reference = self.at(origin)
        self.difference = self.empty()
        self.addend = self.empty()

    def empty(self) -> Tensor:
        """A buffer of the size of the codes."""
        return self.padded.new_empty((*self.padded.shape[:-2], *self.size))

    def at(self, pixel: tuple[int, int]) -> Tensor:
        """The image, moved so that *pixel* is at the centre."""
        rows = self.padded.narrow(-2, self.ring.reach + pixel[0], self.size[0])
        return rows.narrow(-1, self.ring.reach + pixel[1], self.size[1])

    def differences(self, point: int, scratch: Tensor) -> Tensor:
        """Weighted differences of a neighbour, valid until the next call."""
        first, *others = self.ring.terms[point]
        total = self.sum_of_differences(first.pixels, self.difference)
        if first.weight != 1:
            total.mul_(first.weight)
        for term in others:
            _add_weighted(total, self.sum_of_differences(term.pixels, scratch), term.weight)
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
        return out if self.finite else out.add_(difference, alpha=0)


def _add_weighted(total: Tensor, values: Tensor, weight: float) -> None:
    """Add *values*, which are lost, so that it rounds alike in every form of the code."""
    if total.device.type == 'cpu':
        # add_ with alpha would round once here, and twice in code that PyTorch compiles.
        total.add_(values.mul_(weight))
    else:
        total.add_(values, alpha=weight)


def _binary(neighbours: _Neighbours) -> Tensor:
    """Bits as a binary number, the first neighbour last."""
    codes = torch.zeros_like(neighbours.difference)
    bits = torch.empty_like(codes)
    for point in range(len(neighbours.ring.terms)):
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
    points = len(neighbours.ring.terms)
    first = neighbours.bits(0, neighbours.empty())
    count, previous, bits = first.clone(), first.clone(), neighbours.empty()
    pairs, start = torch.zeros_like(first), torch.zeros_like(first) if oriented else None
    for point in range(1, points):
        neighbours.bits(point, bits)
        count.add_(bits)
        pairs.addcmul_(previous, bits)
        if start is not None:
            # Only a 1 after a 0 starts a run.
            start.addcmul_(previous.neg_().add_(1), bits, value=point)
        previous, bits = bits, previous
    # Neighbours of a run of n are n - 1 pairs, n where it is the whole circle.
    runs = torch.sub(count, pairs.addcmul_(previous, first), out=bits)
    codes = count
    if start is not None:
        turn = torch.where(start > 0, points - start, 0)
        codes = torch.where(count == 0, 0, 1 + (count - 1) * points + turn)
    other = largest_code(points, 'nri_uniform' if oriented else 'uniform')
    return codes.masked_fill_(runs > 1, other)


def _variance(neighbours: _Neighbours) -> Tensor:
    """Variance of the neighbours by Welford's update, which cancels no digits."""
    mean = torch.zeros_like(neighbours.difference)
    squares, scratch = torch.zeros_like(mean), torch.empty_like(mean)
    for point in range(len(neighbours.ring.terms)):
        weights = sum(term.weight * len(term.pixels) for term in neighbours.ring.terms[point])
        value = neighbours.differences(point, scratch).div_(weights)
        torch.sub(value, mean, out=scratch)
        mean.add_(scratch, alpha=1 / (point + 1))
        squares.addcmul_(scratch, value.sub_(mean))
    squares.div_(len(neighbours.ring.terms))
    return torch.where(squares == 0, math.nan, squares)
