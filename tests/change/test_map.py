# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the change of locations by a trained task."""

import io
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from lightning.pytorch import LightningModule
from rich.console import Console
from scipy.spatial.distance import cdist, pdist
from torch import nn

from torchgeo_saco.change.map import _decide, change_map, distances
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.tasks import SACo
from torchgeo_saco.transforms import Reflectance

from ..data.archives import write_archive, write_tif

BANDS = ('B02', 'B03', 'B04')


class Views(nn.Module):
    """Images as they are."""

    def original(self, image):
        return image


class MeanColour(LightningModule):
    """A task that embeds the mean of each band, in the second of two sub-spaces."""

    bands = BANDS
    season_space = 1

    def __init__(self):
        super().__init__()
        self.views = Views()
        self.seen = 0

    def query(self, view):
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.seen += len(view)
        colour = view.mean((2, 3))[:, None]
        # Groups whose mean is the colour, and a sub-space where all is equal.
        tint = torch.tensor([0.2, 1.0, 1.5])
        groups = torch.cat([tint * colour, (2 - tint) * colour], 1)
        return torch.stack([torch.ones_like(groups), groups])


def colours(path):
    """Mean of each band of a scene, of length one."""
    means = []
    for band in ('B2', 'B3', 'B4'):
        with rasterio.open(path / f'{band}.tif') as file:
            means.append(file.read().mean() / 255)
    return np.array(means) / np.linalg.norm(means)


@pytest.fixture
def root(tmp_path):
    """Six locations; the first two have other colours from the second year on."""
    root = write_archive(tmp_path / 'archive', bands=('B2', 'B3', 'B4'), size=12)
    for place, band in (('000000', 'B2'), ('000001', 'B4')):
        for scene in (root / place).glob('2019*'):
            with rasterio.open(scene / f'{band}.tif') as file:
                image = file.read()
            write_tif(scene / f'{band}.tif', 255 - image)
    return root


def opened(root, **arguments):
    return SeasonalArchive(root, **arguments)


def test_table_against_scipy(root):
    # Years of unequal length: the nearest dates are of the same season.
    shutil.copytree(next((root / '000003').glob('20190720*')), root / '000003' / '20190101')
    changes = change_map(MeanColour(), opened(root))
    table = changes.table.set_index('location')
    assert sorted(table.index) == [f'{i:06d}' for i in range(6)]
    for name, row in table.iterrows():
        scenes = sorted((root / name).iterdir())
        years = [
            np.array([colours(scene) for scene in scenes if scene.name.startswith(year)])
            for year in ('2018', '2019')
        ]
        short = np.mean([pdist(year).mean() for year in years])
        between = cdist(*years)
        same = between[[0, 1], [-2, -1]].mean()
        assert row.short_distance == pytest.approx(short, rel=1e-5)
        assert row.long_distance == pytest.approx(between.mean(), rel=1e-5)
        assert row.long_same_season == pytest.approx(same, rel=1e-5)
        assert row.ratio == pytest.approx(between.mean() / (short + 1e-4), rel=1e-4)
        assert (row.first_year, row.last_year, row.dates) == (2018, 2019, len(scenes))
    assert not changes.skipped


def test_changed_locations_are_found(root):
    table, mixture, *_ = change_map(MeanColour(), opened(root), least_locations=6)
    assert table.ratio.is_monotonic_decreasing
    assert set(table.location[:2]) == {'000000', '000001'}
    assert table.decision.tolist() == ['changed'] * 2 + ['unchanged'] * 4
    assert (table.threshold == mixture.threshold).all()
    assert ((table.decision == 'changed') == (table.ratio > mixture.threshold)).all()


@pytest.mark.slow
def test_few_locations_are_undecided(root):
    table, mixture, _, reason = change_map(MeanColour(), opened(root))
    assert mixture is None
    assert reason == '6 locations are fewer than least_locations=50'
    assert (table.decision == 'undecided').all()
    assert table.threshold.isna().all()
    decided = change_map(MeanColour(), opened(root), least_locations=6).table
    assert table.ratio.tolist() == decided.ratio.tolist()


@pytest.mark.parametrize(('upper', 'decided'), [(0, False), (40, True)])
def test_two_kinds_that_are_no_better_than_one_are_undecided(upper, decided):
    generator = np.random.default_rng(3)
    ratios = np.append(generator.normal(1, 0.2, 160), generator.normal(3, 0.4, upper))
    rows = {'location': [f'{i:06d}' for i in range(len(ratios))], 'ratio': ratios}
    changes = _decide(gpd.GeoDataFrame(rows | {'geometry': None}, geometry='geometry'), [], 50)
    if decided:
        assert changes.undecided == ''
        assert (changes.table.decision == 'changed').sum() == pytest.approx(upper, abs=2)
    else:
        assert 'two Gaussians describe the ratios no better than one (BIC' in changes.undecided
        assert changes.mixture is None
        assert set(changes.table.decision) == {'undecided'}


def test_footprints(root):
    table = change_map(MeanColour(), opened(root)).table
    assert table.crs == 'EPSG:4326'
    assert table.geometry.notna().all()
    # write_tif puts all files at one corner, 12 x 12 px of 10 m.
    utm = table.to_crs('EPSG:32631').geometry
    np.testing.assert_allclose(utm.bounds, [[500000, 5599880, 500120, 5600000]] * 6, atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_files_without_georeference_have_no_footprint(root):
    for path in root.rglob('*.tif'):
        with rasterio.open(path) as file:
            image = file.read()
        write_tif(path, image, crs=None, transform=Affine.identity())
    table = change_map(MeanColour(), opened(root), least_locations=6).table
    assert table.geometry.isna().all()
    assert (table.decision == 'changed').sum() == 2


def test_places_without_two_years_are_listed(root):
    for scene in (root / '000002').glob('2019*'):
        shutil.rmtree(scene)
    shutil.rmtree(next((root / '000004').glob('20180410*')))
    task = MeanColour()
    changes = change_map(task, opened(root))
    assert '000002' not in set(changes.table.location)
    assert changes.skipped == [
        '000002 has dates 2 in 2018, not two years of 2',
        '000004 has dates 1 in 2018, 2 in 2019, not two years of 2',
    ]
    # Images of locations skipped are not read.
    assert task.seen == 4 * 4


@pytest.mark.slow
def test_years_between_are_not_read(root):
    for place in root.iterdir():
        for month in ('04', '07'):
            source = next(place.glob(f'2019{month}*'))
            shutil.copytree(source, place / f'2020{month}15')
    task = MeanColour()
    table = change_map(task, opened(root)).table
    assert task.seen == 6 * 4
    assert (table.last_year == 2020).all()


@pytest.mark.slow
def test_halves_of_all_dates(root):
    for scene in list(root.glob('*/20190412*')):
        scene.rename(scene.parent / '20181230')
    with pytest.raises(ValueError, match='no location with 2 dates in each of two years, such as'):
        change_map(MeanColour(), opened(root))
    halves = opened(root, year_rule='halves')
    table = change_map(MeanColour(), halves, least_locations=6).table
    assert (table.decision == 'changed').sum() == 2
    assert (table.dates == 4).all()


@pytest.mark.slow
def test_places_that_are_all_alike(root):
    for path in root.rglob('*.tif'):
        write_tif(path, 100 + np.eye(12, dtype='uint8'))
    table, mixture, _, reason = change_map(MeanColour(), opened(root), least_locations=2)
    assert mixture is None
    assert reason == 'two kinds of locations need two different ratios'
    assert (table.ratio == 0).all()
    assert (table.decision == 'undecided').all()
    assert table.threshold.isna().all()


def test_one_location(root):
    for place in ('000001', '000002', '000003', '000004', '000005'):
        shutil.rmtree(root / place)
    table, mixture, *_ = change_map(MeanColour(), opened(root), least_locations=1)
    assert mixture is None
    assert table.location.tolist() == ['000000']
    assert (table.decision == 'undecided').all()


def test_reflectance_is_that_of_the_files(root):
    class Unit(MeanColour):
        def query(self, view):
            assert view.max() <= 0.5
            return super().query(view)

    change_map(Unit(), opened(root), Reflectance(510.0))
    with pytest.raises(AssertionError):
        change_map(Unit(), opened(root))


def test_batches_do_not_matter_and_modes_are_kept(archive):
    torch.manual_seed(0)
    whole = SeasonalArchive(archive)
    task = SACo(
        model='test_resnet', bands=whole.bands, size=16, queue_size=8, hidden_dims=[16],
        output_dim=8, groups=['natural_color', 'urban'], texture=False,
    )  # fmt: skip
    task.model.bn1.eval()
    modes = {module: module.training for module in task.modules()}
    tables = [change_map(task, whole, batch_size=size).table for size in (3, 64)]
    assert {module: module.training for module in task.modules()} == modes
    assert tables[0].location.tolist() == tables[1].location.tolist()
    np.testing.assert_allclose(tables[0].ratio, tables[1].ratio, rtol=1e-3)
    assert tables[0].ratio.nunique() == 6


def test_modes_are_kept_after_an_error(root):
    class Broken(MeanColour):
        def query(self, view):
            return super().query(view) / 0 * 0

    task = Broken().train()
    with pytest.raises(ValueError, match='an embedding of 000000 is NaN or infinite'):
        change_map(task, opened(root))
    assert task.training


@pytest.mark.parametrize('bands', [None, ('B04', 'B03', 'B02')])
def test_other_bands_than_trained(root, bands):
    task = MeanColour()
    task.bands = bands
    found = 'none yet' if bands is None else 'B04, B03, B02'
    with pytest.raises(ValueError, match=f'bands B02, B03, B04, .* made for {found}; read these'):
        change_map(task, opened(root))


def test_progress_is_shown_where_asked(root, capsys):
    screen = io.StringIO()
    change_map(MeanColour(), opened(root), console=Console(file=screen, force_terminal=True))
    assert 'locations' in screen.getvalue()
    assert not capsys.readouterr().out


def test_distances_of_embeddings_that_coincide():
    year = torch.ones(3, 4, dtype=torch.float64)
    short, long, same = distances(year, year[:2])
    assert (short, long) == (0, 0)
    assert np.isnan(same)


def test_distances_by_hand():
    older = torch.tensor([[0.0], [2.0]])
    later = torch.tensor([[10.0], [11.0], [13.0]])
    short, long, same = distances(older, later, [(0, 2), (1, 0)])
    assert short == pytest.approx((2 + (1 + 3 + 2) / 3) / 2)
    assert long == pytest.approx((10 + 11 + 13 + 8 + 9 + 11) / 6)
    assert same == pytest.approx((13 + 8) / 2)
