# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of change vectors, MAD and IR-MAD against NumPy and SciPy, and of the laws they follow."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.stats
import torch
from scipy.ndimage import map_coordinates

from torchgeo_saco.change.pixels import (
    BandChannels,
    FeatureChannels,
    PixelChange,
    change_magnitude,
    mad,
)
from torchgeo_saco.models import EncoderConfig, load_encoder

BANDS = ['B02', 'B03', 'B04', 'B08']


def scenes(dates=2, bands=4, side=48, noise=0.3, seed=0):
    """Images whose bands depend on one another and agree between dates up to noise."""
    random = np.random.default_rng(seed)
    ground = random.normal(size=(bands, side, side))
    mixing = random.normal(size=(bands, bands))
    images = [
        np.einsum('kc,chw->khw', mixing, ground + noise * random.normal(size=ground.shape))
        for _ in range(dates)
    ]
    return torch.from_numpy(np.stack(images)).float()


def magnitude(images, method, window=1, valid=None):
    return change_magnitude(images, valid, PixelChange(BandChannels(), method, window)).numpy()


def reference_mad(images, iterations=1):
    """MAD by the generalized eigenproblem of Nielsen, 2007, equations 1-8; root of mean square."""
    bands = images.shape[1]
    first, second = images.double().flatten(2).numpy()
    weights = np.ones(first.shape[1])
    before = np.full(bands, np.inf)
    for _ in range(iterations):
        covariance = np.cov(np.vstack([first, second]), aweights=weights, ddof=0)
        xx, xy, yy = (
            covariance[:bands, :bands],
            covariance[:bands, bands:],
            covariance[bands:, bands:],
        )
        squared, left = scipy.linalg.eigh(xy @ np.linalg.solve(yy, xy.T), xx)
        correlations = np.sqrt(squared)
        right = np.linalg.solve(yy, xy.T) @ left / correlations
        variates = left.T @ (first - np.average(first, 1, weights)[:, None])
        variates -= right.T @ (second - np.average(second, 1, weights)[:, None])
        square = (variates**2 / (2 * (1 - correlations))[:, None]).sum(0)
        if np.abs(correlations - before).max() < 1e-3:
            break
        before = correlations
        weights = scipy.stats.chi2.sf(square, bands)
    return np.sqrt(square / bands).reshape(images.shape[2:])


def test_change_vectors_are_those_of_standardized_bands():
    images = scenes()
    values = images.double().numpy()
    mean, deviation = values.mean((2, 3), keepdims=True), values.std((2, 3), keepdims=True)
    first, second = (values - mean) / deviation
    wanted = np.sqrt(np.square(second - first).mean(0))
    np.testing.assert_allclose(magnitude(images, 'cva'), wanted, rtol=1e-4)


@pytest.mark.parametrize(('method', 'iterations'), [('mad', 1), ('irmad', 50)])
def test_mad_is_that_of_the_generalized_eigenproblem(method, iterations):
    images = scenes()
    images[1, :, 5:15, 5:15] += 4
    wanted = reference_mad(images, iterations)
    # Shrinkage moves where the iterations stop a little.
    np.testing.assert_allclose(
        magnitude(images, method), wanted, rtol=2e-3 if method == 'mad' else 1e-2
    )


@pytest.mark.parametrize('method', ['mad', 'irmad'])
def test_mad_does_not_depend_on_linear_changes_of_a_date(method):
    images = scenes()
    mixing = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 4))).float()
    other = images.clone()
    other[1] = torch.einsum('kc,chw->khw', mixing, images[1]) + 7
    np.testing.assert_allclose(magnitude(other, method), magnitude(images, method), rtol=1e-2)


def test_change_vectors_do_not_depend_on_gain_and_offset_of_a_band():
    images = scenes()
    other = images.clone()
    other[1] = images[1] * torch.tensor([2.0, 3.0, 0.1, 1.0])[:, None, None] + 5
    np.testing.assert_allclose(magnitude(other, 'cva'), magnitude(images, 'cva'), rtol=1e-3)


def test_squares_of_mad_follow_a_chi_square_distribution_without_change():
    squares = 4 * magnitude(scenes(side=100), 'mad').ravel() ** 2
    assert scipy.stats.kstest(squares, scipy.stats.chi2(4).cdf).statistic < 0.02


def test_statistics_of_irmad_come_from_what_has_not_changed():
    images = scenes(side=100)
    images[1, :, :, :30] = images[1, :, :, :30].flip(2).flip(1) * 1.5 + 6
    still = np.s_[:, 30:]
    narrow, robust = (magnitude(images, method)[still] for method in ('mad', 'irmad'))
    without = magnitude(images[..., 30:], 'irmad')
    assert abs(np.median(robust) / np.median(without) - 1) < 0.05
    assert np.median(narrow) < 0.8 * np.median(without)


def test_irmad_stops_before_a_few_pixels_count_alone():
    # Differences of every size, of which the smaller ones always agree better than the others.
    images = scenes(side=64)
    noise = np.random.default_rng(2).standard_t(1.5, size=images[0].shape)
    images[1] = images[0] + torch.from_numpy(noise).float()
    change = PixelChange(BandChannels(), 'irmad', 1)
    found = change_magnitude(images, change=change)
    assert 0.05 <= change.transforms[0][0].stopped_at < 0.5
    assert 'irmad of dates 1 and 2 stopped where' in change.report()[0]
    assert found.isfinite().all()
    change = PixelChange(BandChannels(), 'irmad', 1)
    change_magnitude(scenes(side=64), change=change)
    assert change.transforms[0][0].stopped_at is None and not change.report()


def test_bands_that_are_constant_or_alike_tell_nothing():
    images = scenes()
    more = torch.cat([images, torch.full_like(images[:, :1], 0.3), images[:, :1]], 1)
    for method, share in (('cva', (4, 5)), ('mad', (4, 6))):
        found = magnitude(more, method)
        assert np.isfinite(found).all()
        if method == 'mad':
            # A band twice is one direction: the same squares among more channels.
            wanted = magnitude(images, method) * np.sqrt(share[0] / share[1])
            np.testing.assert_allclose(found, wanted, rtol=2e-2)


def test_the_same_image_twice_has_not_changed():
    images = scenes(1).expand(2, -1, -1, -1)
    for method in ('cva', 'mad', 'irmad'):
        assert magnitude(images, method).max() < 1e-2


def test_of_several_dates_the_largest_pair_counts():
    images = scenes(4)
    pairs = [magnitude(images[i : i + 2], 'mad') for i in range(3)]
    np.testing.assert_allclose(magnitude(images, 'mad'), np.max(pairs, 0), rtol=1e-5)


def test_window_is_a_mean_of_squares():
    images = scenes()
    squares = magnitude(images, 'cva') ** 2
    found = magnitude(images, 'cva', window=5) ** 2
    wanted = scipy.ndimage.uniform_filter(squares, 5)
    np.testing.assert_allclose(found[2:-2, 2:-2], wanted[2:-2, 2:-2], rtol=1e-4)
    np.testing.assert_allclose(found[0, 0], squares[:3, :3].mean(), rtol=1e-4)


@pytest.mark.parametrize('method', ['cva', 'mad', 'irmad'])
def test_missing_pixels_have_no_say(method):
    images, valid = scenes(), torch.ones(48, 48, dtype=torch.bool)
    valid[:20, 10:30] = False
    other = images.clone()
    other[..., ~valid] = 1e4
    found = [magnitude(of, method, 3, valid) for of in (images, other)]
    np.testing.assert_array_equal(np.isnan(found[0]), ~valid.numpy())
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return load_encoder(BANDS, model='test_resnet', texture=False).encoder


def test_features_are_those_of_inputs_standardized_by_date(encoder):
    images = scenes(side=64).abs()
    change = PixelChange(FeatureChannels(encoder, [0, 1]), 'cva', 1)
    found = change_magnitude(images, change=change).numpy()
    total = np.zeros(found.shape)
    dates = []
    for image in images:
        groups = encoder.inputs.unnormalized(image[None])
        mean, variance = groups.mean((0, 3, 4)), groups.var((0, 3, 4), unbiased=False)
        groups = (groups - mean[:, :, None, None]) / (variance[:, :, None, None] + 1e-6).sqrt()
        with torch.no_grad():
            taps = encoder.backbone.forward_intermediates(groups[0], intermediates_only=True)
        dates.append([tap.double().numpy() for tap in taps[:2]])
    for level in range(2):
        values = np.stack([date[level] for date in dates])
        deviation = values.std((3, 4), keepdims=True)
        flat = deviation <= 1e-5 * np.sqrt(np.square(values).mean((3, 4), keepdims=True))
        scores = (values - values.mean((3, 4), keepdims=True)) / np.where(flat, np.inf, deviation)
        # Mean over channels, then over groups.
        squares = np.square(scores[1] - scores[0]).mean((0, 1))
        # A cell is centred on the first of its pixels; beyond the last one it stays.
        ratio = len(found) // len(squares)
        places = np.minimum(np.arange(len(found)) / ratio, len(squares) - 1)
        grid = np.stack(np.meshgrid(places, places, indexing='ij'))
        total += map_coordinates(squares, grid, order=1) / 2
    np.testing.assert_allclose(found, np.sqrt(total), rtol=1e-3)


@pytest.mark.parametrize('level', [0, 1, 2])
def test_a_change_is_mapped_where_it_is(level):
    """The centre of what features find lies on the changed pixels, whatever the level."""
    torch.manual_seed(0)
    net = EncoderConfig(
        'resnet18', ['B04', 'B03', 'B02'], 'sentinel2_l2a', {'rgb': ['B04', 'B03', 'B02']}, []
    ).encoder()
    images = 0.3 + 0.01 * torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    images[1, :, 60:69, 60:69] += 0.3
    channels = FeatureChannels(net, [level], fit_backbone=True)
    magnitude = change_magnitude(images, change=PixelChange(channels, 'cva', 1)).square()
    weight = (magnitude - magnitude.median()).clamp_min(0)
    rows = (weight.sum(1) * torch.arange(128)).sum() / weight.sum()
    assert rows.item() == pytest.approx(64, abs=0.5 * 2**level)


def test_features_do_not_depend_on_the_light_of_a_date(encoder):
    images = scenes(side=64).abs()
    darker = images.clone()
    darker[1] = 0.4 * darker[1] + 0.1
    found = [
        change_magnitude(of, change=PixelChange(FeatureChannels(encoder), 'mad')).numpy()
        for of in (images, darker)
    ]
    np.testing.assert_allclose(*found, rtol=2e-2)


def test_weights_that_bring_their_scaling_keep_it():
    torch.manual_seed(0)
    scaling = {'mean': [0.2], 'std': [0.5], 'low': [0.0], 'high': [1.0]}
    groups = {'natural_color': ['B04', 'B03', 'B02']}
    encoder = EncoderConfig(
        'test_resnet', BANDS, 'sentinel2_l2a', groups, [], scaling=scaling
    ).encoder()
    images, valid = scenes(side=64).abs(), torch.ones(64, 64, dtype=torch.bool)
    channels = FeatureChannels(encoder)
    channels.fit(lambda: [(images, valid)])
    (found,) = channels(images, valid)
    for image, values in zip(images, found.values, strict=True):
        scaled = (image[[2, 1, 0]].clamp(0, 1) - 0.2) / 0.5
        with torch.no_grad():
            taps = encoder.backbone.forward_intermediates(scaled[None], intermediates_only=True)
        torch.testing.assert_close(values, taps[0][0], rtol=1e-4, atol=1e-5)


def test_mean_over_groups_is_one_map(encoder):
    images, valid = scenes(side=64).abs(), torch.ones(64, 64, dtype=torch.bool)
    each, fused = (FeatureChannels(encoder, [1], groups) for groups in ('each', 'mean'))
    maps = each(images, valid)
    assert len(maps) == len(encoder.inputs.names) == 2
    wanted = torch.stack([map_.values for map_ in maps]).mean(0)
    torch.testing.assert_close(fused(images, valid)[0].values, wanted)


@pytest.mark.parametrize('side', [50, 61])
def test_sides_that_no_feature_divides(encoder, side):
    images = scenes(side=side).abs()
    change = PixelChange(FeatureChannels(encoder, [0, 2]), 'cva')
    assert np.isfinite(change_magnitude(images, change=change).numpy()).all()


def test_statistics_are_taken_from_a_regular_grid(monkeypatch):
    monkeypatch.setattr('torchgeo_saco.change.pixels._SAMPLE', 2 * 4 * 48 * 48 // 9)
    images = scenes()
    first, second = (image[:, ::3, ::3].flatten(1).T.numpy() for image in images)
    change = PixelChange(BandChannels(), 'mad', 1)
    change_magnitude(images, change=change)
    wanted = mad(first, second)
    np.testing.assert_allclose(change.transforms[0][0].means, wanted.means, rtol=1e-6)
    np.testing.assert_allclose(change.transforms[0][0].matrices, wanted.matrices, rtol=1e-6)


def test_refusals(encoder):
    images = scenes()
    with pytest.raises(ValueError, match='of two dates or more, got'):
        change_magnitude(images[:1])
    with pytest.raises(ValueError, match='method'):
        PixelChange(BandChannels(), 'pca')
    with pytest.raises(ValueError, match='odd number of pixels from 1 on, got 2'):
        PixelChange(BandChannels(), window=2)
    with pytest.raises(ValueError, match=r'levels must be some of 0 \(finest\) to 4, got \[5\]'):
        FeatureChannels(encoder, [5])
    with pytest.raises(ValueError, match='4 pixels with data on all dates are too few for mad of'):
        change_magnitude(images[..., :2, :2])
    change = PixelChange(BandChannels())
    with pytest.raises(RuntimeError, match='call fit first'):
        change(images)
    change_magnitude(images, change=change)
    with pytest.raises(ValueError, match='there are 3 dates, and 2 were fitted'):
        change(scenes(3))


def test_irmad_that_does_not_settle_says_so(monkeypatch):
    monkeypatch.setattr('torchgeo_saco.change.pixels._ITERATIONS', 2)
    monkeypatch.setattr('torchgeo_saco.change.pixels._TOLERANCE', 0.0)
    change = PixelChange(BandChannels(), 'irmad')
    change_magnitude(scenes(), change=change)
    assert change.report() == [
        'irmad of dates 1 and 2 did not settle within 2 iterations; see mad too'
    ]


def test_missing_pixels_do_not_spread():
    images = scenes()
    valid = torch.ones(images.shape[-2:], dtype=torch.bool)
    valid[10, 10] = False
    images[1, :, 10, 10] = torch.nan
    found = change_magnitude(images, valid)
    assert torch.equal(found.isnan(), ~valid)


def test_mad_needs_an_iteration():
    with pytest.raises(ValueError, match=r'iterations must be .*, got 0'):
        mad(np.ones((5, 2)), np.ones((5, 2)), iterations=0)
