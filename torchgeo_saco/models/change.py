# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Which locations have changed for good: distances between years over distances within them."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ..runtime.checks import check_range
from ..runtime.distributed import all_gather

# Added to the variance of a component, as scikit-learn does by default.
_VARIANCE_FLOOR = 1e-6
_MAX_ITERATIONS = 100

# Values that differ by less, relative to the largest, differ by rounding alone.
_ROUNDING = 1e-6


class Mixture(NamedTuple):
    """Two Gaussian components of a set of values, the lower one first."""

    #: Share of the values in each component.
    weights: tuple[float, float]

    #: Mean of each.
    means: tuple[float, float]

    #: Standard deviation of each.
    deviations: tuple[float, float]

    #: Values above belong to the upper component.
    threshold: float

    def densities(self, values: ArrayLike) -> NDArray[np.float64]:
        """Density of each component at some values, times its weight; (2, N)."""
        weights, means, deviations = (np.asarray(part)[:, None] for part in self[:3])
        scores = (np.asarray(values, np.float64) - means) / deviations
        densities: NDArray[np.float64] = np.exp(-(scores**2) / 2)
        return densities * weights / (deviations * np.sqrt(2 * np.pi))

    def upper(self, values: ArrayLike) -> NDArray[np.bool_]:
        """Whether values belong to the upper component, in their shape."""
        return np.asarray(values, np.float64) > self.threshold


def bic_gain(values: ArrayLike, mixture: Mixture) -> float:
    """How much better two components are than one, by the Bayesian information criterion.

    Args:
        values: Numbers the mixture was fitted to, in any shape.
        mixture: Its two components.

    Returns:
        BIC of one Gaussian less that of the mixture; two are better if it is positive. The
        criterion of Schwarz, 1978, https://doi.org/10.1214/aos/1176344136.
    """
    numbers = np.asarray(values, np.float64).ravel()
    variance = float(numbers.var()) + _VARIANCE_FLOOR
    one = -0.5 * (
        len(numbers) * np.log(2 * np.pi * variance)
        + ((numbers - numbers.mean()) ** 2).sum() / variance
    )
    with np.errstate(divide='ignore'):
        two = np.log(mixture.densities(numbers).sum(0)).sum()
    # Parameters: two means, two deviations and a share, against a mean and a deviation.
    return float(2 * (two - one) - (5 - 2) * np.log(len(numbers)))


def otsu_threshold(values: ArrayLike) -> float | None:
    """Threshold of Otsu: it parts values in two that lie closest around their means.

    Args:
        values: Numbers, in any shape.

    Returns:
        The threshold, halfway between the values it parts; None if all values are equal, or there
        are fewer than two.

    Raises:
        ValueError: If a value is NaN or infinite.

    References:
        Otsu, 1979, https://doi.org/10.1109/TSMC.1979.4310076; of the values themselves, in place
        of their histogram.
    """
    ordered = _distinct(values)
    return None if ordered is None else _best_split(ordered).threshold


def two_gaussians(values: ArrayLike) -> Mixture | None:
    """Two Gaussian components of one-dimensional values.

    Expectation-maximization goes on from the best split of the values in two, so nothing is
    drawn at random, and the order of the values does not matter. The threshold is where, coming
    from the lower mean, the upper component becomes the likelier one; beyond it a value stays
    upper, even if the lower component is so wide that it would be the likelier one again. Where one
    component ends up without a value, the best split stands.

    Args:
        values: Numbers, in any shape.

    Returns:
        The components; or None if all values are equal, or there are fewer than two.

    Raises:
        ValueError: If a value is NaN or infinite.
    """
    ordered = _distinct(values)
    if ordered is None:
        return None
    start = _best_split(ordered)
    fitted = _fit_mixture(ordered, start)
    numbers = [number for part in fitted[:3] for number in part]
    empty = len({bool(member) for member in fitted.upper(ordered[[0, -1]])}) < 2
    return start if empty or not np.isfinite(numbers).all() else fitted


def _distinct(values: ArrayLike) -> NDArray[np.float64] | None:
    """Values in ascending order, or None if they are all equal or fewer than two."""
    ordered = np.sort(np.asarray(values, np.float64), axis=None)
    if not np.isfinite(ordered).all():
        raise ValueError(
            f'{np.count_nonzero(~np.isfinite(ordered))} of {len(ordered)} values are NaN or '
            'infinite; leave them out'
        )
    if len(ordered) < 2 or np.ptp(ordered) <= _ROUNDING * np.abs(ordered).max():
        return None
    return ordered


def _best_split(ordered: NDArray[np.float64]) -> Mixture:
    """The two parts of sorted values that lie closest around their means."""
    # Sums of what remains of large numbers that are nearly equal would lose digits.
    centred = ordered - ordered.mean()
    counts = np.arange(1, len(ordered))
    sums = np.cumsum(centred)[:-1]
    # Variance between the parts; equal values are not parted.
    between = sums**2 * (1 / counts + 1 / counts[::-1])
    between[ordered[1:] == ordered[:-1]] = -1
    count = int(np.argmax(between)) + 1
    parts = ordered[:count], ordered[count:]
    lower, upper = (float(part.mean()) for part in parts)
    narrow, wide = (float(np.sqrt(part.var() + _VARIANCE_FLOOR)) for part in parts)
    share = count / len(ordered)
    middle = float(ordered[count - 1] + (ordered[count] - ordered[count - 1]) / 2)
    return Mixture((share, 1 - share), (lower, upper), (narrow, wide), middle)


def _fit_mixture(ordered: NDArray[np.float64], start: Mixture) -> Mixture:
    """The components after expectation-maximization from a start."""
    # Importing it takes as long as importing the rest of this package.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(
        2,
        covariance_type='diag',
        reg_covar=_VARIANCE_FLOOR,
        max_iter=_MAX_ITERATIONS,
        weights_init=start.weights,
        means_init=np.reshape(start.means, (2, 1)),
        precisions_init=np.reshape(start.deviations, (2, 1)) ** -2.0,
        random_state=0,
    )
    with warnings.catch_warnings():
        # What a hundred steps reach is what is asked for.
        warnings.simplefilter('ignore', ConvergenceWarning)
        model.fit(ordered[:, None])
    order = np.argsort(model.means_[:, 0], kind='stable')
    parts = (model.weights_, model.means_[:, 0], np.sqrt(model.covariances_[:, 0]))
    weights, means, deviations = ((float(a), float(b)) for a, b in (part[order] for part in parts))
    return Mixture(weights, means, deviations, _crossing(weights, means, deviations))


def _crossing(
    weights: tuple[float, float], means: tuple[float, float], deviations: tuple[float, float]
) -> float:
    """Smallest value from the lower mean on, above which the upper component is the likelier."""
    # The logarithm of the ratio of both densities is a parabola of the distance to the lower mean.
    distance = means[1] - means[0]
    lower, upper = (deviation**-2.0 for deviation in deviations)
    if weights[1] == 0:
        return float('inf')
    with np.errstate(divide='ignore'):
        odds = np.log(weights[1] * deviations[0]) - np.log(weights[0] * deviations[1])
    start = odds - distance**2 * upper / 2
    slope, bend = distance * upper, (lower - upper) / 2
    if start > 0:
        return means[0]
    root = slope**2 - 4 * bend * start
    # No root: the upper component is the likelier one nowhere.
    return float(means[0] - 2 * start / (slope + np.sqrt(root))) if root >= 0 else float('inf')


class ChangeEstimate(nn.Module):
    """Estimate of which locations have changed, bootstrapped from the distances a net makes.

    Keeps a running mean of the change ratio of every location and year, and decides now and then,
    by a mixture of two Gaussians over all of them, which ones have changed. All of it is in
    buffers, so a resumed run goes on with the same estimate. Processes that train together exchange
    what they observe at every update, so each holds the estimate of all, and a checkpoint of any of
    them at any time is complete.

    References:
        CACo, 2023, https://doi.org/10.1109/CVPR52729.2023.00529, section 3.
    """

    #: NaN stands for what was never seen.
    holds_nan = True

    ratio: Tensor
    changed: Tensor
    fitted: Tensor
    refused: Tensor

    def __init__(self, locations: int = 0, years: int = 2, decay: float = 0.8) -> None:
        """Initialize a new ChangeEstimate instance.

        Args:
            locations: Number of locations, or 0 until :meth:`resize` tells it.
            years: Number of years of a location.
            decay: Share of a ratio that stays when the location is visited again.

        Raises:
            ValueError: If *decay* is no share, or a number is out of range.
        """
        super().__init__()
        self.decay = check_range('decay', decay, '[0, 1)')
        check_range('locations', locations, 'int [0, inf)')
        check_range('years', years, 'int [1, inf)')
        #: Running mean of the ratio of every location and year, NaN where never seen.
        self.register_buffer('ratio', torch.full((locations, years), torch.nan))
        #: What was decided of each: 1 changed, 0 not, -1 never seen.
        self.register_buffer('changed', torch.full((locations, years), -1, dtype=torch.int8))
        # Numbers of the mixture that was decided by, NaN before and where there was none.
        self.register_buffer('fitted', torch.full((7,), torch.nan))
        # Observations skipped since the last decision.
        self.register_buffer('refused', torch.tensor(0), persistent=False)

    @property
    def mixture(self) -> Mixture | None:
        """The components that locations were last decided by, or None if there were none."""
        numbers = self.fitted.tolist()
        if np.isnan(numbers).any():
            return None
        (a, b, c, d, e, f, threshold) = numbers
        return Mixture((a, b), (c, d), (e, f), threshold)

    def resize(self, locations: int) -> None:
        """Make room for the locations of a data set.

        Args:
            locations: Number of locations.

        Raises:
            ValueError: If it is not positive, or other than what was trained on.
        """
        if locations < 1:
            raise ValueError(
                f'the data set must have at least 1 location, got locations={locations}'
            )
        known, years = self.ratio.shape
        if locations == known:
            return
        if not self.ratio.isnan().all():
            raise ValueError(
                f'the change of {known} locations was estimated, and the data have {locations}; go '
                'on with the data set that was trained on, or start anew from the weights alone'
            )
        self.ratio = self.ratio.new_full((locations, years), torch.nan)
        self.changed = self.changed.new_full((locations, years), -1)

    @torch.no_grad()
    def update(self, location: Tensor, ratio: Tensor) -> None:
        """Take in the ratios of some locations.

        The first one of a location stands as it is; then r <- decay r + (1 - decay) R. Several of
        one location count as one, their mean. Every process must call this equally often, with
        equally many locations.

        A GPU is not waited for: there, unknown locations and ratios that are not finite are left
        out, counted, and refused by :meth:`decide`.

        Args:
            location: Numbers of the locations, (B).
            ratio: Change ratio of each, (B, Y).

        Raises:
            ValueError: If shapes are wrong, a location is unknown, or a ratio is NaN or infinite.
        """
        if location.ndim != 1 or ratio.shape != (len(location), self.ratio.shape[1]):
            raise ValueError(
                f'location must be (B) and ratio (B, {self.ratio.shape[1]}), got '
                f'{tuple(location.shape)} and {tuple(ratio.shape)}'
            )
        location, ratio = all_gather(location), all_gather(ratio.to(self.ratio))
        known = (location >= 0) & (location < len(self.ratio))
        fit = known & ratio.isfinite().all(1)
        if location.device.type == 'cpu':
            self._require_fit(location, known, fit)
        self.refused += (~fit).sum()
        index = location.where(known, 0)
        # Rows of one location all get the mean over that location, so any of them may be kept.
        alike = (index[:, None] == index) & fit
        counts = alike.sum(1, keepdim=True)
        observed = alike.to(ratio.dtype) @ torch.where(fit[:, None], ratio, 0) / counts
        before = self.ratio[index]
        moved = self.decay * before + (1 - self.decay) * observed
        moved = torch.where(before.isnan(), observed, moved)
        self.ratio[index] = torch.where(counts > 0, moved, before)

    @torch.no_grad()
    def decide(self) -> None:
        """Decide which of the locations seen so far have changed.

        A second call in a row changes nothing.

        Raises:
            ValueError: If :meth:`update` has left something out since the last call.
        """
        refused = int(self.refused)
        self.refused.zero_()
        if refused:
            raise ValueError(
                f'{refused} change ratios were NaN or infinite, or of no location from 0 to '
                f'{len(self.ratio) - 1}; look at the images and at the numbers of the locations, '
                'or lower lr'
            )
        seen = ~self.ratio.isnan()
        values = self.ratio[seen].double().cpu().numpy()
        mixture = two_gaussians(values)
        numbers, upper = [torch.nan] * 7, np.zeros(values.shape, bool)
        if mixture is not None:
            numbers = [*(number for part in mixture[:3] for number in part), mixture.threshold]
            upper = mixture.upper(values)
        self.fitted.copy_(torch.tensor(numbers))
        self.changed[seen] = torch.from_numpy(upper).to(self.changed)

    def is_changed(self, location: Tensor) -> Tensor:
        """Whether locations are taken to have changed; those never seen are not.

        Args:
            location: Numbers of the locations, (B).

        Returns:
            For every year, (B, Y).
        """
        return self.changed[location] == 1

    def _require_fit(self, location: Tensor, known: Tensor, fit: Tensor) -> None:
        """Refuse numbers that no location has, and ratios that are not finite."""
        if not known.all():
            raise ValueError(
                f'location number {location[~known][0]} is not one of the {len(self.ratio)} of the '
                'estimate, counted from 0; call resize with the number of locations of the data set'
            )
        if not fit.all():
            raise ValueError(
                'the change ratio is NaN or infinite on the locations number '
                f'{sorted(set(location[~fit].tolist()))}, counted from 0; look at their images, or '
                'lower lr'
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load the buffers; an estimate without locations takes the number of theirs."""
        loaded, known = state_dict.get(f'{prefix}ratio'), len(self.ratio)
        if isinstance(loaded, Tensor) and len(loaded) != known:
            if known:
                raise ValueError(
                    f'the change of {len(loaded)} locations was estimated, and the data have '
                    f'{known}; go on with the data set that was trained on, or start anew from the '
                    'weights alone'
                )
            self.resize(len(loaded))
        super()._load_from_state_dict(state_dict, prefix, *args)
