# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio.warp import transform_bounds

from torchgeo_saco.bands import SENTINEL2_L2A, band_name
from torchgeo_saco.synthesis import COVERS, LABELS, VERSION, archive, generate_sample_archive

from .conftest import SMALL


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def scenes(root: Path, kind: str = 'seasonal') -> list[Path]:
    return sorted(scene for scene in (root / kind).glob('*/*') if scene.is_dir())


@pytest.mark.slow
def test_files_do_not_depend_on_the_number_of_processes(small_archive: Path, tmp_path: Path):
    other = generate_sample_archive(tmp_path / 'a', **SMALL, workers=2, progress=False)
    assert contents(other) == contents(small_archive)


def test_location_does_not_depend_on_how_many_there_are(small_archive: Path, tmp_path: Path):
    alone = SMALL | {'locations': 1}
    other = contents(generate_sample_archive(tmp_path / 'a', **alone, workers=1, progress=False))
    whole = contents(small_archive)
    first = [name for name in other if '000000' in name]
    assert len(first) == 4 * 12 + 2 * 2 + 2
    assert all(other[name] == whole[name] for name in first)


def test_other_seed_gives_other_pixels(small_archive: Path, tmp_path: Path):
    other = SMALL | {'locations': 1, 'seed': 25}
    root = generate_sample_archive(tmp_path / 'a', **other, workers=1, progress=False)
    mask = 'masks/000000.tif'
    assert (root / mask).read_bytes() != (small_archive / mask).read_bytes()


def test_seasonal_tree_holds_only_locations_and_labels(small_archive: Path):
    seasonal = small_archive / 'seasonal'
    names = ['000000', '000001', '000002', 'labels.csv']
    assert sorted(entry.name for entry in seasonal.iterdir()) == names
    for scene in scenes(small_archive):
        assert re.fullmatch(r'\d{8}T\d{6}_\d{8}T\d{6}_T\d{2}[A-Z]{3}', scene.name)
        files = sorted(file.stem for file in scene.iterdir())
        assert {band_name(name) for name in files} == set(SENTINEL2_L2A.bands)
        assert 'B8A' in files
        assert 'B1' in files
    assert len(scenes(small_archive)) == 3 * 2 * 2


def test_both_years_show_the_same_days(small_archive: Path):
    for place in ('000000', '000001', '000002'):
        days = [scene.name[:8] for scene in sorted((small_archive / 'seasonal' / place).iterdir())]
        assert [day[4:] for day in days[:2]] == [day[4:] for day in days[2:]]
        assert [day[:4] for day in days] == ['2018', '2018', '2019', '2019']


def test_bands_lie_on_their_native_utm_grid(small_archive: Path):
    zones = set()
    for scene in scenes(small_archive):
        corners = set()
        for path in scene.iterdir():
            with rasterio.open(path) as file:
                metres = SENTINEL2_L2A.bands[band_name(path.stem)]
                assert file.dtypes == ('uint8',)
                assert file.shape == (480 / metres, 480 / metres)
                assert file.res == (metres, metres)
                corners.add((file.bounds.left, file.bounds.top))
                zones.add(file.crs.to_epsg())
                assert file.read(1).max() > 0
        assert len(corners) == 1
        assert all(number % 60 == 0 for number in next(iter(corners)))
    assert len(zones) == 3
    assert all(32601 <= zone <= 32660 for zone in zones)


def test_labels_say_what_each_location_is(small_archive: Path):
    labels = pd.read_csv(small_archive / 'seasonal' / 'labels.csv', dtype={'location': str})
    assert list(labels) == ['location', 'label', 'longitude', 'latitude', 'changed']
    assert list(labels.location) == ['000000', '000001', '000002']
    assert list(labels.label) == ['winter_crops', 'pasture', 'river']
    assert list(labels.changed) == [1, 0, 0]
    for row in labels.itertuples():
        with rasterio.open(small_archive / 'masks' / f'{row.location}.tif') as file:
            west, south, east, north = transform_bounds(file.crs, 4326, *file.bounds)
        assert west < row.longitude < east
        assert south < row.latitude < north


def test_masks_carry_names_and_colors(small_archive: Path):
    classes = pd.read_csv(small_archive / 'classes.csv')
    assert list(classes) == ['value', 'name', 'color']
    for path in (small_archive / 'masks').iterdir():
        with rasterio.open(path) as file:
            mask, tags, colors = file.read(1), file.tags(), file.colormap(1)
        assert mask.shape == (48, 48)
        assert set(np.unique(mask)) <= set(classes.value)
        for cover in COVERS.values():
            assert tags[str(cover.value)] == cover.name
            assert colors[cover.value][:3] == cover.color


def test_radar_has_one_scene_a_year_in_decibel(small_archive: Path):
    found = scenes(small_archive, 's1')
    assert len(found) == 3 * 2
    for scene in found:
        assert re.fullmatch(r'S1A_IW_GRDH_1SDV_\d{8}T\d{6}_\d{2}[A-Z]{3}', scene.name)
        with rasterio.open(scene / 'VV.tif') as file:
            vv = file.read(1)
        with rasterio.open(scene / 'VH.tif') as file:
            vh = file.read(1)
        assert vv.dtype == vh.dtype == np.int16
        assert vv.shape == vh.shape == (48, 48)
        assert -2500 < np.median(vh) < np.median(vv) < 0


def test_readme_says_synthetic_seed_version_and_sources(small_archive: Path):
    text = (small_archive / 'README.md').read_text()
    assert 'SYNTHETIC' in text
    assert f'version {VERSION}, seed 24' in text
    assert 'doi:10.3133/ds1035' in text


def test_marker_holds_the_parameters(small_archive: Path):
    expected = SMALL | {'version': VERSION, 'years': [2018, 2019]}
    assert json.loads((small_archive / 'archive.json').read_text()) == expected


def test_complete_archive_is_left_alone(small_archive: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, 'write_location', None)
    assert generate_sample_archive(str(small_archive), **SMALL) == small_archive


def test_other_parameters_are_an_error_that_names_both(small_archive: Path):
    with pytest.raises(ValueError, match=r'seed 24, but seed 7 is asked for; name another folder'):
        generate_sample_archive(small_archive, **(SMALL | {'seed': 7}))


def test_other_version_is_an_error(small_archive: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive, 'VERSION', VERSION + 1)
    with pytest.raises(ValueError, match=f'version {VERSION}, but version {VERSION + 1} is'):
        generate_sample_archive(small_archive, **SMALL)


@pytest.mark.parametrize(
    ('argument', 'message'),
    [
        ({'locations': 0}, 'locations must be at least 1, got 0'),
        ({'size': 50}, 'multiple of 6.*got 50'),
        ({'size': 12}, 'at least 24, got 12'),
        ({'dates_per_year': 13}, 'dates_per_year must be 1 to 12, got 13'),
        ({'years': (2019, 2018)}, 'two years in order'),
        ({'years': (2019,)}, 'two years in order'),
        ({'seed': -1}, 'seed must be at least 0, got -1'),
        ({'workers': 0}, 'workers must be at least 1 or None, got 0'),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, argument: dict, message: str):
    with pytest.raises(ValueError, match=message):
        generate_sample_archive(tmp_path / 'a', **argument)
    assert not any(tmp_path.iterdir())


def test_every_ten_locations_have_every_label():
    for seed in range(3):
        locations = [archive.sample_location(seed, number, 24) for number in range(40)]
        for start in range(0, 40, 10):
            assert {place.label for place in locations[start : start + 10]} == set(LABELS)
        assert sum(place.changed for place in locations) == 6
