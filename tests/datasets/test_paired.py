# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from torchgeo_saco.datasets import PairedArchive, SeasonalArchive

from ..data.archives import write_archive, write_labels, write_radar_archive

BANDS = ('B02', 'B03', 'B04')


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Folders of five locations of Sentinel-2 at four dates and of Sentinel-1 at two."""
    folder = tmp_path_factory.mktemp('paired')
    first = write_archive(folder / 's2', 5, bands=('B2', 'B3', 'B4'))
    write_labels(first, ['a', 'b', 'a', 'b', 'a'])
    return first, write_radar_archive(folder / 's1', 5)


@pytest.mark.parametrize('dates', [1, 3])
def test_the_nearest_date_of_the_second_sensor_is_read(roots, dates):
    archive = PairedArchive(*roots, bands=BANDS, dates=dates)
    plain = SeasonalArchive(roots[0], BANDS, dates)
    assert len(archive) == len(plain) == 20
    for index in range(len(archive)):
        sample, alone = archive[index], plain[index]
        # The first sensor is read as without the second.
        for name in alone:
            assert torch.equal(sample[name], alone[name])
        assert sample['s1'].shape == (dates, 2, 36, 36)
        for day, image in zip(sample['date'].tolist(), sample['s1'], strict=True):
            scene = '20180711' if day < 20190101 else '20190713'
            name = f'{int(sample["location"]):06d}'
            for band, channel in zip(('VV', 'VH'), image, strict=True):
                with rasterio.open(roots[1] / name / f'{scene}T053000_T31UFS' / f'{band}.tif') as f:
                    np.testing.assert_array_equal(channel, f.read(1))


def test_years_and_single_images_keep_their_axes(roots):
    years = PairedArchive(*roots, bands=BANDS, dates=2, item='years')
    assert years[0]['s1'].shape == (2, 2, 2, 36, 36)
    single = PairedArchive(*roots, bands=BANDS, time_axis=False)
    assert single[0]['s1'].shape == (2, 36, 36)


def test_locations_of_one_sensor_are_skipped_and_numbers_stay(roots, tmp_path):
    second = write_radar_archive(tmp_path / 's1', 4)
    (second / '000001').rename(second / 'other')
    archive = PairedArchive(roots[0], second, bands=BANDS)
    assert archive.locations.names.to_pylist() == ['000000', '000002', '000003']
    assert [int(archive[i]['location']) for i in range(0, 12, 4)] == [0, 2, 3]
    assert archive.skipped == [
        f'location {name}, since {second} has no such location' for name in ('000001', '000004')
    ]
    # Labels stay with their locations, and a part finds its partners.
    assert archive.label_numbers.tolist() == [0, 0, 1]
    part = archive.part(np.array([2]))
    assert torch.equal(part[0]['s1'], archive[8]['s1'])


def test_dates_too_far_apart_are_skipped(roots):
    # Of April and July, the images of July are near those of Sentinel-1.
    with pytest.raises(ValueError, match=r'no location .* can be paired; skipped: .*max_days=30'):
        PairedArchive(*roots, bands=BANDS, max_days=30)
    assert len(PairedArchive(*roots, bands=BANDS, max_days=100)) == 20


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda root: (root / '000000').rename(root / 'x'), None),
        (lambda root: [p.rename(root / f'x{p.name}') for p in list(root.iterdir())],
         'have no location in common; name the locations of both alike'),
    ],
)  # fmt: skip
def test_archives_without_a_common_location_are_refused(roots, tmp_path, change, message):
    second = write_radar_archive(tmp_path / 's1', 5)
    change(second)
    if message is None:
        assert len(PairedArchive(roots[0], second).locations) == 4
        return
    with pytest.raises(ValueError, match=message):
        PairedArchive(roots[0], second)


def test_grids_that_differ_are_refused(roots, tmp_path):
    second = write_radar_archive(tmp_path / 's1', 5, size=24)
    with pytest.raises(ValueError, match=r'are 36 x 36 px, those of .* 24 x 24 px; bring both'):
        PairedArchive(roots[0], second)
    # Windows of one size in the centre of both show other ground.
    with pytest.raises(ValueError, match='share 44% of their ground; bring both to one grid'):
        PairedArchive(roots[0], second, size=24)
    assert PairedArchive(*roots, size=24)[0]['s1'].shape == (1, 2, 24, 24)


def test_images_of_other_ground_are_refused(roots, tmp_path):
    second = write_radar_archive(tmp_path / 's1', 5)
    for path in second.rglob('*.tif'):
        with rasterio.open(path, 'r+') as file:
            file.transform = from_origin(500200, 5600000, 10, 10)
    with pytest.raises(ValueError, match=r'share .*% of their ground; bring both to one grid'):
        PairedArchive(roots[0], second)


def test_nodata_of_backscatter_is_refused(roots):
    with pytest.raises(ValueError, match='holds backscatter, where the 0 that stands for nodata'):
        SeasonalArchive(roots[1], sensor='sentinel1', max_nodata=0.5)
    assert len(PairedArchive(*roots, max_nodata=0.5)) == 20


def test_one_sensor_twice_is_refused(roots):
    with pytest.raises(ValueError, match='both hold Sentinel-2 L1C; name archives of two sensors'):
        PairedArchive(roots[0], roots[0], second_sensor='sentinel2_l1c')


def test_published_folders_of_both_sensors_are_read_from_one_root(real_data):
    archive = PairedArchive(real_data / 'ssl4eo_s12', sensor='sentinel2_l1c')
    sample = archive[0]
    assert sample['image'].shape == (1, 13, 264, 264)
    assert sample['s1'].shape == (1, 2, 264, 264)
    assert -40 < sample['s1'].min() < sample['s1'].mean() < 0
