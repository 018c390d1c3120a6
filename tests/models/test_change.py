# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the change ratio, its mixture, and the estimate of change."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy.stats import norm
from skimage.filters import threshold_otsu
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import distributed, nn
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

from torchgeo_saco.losses.change import change_ratio
from torchgeo_saco.models import change
from torchgeo_saco.models.change import (
    ChangeEstimate,
    Mixture,
    bic_gain,
    otsu_threshold,
    two_gaussians,
)


def sample(seed=0, unchanged=300, changed=60):
    """Ratios as of unchanged and changed locations, and which are which."""
    generator = np.random.default_rng(seed)
    values = [generator.normal(1.0, 0.1, unchanged), generator.normal(2.5, 0.6, changed)]
    return np.concatenate(values), np.arange(unchanged + changed) >= unchanged


def visited(ratios, years=2):
    """Estimate that saw every location once, with one ratio a location."""
    estimate = ChangeEstimate(len(ratios), years)
    ratios = torch.as_tensor(ratios, dtype=torch.float32)
    estimate.update(torch.arange(len(ratios)), ratios[:, None].expand(-1, years))
    return estimate


def test_ratio_against_numpy():
    generator = np.random.default_rng(0)
    short, long = generator.random((2, 5, 2))
    plain = change_ratio(torch.tensor(short), torch.tensor(long))
    squared = change_ratio(torch.tensor(short), torch.tensor(long), squared=True)
    np.testing.assert_allclose(plain, long / (short + 1e-4), rtol=1e-12)
    np.testing.assert_allclose(squared, long**2 / (short**2 + 1e-4), rtol=1e-12)


def test_ratio_of_dates_that_coincide_is_finite():
    ratio = change_ratio(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 2.0]))
    assert ratio.tolist() == [0, 20000]


def test_mixture_finds_both_components():
    values, changed = sample()
    mixture = two_gaussians(values)
    assert mixture.weights == pytest.approx((5 / 6, 1 / 6), abs=0.02)
    assert mixture.means == pytest.approx((1.0, 2.5), abs=0.1)
    assert mixture.deviations == pytest.approx((0.1, 0.6), abs=0.1)
    assert (mixture.upper(values) == changed).mean() > 0.98


def test_threshold_is_where_the_densities_cross():
    mixture = two_gaussians(sample()[0])
    parts = zip(mixture.weights, mixture.means, mixture.deviations, strict=True)
    lower, upper = (weight * norm(m, s).pdf(mixture.threshold) for weight, m, s in parts)
    assert lower == pytest.approx(upper, rel=1e-6)
    np.testing.assert_allclose(mixture.densities([mixture.threshold])[:, 0], [lower, upper])


def test_a_wide_upper_component_does_not_catch_the_smallest_values():
    values, _ = sample()
    mixture = two_gaussians(values)
    # Far below the lower mean the wider component is the likelier one.
    low, high = mixture.densities([-1.0])[:, 0]
    assert high > low
    assert not mixture.upper(-1.0)


def test_a_wide_lower_component_does_not_catch_the_largest_values():
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(0, 2, 300), generator.normal(5, 0.2, 300)])
    mixture = two_gaussians(values)
    low, high = mixture.densities([9.0])[:, 0]
    assert low > high
    assert mixture.upper([4.9, 9.0]).all()


def test_decision_equals_the_posterior_between_the_means():
    mixture = two_gaussians(sample()[0])
    points = np.linspace(*mixture.means, 1000)
    low, high = mixture.densities(points)
    assert ((high > low) == mixture.upper(points)).all()


@pytest.mark.parametrize('scale', [1, 0.01])
@pytest.mark.parametrize('seed', range(20))
def test_start_is_the_best_of_all_splits(seed, scale):
    values = np.sort(np.random.default_rng(seed).choice([0.0, 1, 2, 4, 7, 11, 12, 30], 9)) * scale
    # Values that are equal stay together.
    splits = [i for i in range(1, 9) if values[i - 1] < values[i]]
    costs = [sum(part.var() * len(part) for part in np.split(values, [i])) for i in splits]
    found = change._best_split(values)
    parts = values[values <= found.threshold], values[values > found.threshold]
    assert sum(part.var() * len(part) for part in parts) == pytest.approx(min(costs))
    assert found.means == pytest.approx([part.mean() for part in parts])
    assert found.weights == pytest.approx([len(part) / 9 for part in parts])
    assert found.deviations == pytest.approx([np.sqrt(part.var() + 1e-6) for part in parts])


def test_one_step_of_expectation_and_maximization_against_numpy(monkeypatch):
    monkeypatch.setattr(change, '_MAX_ITERATIONS', 1)
    values = np.sort(sample()[0])
    start = change._best_split(values)
    parts = zip(start.weights, start.means, start.deviations, strict=True)
    shares = np.array([weight * norm(m, s).pdf(values) for weight, m, s in parts])
    shares /= shares.sum(0)
    sums = shares.sum(1)
    means = shares @ values / sums
    deviations = np.sqrt((shares * (values - means[:, None]) ** 2).sum(1) / sums + 1e-6)
    found = change._fit_mixture(values, start)
    np.testing.assert_allclose(found.weights, sums / len(values), rtol=1e-9)
    np.testing.assert_allclose(found.means, means, rtol=1e-9)
    np.testing.assert_allclose(found.deviations, deviations, rtol=1e-6)


class Swapped:
    """A fit that ends with the upper component first."""

    weights_ = np.array([0.2, 0.8])
    means_ = np.array([[3.0], [1.0]])
    covariances_ = np.array([[4.0], [0.25]])

    def __init__(self, *args, **options):
        pass

    def fit(self, values):
        pass


def test_lower_component_comes_first(monkeypatch):
    monkeypatch.setattr('sklearn.mixture.GaussianMixture', Swapped)
    mixture = two_gaussians([0.5, 1.0, 1.5, 3.0, 5.0])
    assert mixture[:3] == ((0.8, 0.2), (1.0, 3.0), (0.5, 2.0))


def test_a_value_on_the_threshold_is_lower():
    mixture = Mixture((0.5, 0.5), (1.0, 3.0), (1.0, 1.0), 2.0)
    assert mixture.upper([2.0, np.nextafter(2.0, 3)]).tolist() == [False, True]


def test_order_and_state_of_generators_do_not_matter():
    values, _ = sample()
    first = two_gaussians(values)
    for seed in range(5):
        np.random.seed(seed)
        assert two_gaussians(np.random.default_rng(seed).permutation(values)) == first


@pytest.mark.parametrize('factor', [1e-2, 1.0, 1e3])
def test_scale_does_not_change_the_decision(factor):
    values, changed = sample()
    assert (two_gaussians(factor * values).upper(factor * values) == changed).mean() > 0.98


@pytest.mark.parametrize(
    'values', [[], [1.0], [2.0] * 50, [0.0, 0.0], [1.0, 1.0 + 1e-9, 1.0 - 1e-9]]
)
def test_equal_values_have_no_components(values):
    assert two_gaussians(values) is None


def test_two_values_are_one_of_either():
    mixture = two_gaussians([3.0, 1.0])
    assert mixture.upper([1.0, 3.0]).tolist() == [False, True]


def test_one_value_far_out():
    values = [*np.linspace(0.9, 1.1, 50), 40.0]
    assert two_gaussians(values).upper(values).tolist() == [False] * 50 + [True]


@pytest.mark.parametrize(
    'fitted',
    [
        Mixture((1.0, 0.0), (1.0, 2.0), (0.1, 0.1), float('inf')),
        Mixture((0.5, 0.5), (1.0, float('nan')), (0.1, 0.1), 1.5),
        Mixture((0.0, 1.0), (0.0, 2.0), (0.1, 5.0), 0.0),
    ],
)
def test_best_split_stands_where_a_component_is_lost(fitted, monkeypatch):
    monkeypatch.setattr(change, '_fit_mixture', lambda ordered, start: fitted)
    mixture = two_gaussians([1.0, 1.2, 3.0])
    assert mixture.means == pytest.approx((1.1, 3.0))
    assert mixture.threshold == pytest.approx(2.1)


@pytest.mark.parametrize(
    ('weights', 'deviations', 'expected'),
    [
        # Equal components part in the middle.
        ((0.5, 0.5), (1.0, 1.0), 1.0),
        # The upper one is the likelier one from the lower mean on.
        ((0.001, 0.999), (1.0, 3.0), 0.0),
        # It is nowhere the likelier one.
        ((1 - 1e-9, 1e-9), (3.0, 1.0), float('inf')),
        ((1.0, 0.0), (1.0, 1.0), float('inf')),
        ((0.0, 1.0), (1.0, 1.0), 0.0),
    ],
)
def test_crossing(weights, deviations, expected):
    assert change._crossing(weights, (0.0, 2.0), deviations) == expected


def test_components_that_do_not_converge_are_no_warning(monkeypatch):
    monkeypatch.setattr(change, '_MAX_ITERATIONS', 1)
    generator = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter('error', ConvergenceWarning)
        assert two_gaussians(generator.random(200)) is not None


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_values_that_are_no_numbers(bad):
    with pytest.raises(ValueError, match='1 of 3 values are NaN or infinite; leave them out'):
        two_gaussians([1.0, bad, 2.0])


def test_running_mean():
    estimate = ChangeEstimate(3)
    seen = []
    for ratio in (2.0, 4.0, 1.0):
        estimate.update(torch.tensor([1]), torch.tensor([[ratio, 10 * ratio]]))
        seen.append(estimate.ratio[1].tolist())
    # methods.md E.5
    np.testing.assert_allclose(seen, [[2.0, 20], [2.4, 24], [2.12, 21.2]], rtol=1e-6)
    assert estimate.ratio[[0, 2]].isnan().all()


def test_place_twice_in_a_batch_counts_once_in_any_order():
    states = []
    for order in itertools.permutations(range(4)):
        estimate = ChangeEstimate(3, years=1)
        estimate.update(torch.tensor([2]), torch.tensor([[1.0]]))
        location, ratio = torch.tensor([0, 2, 2, 2]), torch.tensor([[7.0], [2.0], [3.0], [7.0]])
        estimate.update(location[list(order)], ratio[list(order)])
        states.append(estimate.ratio.nan_to_num(-1).flatten().tolist())
    assert states == [pytest.approx([7.0, -1.0, 0.8 * 1 + 0.2 * 4])] * 24


def test_decision_of_seen_and_unseen_locations():
    estimate = ChangeEstimate(6)
    estimate.update(torch.arange(4), torch.tensor([[1.0, 1.1], [1.05, 1.0], [5.0, 1.0], [1.1, 5]]))
    assert not estimate.is_changed(torch.arange(6)).any()
    estimate.decide()
    assert estimate.changed.tolist() == [[0, 0], [0, 0], [1, 0], [0, 1], [-1, -1], [-1, -1]]
    assert estimate.is_changed(torch.tensor([5, 2])).tolist() == [[False, False], [True, False]]


def test_what_a_gpu_leaves_out_is_refused_at_the_decision(monkeypatch):
    estimate = ChangeEstimate(4)
    # On a CPU it is refused at once.
    monkeypatch.setattr(estimate, '_require_fit', lambda *args: None)
    ratio = torch.tensor([[1.0, 2.0], [9.0, 9.0], [torch.nan, 1.0], [9.0, 9.0], [3.0, 4.0]])
    estimate.update(torch.tensor([0, 4, 1, -1, 0]), ratio)
    assert torch.equal(estimate.ratio[0], torch.tensor([2.0, 3.0]))
    assert estimate.ratio[1:].isnan().all()
    with pytest.raises(ValueError, match=r'3 change ratios were NaN .* of no location from 0 to 3'):
        estimate.decide()
    estimate.decide()
    assert 'refused' not in estimate.state_dict()


def test_decision_twice_is_the_same():
    estimate = visited(sample()[0])
    estimate.decide()
    state = {name: buffer.clone() for name, buffer in estimate.state_dict().items()}
    estimate.decide()
    assert all(torch.equal(state[name], buffer) for name, buffer in estimate.state_dict().items())


def test_decision_agrees_with_its_mixture():
    estimate = visited(sample()[0])
    assert estimate.mixture is None
    estimate.decide()
    upper = estimate.mixture.upper(estimate.ratio)
    assert (torch.from_numpy(upper) == (estimate.changed == 1)).all()
    # Ratios are kept in float32.
    expected = two_gaussians(estimate.ratio.double().numpy())
    for part, values in expected._asdict().items():
        assert getattr(estimate.mixture, part) == pytest.approx(values, rel=1e-6), part


@pytest.mark.parametrize('ratios', [[], [1.0], [3.0, 3.0, 3.0]])
def test_places_that_are_alike_are_unchanged(ratios):
    estimate = ChangeEstimate(4, years=1)
    estimate.update(torch.arange(len(ratios)), torch.tensor(ratios).reshape(-1, 1))
    estimate.decide()
    assert estimate.mixture is None
    assert estimate.changed.flatten().tolist() == [0] * len(ratios) + [-1] * (4 - len(ratios))


def test_places_that_become_alike_lose_the_mixture():
    estimate = ChangeEstimate(2, years=1, decay=0.0)
    estimate.update(torch.arange(2), torch.tensor([[1.0], [4.0]]))
    estimate.decide()
    assert estimate.is_changed(torch.arange(2)).flatten().tolist() == [False, True]
    estimate.update(torch.arange(2), torch.tensor([[2.0], [2.0]]))
    estimate.decide()
    assert estimate.mixture is None
    assert not estimate.is_changed(torch.arange(2)).any()


def test_all_that_training_changes_is_in_the_checkpoint():
    estimate = ChangeEstimate(5)
    before = set(vars(estimate))
    estimate.update(torch.arange(3), torch.tensor([[1.0, 2], [1, 2], [6, 2]]))
    estimate.decide()
    other = ChangeEstimate()
    other.load_state_dict(estimate.state_dict())
    assert set(vars(estimate)) == before
    assert other.mixture == estimate.mixture
    for resumed in (estimate, other):
        resumed.update(torch.tensor([0, 4]), torch.tensor([[3.0, 2], [1, 1]]))
        resumed.decide()
    for name, buffer in estimate.state_dict().items():
        assert torch.equal(buffer.nan_to_num(-1), other.state_dict()[name].nan_to_num(-1))
    assert estimate.ratio.dtype == torch.float32
    assert estimate.changed.dtype == torch.int8


def test_room_for_the_locations_of_a_data_set():
    estimate = ChangeEstimate(2)
    assert estimate.changed.tolist() == [[-1, -1]] * 2
    estimate.resize(3)
    estimate.resize(4)
    assert estimate.changed.tolist() == [[-1, -1]] * 4
    assert estimate.ratio.shape == estimate.changed.shape == (4, 2)
    estimate.update(torch.tensor([3]), torch.ones(1, 2))
    estimate.resize(4)
    assert estimate.ratio[3].tolist() == [1, 1]
    with pytest.raises(ValueError, match='of 4 locations was estimated, and the data have 5'):
        estimate.resize(5)


@pytest.mark.parametrize('locations', [0, -2])
def test_data_set_without_locations(locations):
    with pytest.raises(ValueError, match=f'at least 1 location, got locations={locations}'):
        ChangeEstimate().resize(locations)


@pytest.mark.parametrize('locations', [0, 3])
def test_checkpoint_of_another_data_set(locations):
    with pytest.raises(ValueError, match=f'of {locations} locations was estimated, .* have 4'):
        ChangeEstimate(4).load_state_dict(ChangeEstimate(locations).state_dict())


def test_estimate_inside_a_module_takes_its_size_from_the_checkpoint():
    trained, fresh = nn.Module(), nn.Module()
    trained.change, fresh.change = visited([1.0, 2.0, 9.0]), ChangeEstimate()
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.change.ratio, trained.change.ratio)


@pytest.mark.parametrize(
    ('location', 'ratio', 'tokens'),
    [
        ([0], [[1.0]], r'ratio \(B, 2\), got \(1,\) and \(1, 1\)'),
        ([[0]], [[1.0, 1.0]], r'got \(1, 1\) and \(1, 2\)'),
        ([0, 1], [[1.0, 1.0]], r'got \(2,\) and \(1, 2\)'),
        ([1, 7], [[1.0, 1.0]] * 2, 'location number 7 is not one of the 3 of the estimate'),
        ([3], [[1.0, 1.0]], 'location number 3 is not one of the 3'),
        ([-1], [[1.0, 1.0]], 'location number -1 is not one of the 3'),
        (
            [0, 2],
            [[1.0, 1.0], [float('nan'), 1.0]],
            r'NaN or infinite on the locations number \[2\]',
        ),
        ([1], [[1.0, float('inf')]], r'NaN or infinite on the locations number \[1\]'),
    ],
)
def test_wrong_observations_leave_the_estimate_alone(location, ratio, tokens):
    estimate = ChangeEstimate(3)
    with pytest.raises(ValueError, match=tokens):
        estimate.update(torch.tensor(location), torch.tensor(ratio))
    assert estimate.ratio.isnan().all()


@pytest.mark.parametrize('decay', [-0.1, 1.0, float('nan')])
def test_wrong_decay(decay):
    with pytest.raises(ValueError, match=r'decay must be .*at least 0 and below 1, got'):
        ChangeEstimate(decay=decay)


@pytest.mark.parametrize('numbers', [(-1, 2), (3, 0)])
def test_wrong_numbers(numbers):
    with pytest.raises(ValueError, match=r'(locations|years) must be at least ., got'):
        ChangeEstimate(*numbers)


#: Locations and ratios that each of two processes sees in three steps: disjoint ones, common ones,
#: and one several times.
STEPS = (
    (([0, 1], [1.0, 2.0]), ([2, 3], [9.0, 2.5])),
    (([2, 0], [4.0, 2.0]), ([2, 4], [8.0, 1.5])),
    (([1, 1], [3.0, 5.0]), ([1, 3], [1.0, 1.0])),
)


class Observed(nn.Module):
    """A net whose step updates an estimate."""

    def __init__(self):
        super().__init__()
        self.change = ChangeEstimate(6, years=1)
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, location, ratio):
        self.change.update(location, ratio)
        return (self.weight * ratio).sum()


def observe(rank, folder):
    """One of two processes that train together."""
    distributed.init_process_group('gloo', f'file://{folder}/meeting', rank=rank, world_size=2)
    net = Observed()
    # Copies the buffers of the first process over those of the other before every step.
    parallel = DistributedDataParallel(net)
    for step in STEPS:
        location, ratio = step[rank]
        parallel(torch.tensor(location), torch.tensor(ratio)[:, None]).backward()
    net.change.decide()
    torch.save(net.change.state_dict(), f'{folder}/state{rank}')
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_hold_what_one_would(tmp_path, monkeypatch):
    monkeypatch.setenv('GLOO_SOCKET_IFNAME', 'lo')
    spawn(observe, (tmp_path,), nprocs=2)
    expected = ChangeEstimate(6, years=1)
    for step in STEPS:
        location, ratio = ([*step[0][i], *step[1][i]] for i in range(2))
        expected.update(torch.tensor(location), torch.tensor(ratio)[:, None])
    expected.decide()
    assert expected.changed.flatten().tolist() == [0, 0, 1, 0, 0, -1]
    for rank in range(2):
        state = torch.load(tmp_path / f'state{rank}', weights_only=True)
        for name, buffer in expected.state_dict().items():
            assert torch.equal(state[name].nan_to_num(-1), buffer.nan_to_num(-1)), (rank, name)


@pytest.mark.parametrize('upper', [0, 5, 80])
def test_gain_of_two_components_is_that_of_scikit_learn(upper):
    values = sample(unchanged=120, changed=upper)[0]
    mixture = two_gaussians(values)
    fitted = [GaussianMixture(1), GaussianMixture(2, covariance_type='diag')]
    for model in fitted:
        model.fit(values[:, None])
    model = fitted[1]
    # The same components: the criterion alone is compared.
    model.weights_, model.means_ = np.array(mixture.weights), np.array(mixture.means)[:, None]
    model.covariances_ = np.array(mixture.deviations)[:, None] ** 2
    model.precisions_cholesky_ = 1 / np.array(mixture.deviations)[:, None]
    one, two = (model.bic(values[:, None]) for model in fitted)
    gain = bic_gain(values, mixture)
    assert gain == pytest.approx(one - two, abs=1e-3)
    assert (gain > 0) == (upper > 0)


def test_values_of_low_precision_are_counted_in_double():
    values = sample()[0].astype(np.float32)
    mixture = two_gaussians(values)
    assert mixture == two_gaussians(values.astype(np.float64))
    assert bic_gain(values, mixture) == bic_gain(values.astype(np.float64), mixture)
    half = np.array([0.1, 0.7], np.float16)
    found = mixture.densities(half)
    np.testing.assert_array_equal(found, mixture.densities(half.astype(np.float64)))


@pytest.mark.parametrize('seed', range(3))
def test_otsu_is_that_of_scikit_image(seed):
    random = np.random.default_rng(seed)
    values = np.concatenate([random.poisson(5, 400), random.poisson(20 + 10 * seed, 100)])
    found = otsu_threshold(values)
    # Of whole numbers it looks at every threshold; its own is the last value below.
    np.testing.assert_array_equal(values > found, values > threshold_otsu(values.astype('uint8')))


def test_otsu_of_equal_values():
    assert otsu_threshold([1.0, 1.0]) is None
    with pytest.raises(ValueError, match='1 of 2 values are NaN'):
        otsu_threshold([1.0, np.nan])
