# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Change of every pixel between dates, without labels: change vectors, MAD and IR-MAD.

Every method here is linear in what it compares, bands or the features of an encoder: both dates are
centred and transformed by a matrix each, and the magnitude of change is the root mean square of the
differences. The methods differ in the matrices, which are fitted to the whole scene.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
import scipy.linalg
import scipy.stats
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pad

from ..models import Encoder, fit_input_statistics
from ..runtime.checks import check_choice, check_range

Method = Literal['cva', 'mad', 'irmad']
FeatureGroups = Literal['each', 'mean']

#: Images of all dates, (T, C, H, W) reflectance, and where all of them have data, (H, W) bool.
Part = tuple[Tensor, Tensor]
Parts = Callable[[], Iterable[Part]]

# Numbers that statistics are taken of, whatever the size of a scene: 64 MiB.
_SAMPLE = 1 << 24

# Added to the diagonal of correlation matrices. Bands are few; features of a small scene are many,
# and depend on one another.
_BAND_SHRINKAGE, _FEATURE_SHRINKAGE = 1e-6, 1e-3

# Nielsen, 2007, section II: weights are iterated until no canonical correlation changes more.
_ITERATIONS, _TOLERANCE = 50, 1e-3

# Fewer pixels than that would be compared with one another alone: where most of a scene differs,
# iterations run into a few pixels that agree by chance.
_LEAST_UNCHANGED = 0.05

# Channels that vary less than that, relative to their mean square, are constant up to rounding.
_CONSTANT = 1e-10


class PairTransform(NamedTuple):
    """Two linear maps that make two dates comparable."""

    #: Mean of the channels on either date, (C).
    means: tuple[NDArray[np.float64], NDArray[np.float64]]

    #: Matrices of either date, (K, C).
    matrices: tuple[NDArray[np.float64], NDArray[np.float64]]

    #: Share of the pixels that iterations stopped at, since the next was too small; or None.
    stopped_at: float | None = None

    #: Whether the correlations stayed in the end, where iterations were asked for.
    converged: bool = True

    def differences(self, first: Tensor, second: Tensor) -> Tensor:
        """Differences of two dates after their transforms.

        Args:
            first: Channels of the first date, (C, ...).
            second: Those of the second date.

        Returns:
            Differences, (K, ...).
        """
        parts = []
        for image, mean, matrix in zip((first, second), self.means, self.matrices, strict=True):
            offset = torch.from_numpy(mean).to(image).reshape(-1, *[1] * (image.ndim - 1))
            parts.append(
                torch.einsum('kc,c...->k...', torch.from_numpy(matrix).to(image), image - offset)
            )
        return parts[1] - parts[0]


def change_vectors(first: NDArray[np.floating], second: NDArray[np.floating]) -> PairTransform:
    """Fit change vector analysis (CVA) of two dates, each channel standardized on each date.

    Args:
        first: Channels of the first date at some pixels, (N, C).
        second: Those of the second date at the same pixels.

    Returns:
        The transform, by the standard deviation of each channel.

    References:
        Malila, 1980, change vector analysis: an approach for detecting forest changes with Landsat.
    """
    means = np.mean(first, 0, np.float64), np.mean(second, 0, np.float64)
    scales = [_inverse_deviation(image) for image in (first, second)]
    return PairTransform(means, (np.diag(scales[0]), np.diag(scales[1])))


def mad(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    iterations: int = 1,
    shrinkage: float = _BAND_SHRINKAGE,
) -> PairTransform:
    """Fit the multivariate alteration detection (MAD) of two dates, or its reweighted form.

    Canonical correlation finds the combinations of channels that agree best between the dates; the
    differences of these variates are divided by their standard deviation. Where nothing has
    changed, the sum of their squares follows a chi-square distribution with C degrees of freedom.
    With further iterations (IR-MAD) each pixel counts by its probability in that distribution, so
    that what has changed does not enter the statistics.

    The differences do not depend on linear changes of either date, such as of light, haze,
    calibration, or unit.

    Args:
        first: Channels of the first date at some pixels, (N, C).
        second: Those of the second date at the same pixels.
        iterations: 1 for MAD; the most for IR-MAD, which stops where the correlations stay, or
            before less than 5 % of the pixels count.
        shrinkage: Added to the diagonal of the correlations of the channels, so that channels may
            depend on one another.

    Returns:
        The transform.

    Raises:
        ValueError: If *iterations* is below 1.

    References:
        Nielsen et al., 1998, https://doi.org/10.1016/S0034-4257(97)00162-4; Nielsen, 2007,
        https://doi.org/10.1109/TIP.2006.888195, equations 1-8.
    """
    check_range('iterations', iterations, 'int [1, inf)')
    scales = [_inverse_deviation(image) for image in (first, second)]
    both = np.concatenate([first * scales[0], second * scales[1]], 1, dtype=np.float64)
    count = first.shape[1]
    weights = np.ones(len(both))
    # Channels that are constant on a date have no difference.
    freedom = max(1, min(int((scale > 0).sum()) for scale in scales))
    before = np.full(count, np.inf)
    stopped_at = None
    for iteration in range(iterations):
        mean = np.average(both, 0, weights)
        centred = both - mean
        covariance = (centred * weights[:, None]).T @ centred / weights.sum()
        correlations, left, right = _canonical(covariance, count, shrinkage)
        spread = np.sqrt(2 * (1 - correlations))[:, None]
        matrices = left / spread, right / spread
        converged = iterations == 1 or np.abs(correlations - before).max() < _TOLERANCE
        if converged or iteration + 1 == iterations:
            break
        before = correlations
        differences = centred[:, count:] @ matrices[1].T - centred[:, :count] @ matrices[0].T
        probabilities = scipy.stats.chi2.sf(np.square(differences).sum(1), freedom)
        if probabilities.mean() < _LEAST_UNCHANGED:
            stopped_at = float(weights.mean())
            break
        weights = probabilities
    means = tuple(
        np.divide(part, scale, out=np.mean(image, 0, np.float64), where=scale > 0)
        for part, scale, image in zip(np.split(mean, 2), scales, (first, second), strict=True)
    )
    scaled = matrices[0] * scales[0], matrices[1] * scales[1]
    return PairTransform((means[0], means[1]), scaled, stopped_at, bool(converged))


def _inverse_deviation(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """One over the standard deviation of each channel; 0 of constant ones, which tell nothing."""
    variance = np.var(image, 0, np.float64)
    constant = variance <= _CONSTANT * np.mean(np.square(image, dtype=np.float64), 0)
    return np.where(constant, 0.0, 1 / np.sqrt(np.where(constant, 1.0, variance)))


def _canonical(
    covariance: NDArray[np.float64], count: int, shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Canonical correlations of the first channels with the others, and the rows of both bases."""
    inverses = []
    for part in (slice(None, count), slice(count, None)):
        own = covariance[part, part] + shrinkage * np.eye(count)
        values, vectors = scipy.linalg.eigh(own)
        inverses.append((vectors / np.sqrt(values)) @ vectors.T)
    left, correlations, right = scipy.linalg.svd(
        inverses[0] @ covariance[:count, count:] @ inverses[1]
    )
    # Bands that are the same on both dates would have no difference to divide.
    correlations = np.clip(correlations, 0, 1 - 1e-9)
    return correlations, left.T @ inverses[0], right @ inverses[1]


class ChannelMap(NamedTuple):
    """Channels of all dates that are compared together."""

    #: Numbers, (T, C', h, w).
    values: Tensor

    #: Pixels of the images along a side of one of the map; the last ones may reach beyond them.
    ratio: int


class Channels(ABC):
    """What is compared between dates: maps of several channels, in one or more sets."""

    #: Pixels around a part of a scene that its channels depend on.
    margin: int = 0

    #: Parts of a scene begin at multiples of that many pixels.
    step: int = 1

    #: Shrinkage of :func:`mad`.
    shrinkage: float = _BAND_SHRINKAGE

    def fit(self, parts: Parts) -> None:  # noqa: B027
        """Take statistics from parts of a scene.

        Args:
            parts: Makes an iterator over parts.
        """

    @abstractmethod
    def __call__(self, images: Tensor, valid: Tensor) -> list[ChannelMap]:
        """Compute the maps that are compared.

        Args:
            images: Reflectance, (T, C, H, W), the first row and column at a multiple of
                :attr:`step`.
            valid: Where all dates have data, (H, W).

        Returns:
            One or more maps.
        """


class BandChannels(Channels):
    """The bands themselves."""

    def __call__(self, images: Tensor, valid: Tensor) -> list[ChannelMap]:
        """Return the images."""
        return [ChannelMap(images, 1)]


class FeatureChannels(Channels):
    """Feature maps of an encoder, whose inputs are standardized on each date by itself."""

    shrinkage = _FEATURE_SHRINKAGE

    def __init__(
        self,
        encoder: Encoder,
        levels: Sequence[int] = (0,),
        groups: FeatureGroups = 'each',
        fit_backbone: bool = False,
    ) -> None:
        """Initialize a new FeatureChannels instance.

        Args:
            encoder: An encoder whose backbone yields feature maps, on its device; it is put in
                evaluation mode.
            levels: Maps to compare, 0 for the finest.
            groups: ``each`` to compare the features of each group of bands, ``mean`` for the mean
                over groups.
            fit_backbone: Whether to fit the BatchNorm layers of the backbone to the scene, as
                random weights need.

        Raises:
            ValueError: If the backbone has no such level.
        """
        self.encoder = encoder.eval()
        self.groups = check_choice('groups', groups, get_args(FeatureGroups))
        self.fit_backbone = fit_backbone
        reductions = [level['reduction'] for level in encoder.backbone.feature_info]  # type: ignore[union-attr]
        self.levels = sorted(set(levels))
        if not self.levels or not 0 <= self.levels[0] <= self.levels[-1] < len(reductions):
            raise ValueError(
                f'levels must be some of 0 (finest) to {len(reductions) - 1}, got {list(levels)}'
            )
        #: Pixels along a side of a feature of each level.
        self.ratios = [reductions[level] for level in self.levels]
        self.step = self.ratios[-1]
        # Half of what a feature of a ResNet sees, and a cell more for bilinear values.
        self.margin = 8 * self.step
        self._statistics: list[tuple[Tensor, Tensor]] = []

    @property
    def device(self) -> torch.device:
        """Device of the encoder."""
        return next(self.encoder.parameters()).device

    @torch.inference_mode()
    def fit(self, parts: Parts) -> None:
        """Fit the statistics that standardize the inputs, date by date.

        Weights that bring their own scaling keep it.

        Args:
            parts: Makes an iterator over parts.
        """
        if self.fit_backbone:
            fit_input_statistics(
                self.encoder,
                lambda: (_filled(*part).to(self.device) for part in parts()),
                backbone=True,
            )
        if not isinstance(self.encoder.inputs.standardize, nn.BatchNorm2d):
            return
        count: Tensor | float = 0.0
        total: Tensor | float = 0.0
        squares: Tensor | float = 0.0
        for images, valid in parts():
            planes = self.encoder.inputs.unnormalized(_filled(images, valid).to(self.device))
            values = planes.flatten(1, 2)[..., valid.to(self.device)].double()
            count += values.shape[-1]
            total = total + values.sum(-1)
            squares = squares + values.square().sum(-1)
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(0)  # type: ignore[union-attr]
        self._statistics = [(m.float(), v.float()) for m, v in zip(mean, variance, strict=True)]  # type: ignore[arg-type]

    @torch.inference_mode()
    def __call__(self, images: Tensor, valid: Tensor) -> list[ChannelMap]:
        """Compute a feature map of each level and group."""
        images = _filled(images, valid)
        dates = []
        for number, image in enumerate(images):
            if self._statistics:
                standardize = self.encoder.inputs.standardize
                standardize.running_mean, standardize.running_var = self._statistics[number]
            maps = self.encoder.forward_maps(image[None].to(self.device), self.levels)
            dates.append([self._fused(map_[0]).cpu() for map_ in maps])
        return [
            ChannelMap(group, ratio)
            for ratio, *of in zip(self.ratios, *dates, strict=True)
            for group in torch.stack(of).unbind(1)
        ]

    def _fused(self, groups: Tensor) -> Tensor:
        """Features of a level as they are compared, (G, C, h, w)."""
        return groups.mean(0, keepdim=True) if self.groups == 'mean' else groups


def _filled(images: Tensor, valid: Tensor) -> Tensor:
    """Images with the mean of each band in place of missing pixels, which would look like edges."""
    if valid.all() or not valid.any():
        return images
    means = images[..., valid].mean(-1)[..., None, None]
    return torch.where(valid, images, means)


class PixelChange:
    """Magnitude of change of every pixel of a scene between dates.

    Of more than two dates it is the largest of all pairs of consecutive dates, so that a change
    counts whenever it happened; one that creeps over many dates is seen best from the first and
    the last date alone.
    """

    def __init__(self, channels: Channels, method: Method = 'mad', window: int = 3) -> None:
        """Initialize a new PixelChange instance.

        Args:
            channels: What is compared.
            method: ``cva``, ``mad`` or ``irmad``; see :func:`change_vectors` and :func:`mad`.
            window: Side of the window, in pixels, over which the squared magnitude is averaged;
                1 for each pixel by itself.

        Raises:
            ValueError: If the method is unknown or *window* is not odd.
        """
        self.channels = channels
        self.method = check_choice('method', method, get_args(Method))
        if window < 1 or window % 2 == 0:
            raise ValueError(f'window must be an odd number of pixels from 1 on, got {window}')
        self.window = window
        #: Transform of each pair of dates and each set of channels.
        self.transforms: list[list[PairTransform]] = []

    @property
    def margin(self) -> int:
        """Pixels around a part of a scene that its magnitudes depend on."""
        margin, step = self.channels.margin + self.window // 2, self.channels.step
        return -(-margin // step) * step

    def fit(self, parts: Parts, pixels: int) -> None:
        """Fit the transforms to parts of a scene.

        Statistics are taken of at most 64 MiB of numbers, from a regular grid of pixels.

        Args:
            parts: Makes an iterator over parts.
            pixels: Number of pixels of all parts together.

        Raises:
            ValueError: If too few pixels have data for so many channels.
        """
        self.channels.fit(parts)
        samples: list[list[NDArray[np.float32]]] = []
        every = 0
        for images, valid in parts():
            maps = self.channels(images, valid)
            if not every:
                samples = [[] for _ in maps]
                numbers = pixels * sum(
                    map_.values[:, :, 0, 0].numel() / map_.ratio**2 for map_ in maps
                )
                every = max(1, math.ceil(math.sqrt(numbers / _SAMPLE)))
            for sample, (values, ratio) in zip(samples, maps, strict=True):
                there = _all_valid(valid, ratio)[::every, ::every]
                sample.append(values[..., ::every, ::every][..., there].float().numpy())
        joined = [np.concatenate(of, -1) for of in samples]
        for of in joined:
            least = 1 if self.method == 'cva' else 2 * of.shape[1]
            if of.shape[-1] <= least:
                raise ValueError(
                    f'{of.shape[-1]} pixels with data on all dates are too few for {self.method} '
                    f'of {of.shape[1]} channels, which needs more than {least}; use larger images'
                    + (', method cva, or finer levels' if least > 1 else '')
                )
        pairs = pairwise(range(len(joined[0])))
        self.transforms = [
            [self._transform(of[first].T, of[second].T) for of in joined] for first, second in pairs
        ]

    def report(self) -> list[str]:
        """Say what in the statistics is not as the method has it."""
        lines = []
        for number, transforms in enumerate(self.transforms, 1):
            dates = f'irmad of dates {number} and {number + 1}'
            stopped = [t.stopped_at for t in transforms if t.stopped_at is not None]
            if stopped:
                lines.append(
                    f'{dates} stopped where {stopped[0]:.0%} of the pixels counted as unchanged, '
                    f'since less than {_LEAST_UNCHANGED:.0%} would be next; most of the scene '
                    'differs, so see mad too'
                )
            elif not all(t.converged for t in transforms):
                lines.append(f'{dates} did not settle within {_ITERATIONS} iterations; see mad too')
        return lines

    def __call__(self, images: Tensor, valid: Tensor | None = None) -> Tensor:
        """Compute the magnitude of change, by transforms that are fitted.

        Args:
            images: Reflectance, (T, C, H, W), the first row and column at a multiple of
                ``channels.step``.
            valid: Where all dates have data, (H, W), or None for everywhere.

        Returns:
            Magnitude, (H, W) float32, 0 for no difference; NaN where there is no data.

        Raises:
            RuntimeError: If :meth:`fit` was not called.
            ValueError: If there are other dates than :meth:`fit` saw.
        """
        if not self.transforms:
            raise RuntimeError('the transforms are not fitted; call fit first')
        if len(images) != len(self.transforms) + 1:
            raise ValueError(
                f'there are {len(images)} dates, and {len(self.transforms) + 1} were fitted'
            )
        valid = torch.ones(images.shape[-2:], dtype=torch.bool) if valid is None else valid
        maps = self.channels(images, valid)
        found = [self._squares(maps, number, valid) for number in range(len(self.transforms))]
        magnitude = torch.stack(found).amax(0).sqrt()
        magnitude[~valid] = torch.nan
        return magnitude

    def _squares(self, maps: Sequence[ChannelMap], number: int, valid: Tensor) -> Tensor:
        """Mean squared difference of a pair of dates, (H, W) float32, averaged over the window."""
        total = torch.zeros(valid.shape)
        for (values, ratio), transform in zip(maps, self.transforms[number], strict=True):
            squares = transform.differences(values[number], values[number + 1]).square().mean(0)
            total += _enlarged(squares.float(), ratio)[: valid.shape[0], : valid.shape[1]]
        total = total / len(maps)
        if self.window == 1:
            return total
        both = torch.stack([torch.where(valid, total, 0), valid.float()])
        sums = avg_pool2d(both[None], self.window, 1, self.window // 2)[0]
        return sums[0] / sums[1].clamp_min(torch.finfo(torch.float32).tiny)

    def _transform(
        self, first: NDArray[np.floating], second: NDArray[np.floating]
    ) -> PairTransform:
        """Fit a pair of dates."""
        if self.method == 'cva':
            return change_vectors(first, second)
        iterations = _ITERATIONS if self.method == 'irmad' else 1
        return mad(first, second, iterations, self.channels.shrinkage)


def change_magnitude(
    images: Tensor, valid: Tensor | None = None, change: PixelChange | None = None
) -> Tensor:
    """Magnitude of change of every pixel of images in memory.

    Args:
        images: Reflectance of two or more dates in their order, (T, C, H, W).
        valid: Where all dates have data, (H, W), or None for everywhere.
        change: How to compare, or None for MAD of the bands. It is fitted to the images.

    Returns:
        Magnitude, (H, W) float32; NaN where there is no data.

    Raises:
        ValueError: If there are fewer than two dates, or too few pixels.

    Example:
        >>> images = torch.rand(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> images[1, :, 8:12, 8:12] += 3
        >>> change_magnitude(images).argmax() // 32
        tensor(9)
    """
    if images.ndim != 4 or len(images) < 2:
        raise ValueError(
            f'images must be (T, C, H, W) of two dates or more, got {tuple(images.shape)}'
        )
    valid = torch.ones(images.shape[-2:], dtype=torch.bool) if valid is None else valid
    change = PixelChange(BandChannels()) if change is None else change
    change.fit(lambda: [(images, valid)], valid.numel())
    return change(images, valid)


def _all_valid(valid: Tensor, ratio: int) -> Tensor:
    """Where all pixels of a cell of *ratio* pixels have data."""
    holes = max_pool2d((~valid).float()[None, None], ratio, ceil_mode=True)[0, 0]
    return holes == 0


def _enlarged(map_: Tensor, ratio: int) -> Tensor:
    """A coarser map on the pixels of the images, bilinear.

    A cell of a convolution of stride *ratio* is centred on the first of its pixels.
    """
    if ratio == 1:
        return map_
    # The last pixels have no cell on their other side.
    padded = pad(map_[None, None], (0, 1, 0, 1), mode='replicate')
    sides = [1 + ratio * (length - 1) for length in padded.shape[-2:]]
    enlarged = interpolate(padded, sides, mode='bilinear', align_corners=True)
    return enlarged[0, 0, :-1, :-1]
