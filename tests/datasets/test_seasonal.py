# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of seasonal archives."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch.utils.data import DataLoader
from torchgeo.datasets import RGBBandsMissingError

from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.raster import BandFileError
from torchgeo_saco.samplers.order import EpochIndex

from ..data.archives import ALL_BANDS, DATES, write_archive, write_labels, write_tif


def test_reads_all_bands_on_one_grid(archive):
    data = SeasonalArchive(archive, dates=2)
    assert len(data) == 24
    assert data.bands == (
        'B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B11', 'B12',
    )  # fmt: skip
    sample = data[0]
    assert sample['image'].shape == (2, 12, 36, 36)
    assert sample['image'].dtype == torch.uint8
    assert sample['date'][0] == 20180410
    assert sample['location'] == 0


def test_bands_are_what_their_names_say(tmp_path):
    for number, band in enumerate(ALL_BANDS, 1):
        write_tif(tmp_path / 'a/20190301' / f'{band}.tif', np.full((6, 6), number, 'uint16'))
    data = SeasonalArchive(tmp_path, bands=['b8a', 'B12', 'B02'])
    assert data.bands == ('B8A', 'B12', 'B02')
    assert data[0]['image'][0, :, 0, 0].tolist() == [9, 12, 2]
    assert data[0]['image'].dtype == torch.uint16


def test_every_date_is_an_item_and_comes_first(archive):
    data = SeasonalArchive(archive, dates=2)
    days = [data[i]['date'] for i in range(4)]
    assert [int(day[0]) for day in days] == [int(date) for date in DATES]
    assert all(day[0] != day[1] for day in days)


def test_every_location_is_an_item(archive):
    data = SeasonalArchive(archive, dates=4, item='location')
    assert len(data) == 6
    assert sorted(data[5]['date'].tolist()) == [int(date) for date in DATES]


def test_draws_depend_on_seed_epoch_and_index_alone(archive, monkeypatch):
    data = SeasonalArchive(archive, dates=2)

    def drawn(epoch):
        return [int(data[EpochIndex(i, epoch)]['date'][1]) for i in range(len(data))]

    first = drawn(0)
    assert drawn(1) != first
    assert drawn(0) == first == [int(data[i]['date'][1]) for i in range(len(data))]
    monkeypatch.setenv('PL_GLOBAL_SEED', '1')
    assert drawn(0) != first


def test_workers_draw_the_same(archive):
    data = SeasonalArchive(archive, dates=2)
    alone, helped = (
        [batch['date'] for batch in DataLoader(data, batch_size=5, num_workers=n)] for n in (0, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))


@pytest.mark.parametrize(('rule', 'same'), [('same_year', True), ('other_year', False)])
def test_years_of_the_other_date(archive, rule, same):
    data = SeasonalArchive(archive, dates=2, other_dates=rule)
    for epoch in range(5):
        for i in range(len(data)):
            first, second = data[EpochIndex(i, epoch)]['date'] // 10000
            assert (first == second) == same


@pytest.mark.parametrize('dates', [1, 2])
def test_two_years_are_an_axis(archive, dates):
    data = SeasonalArchive(archive, dates=dates, item='years')
    assert len(data) == 6
    for epoch in range(4):
        sample = data[EpochIndex(2, epoch)]
        assert sample['image'].shape == (2, dates, 12, 36, 36)
        assert sample['date'].shape == (2, dates)
        assert (sample['date'] // 10000 == torch.tensor([[2018], [2019]])).all()
        # The archive has two seasons a year, a few days apart between the years.
        assert torch.equal(sample['date'][0] // 100 % 100, sample['date'][1] // 100 % 100)
        location = data.locations[2]
        scenes = {scene.date.strftime('%Y%m%d'): i for i, scene in enumerate(location.scenes)}
        for image, day in zip(sample['image'].flatten(0, 1), sample['date'].flatten(), strict=True):
            assert torch.equal(image, data.read_scene(location, scenes[str(day.item())]))


def test_seasons_may_be_drawn_alone(archive):
    data = SeasonalArchive(archive, dates=1, item='years', same_season=False)
    months = {
        tuple((data[EpochIndex(0, e)]['date'][:, 0] // 100 % 100).tolist()) for e in range(30)
    }
    assert months == {(4, 4), (4, 7), (7, 4), (7, 7)}


def test_part_with_more_dates_than_its_locations_have(archive):
    part = SeasonalArchive(archive).subset(['000001'], 3, 'years')
    with pytest.raises(
        ValueError, match=r'000001 has dates 2 in 2018, 2 in 2019, not two years of 3;'
    ):
        part[0]


def test_years_are_read_as_dates_by_the_parts_of_an_archive(archive):
    part = SeasonalArchive(archive, dates=2, item='years').subset(['000001'], 1, 'date')
    assert [data['image'].shape for data in (part[i] for i in range(4))] == [(1, 12, 36, 36)] * 4


@pytest.mark.parametrize('rule', ['same_year', 'other_year'])
def test_place_whose_years_are_too_few(tmp_path, rule):
    dates = DATES[:2] if rule == 'other_year' else DATES[::2]
    write_archive(tmp_path, locations=1, dates=dates, bands=['B4'])
    with pytest.raises(
        ValueError,
        match=(
            r'000000 has dates 2 in 2018, not 2 from another year|000000 has dates 1 in 2018, '
            r'1 in 2019, not 2 within one year'
        ),
    ):
        SeasonalArchive(tmp_path, dates=2, other_dates=rule)


def test_labels(archive):
    data = SeasonalArchive(archive)
    assert data.classes == ['field', 'town']
    assert [int(data[i]['label']) for i in (0, 4, 8)] == [0, 1, 0]


def test_place_without_a_label(tmp_path):
    write_archive(tmp_path, locations=2, bands=['B4'])
    write_labels(tmp_path, ['field'])
    assert SeasonalArchive(tmp_path)[7]['label'] == -1


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('location,class\n000000,field\n', r'labels\.csv has no column label'),
        ('location,label\n000000,a\n000000,b\n', r'labels\.csv lists location 000000 twice'),
        ('location,label\n0,a\n1,b\n', r"labels\.csv, line 2: .* has no location '0'; correct"),
    ],
)
def test_wrong_table_of_labels(tmp_path, text, message):
    write_archive(tmp_path, locations=1, bands=['B4'])
    (tmp_path / 'labels.csv').write_text(text)
    with pytest.raises(ValueError, match=message):
        SeasonalArchive(tmp_path)


def test_subset_keeps_the_number_of_a_location(archive):
    part = SeasonalArchive(archive, dates=2).subset(['000004', '000005'], dates=1)
    assert len(part) == 8
    assert part[0]['location'] == 4
    assert part[0]['image'].shape[0] == 1


def test_window_is_centred(tmp_path):
    ramp = np.arange(1296, dtype='uint16').reshape(36, 36)
    write_tif(tmp_path / 'a/20190301/B4.tif', ramp)
    data = SeasonalArchive(tmp_path, size=12)
    assert np.array_equal(data[0]['image'][0, 0].numpy(), ramp[12:24, 12:24])


def test_previews_are_rgb(tmp_path):
    image = np.stack([np.full((8, 8), value, 'uint8') for value in (10, 20, 30)])
    write_tif(tmp_path / 'a/20190301T1.tif', image)
    data = SeasonalArchive(tmp_path, previews=True)
    assert data.bands == ('R', 'G', 'B')
    assert data[0]['image'][0, :, 0, 0].tolist() == [10, 20, 30]


def test_previews_give_the_bands_asked_for(tmp_path):
    image = np.stack([np.full((8, 8), value, 'uint8') for value in (10, 20, 30)])
    write_tif(tmp_path / 'a/20190301T1.tif', image)
    data = SeasonalArchive(tmp_path, previews=True, bands=['blue', 'R'])
    assert data[0]['image'][0, :, 0, 0].tolist() == [30, 10]


@pytest.mark.parametrize('path', ['a/20190301/B8.tif', 'b/20190301/B4.tif'])
def test_files_of_another_type(tmp_path, path):
    for file in (
        'a/20190301/B4.tif',
        'a/20190301/B8.tif',
        'b/20190301/B4.tif',
        'b/20190301/B8.tif',
    ):
        write_tif(tmp_path / file, np.eye(8, dtype='uint16' if file == path else 'uint8'))
    name = path[-6:-4]
    with pytest.raises(BandFileError, match=rf'{name}\.tif holds uint16, the first file .* uint8'):
        SeasonalArchive(tmp_path)[1]


def test_empty_location_and_scene_are_refused(tmp_path):
    write_archive(tmp_path, locations=2, bands=['B4'], size=6)
    (tmp_path / '000000' / '20200101').mkdir()
    (tmp_path / '000002').mkdir()
    with pytest.raises(ValueError, match=r'000000/20200101 lacks B04; 000002 has 0 of 1 dates'):
        SeasonalArchive(tmp_path)


def test_cached_image_is_read_once(tmp_path):
    write_archive(tmp_path, locations=1, bands=['B4'], size=6)
    data = SeasonalArchive(tmp_path, cache=True)
    first = data[1]['image']
    (tmp_path / data.source.band_paths(data.locations[0], 1)[0]).unlink()
    assert torch.equal(data[1]['image'], first)


def test_archives_read_alike_share_what_is_in_memory(tmp_path):
    write_archive(tmp_path, locations=1, bands=['B4', 'B3'], size=6)
    image = SeasonalArchive(tmp_path, cache=True)[1]['image']
    first, second = (SeasonalArchive(tmp_path, cache=True) for _ in range(2))
    assert first.read_scene(first.locations[0], 1) is second.read_scene(second.locations[0], 1)
    other = SeasonalArchive(tmp_path, bands=['B3'], cache=True)
    assert other[1]['image'].shape == (1, 1, 6, 6)
    assert torch.equal(other[1]['image'][0], image[0, :1])


def test_files_written_anew_are_read_anew(tmp_path):
    write_archive(tmp_path, locations=1, bands=['B4'], size=6)
    first = SeasonalArchive(tmp_path, cache=True)
    before = first[1]['image']
    path = first.source.band_paths(first.locations[0], 1)[0]
    write_tif(Path(path), np.full((6, 6), 7, 'uint8'))
    os.utime(path, ns=(1, 1))
    assert torch.equal(first[1]['image'], before)
    assert (SeasonalArchive(tmp_path, cache=True)[1]['image'] == 7).all()


def test_types_that_differ_are_refused_from_memory_too(tmp_path):
    write_archive(tmp_path, locations=1, bands=['B4'], size=6, dates=DATES[:1])
    write_archive(
        tmp_path / 'b', locations=1, bands=['B4'], size=6, dates=DATES[:1], dtype='uint16'
    )
    (tmp_path / 'b' / '000000').rename(tmp_path / '000001')
    (tmp_path / 'b').rmdir()
    for _ in range(2):
        data = SeasonalArchive(tmp_path, cache=True)
        with pytest.raises(BandFileError, match=r'B4\.tif holds uint16, the first file .* uint8'):
            data[1]


def test_transform_is_applied(archive):
    data = SeasonalArchive(archive, transforms=lambda sample: {'date': sample['date']})
    assert list(data[0]) == ['date']


def test_index_out_of_range(archive):
    data = SeasonalArchive(archive)
    assert torch.equal(data[-1]['date'], data[23]['date'])
    for index in (24, -25):
        with pytest.raises(IndexError, match=f'item {index} of an archive with 24 items'):
            data[index]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'bands': ['B4', 'B13']}, r"no band 'B13'; did you mean 'B12'\?"),
        ({'bands': ['B4', 'B10']}, r'has no file of band B10; it has B01, B02'),
        ({'bands': ['B4', 'b04']}, r'band B04 is listed twice'),
        ({'dates': 0}, r'dates must be at least 1, got 0'),
        ({'dates': 2.5}, r'dates must be a whole number of at least 1, got 2\.5'),
        ({'dates': 5}, r'000000 has 4 of 5 dates; .* ask for fewer bands or dates'),
        ({'item': 'scene'}, r"item must be one of date, location, years, got 'scene'"),
        ({'other_dates': 'never'}, r'other_dates must be one of any, same_year, other_year'),
        ({'sensor': 'sentinel9'}, r"unknown sensor 'sentinel9'; choose one of sentinel2_l1c"),
        ({'year_rule': 'moon'}, r"year_rule must be one of calendar, halves, got 'moon'"),
        ({'item': 'years', 'dates': 3}, r'000000 has dates 2 in 2018, 2 in 2019, not two years'),
        ({'on_missing': 'hide'}, r'on_missing must be one of error, drop'),
        ({'max_nodata': 2}, r'max_nodata must be from 0 to 1, got 2'),
        ({'size': 64}, r'B2\.tif is 36 x 36 px, too small for a window of size=64'),
        ({'resampling': 'magic'}, r"resampling must be one of .*bilinear.*, got 'magic'"),
        ({'previews': True}, r'holds no location laid out as'),
    ],
)
def test_wrong_argument(archive, wrong, message):
    with pytest.raises(ValueError, match=message):
        SeasonalArchive(archive, **wrong)


def test_scene_that_lacks_a_band_is_refused_or_dropped(tmp_path):
    write_archive(tmp_path, locations=3, bands=['B4', 'B8'], size=6)
    (tmp_path / '000001' / f'{DATES[2]}T103021_20190415T103025_T31UFS' / 'B8.tif').unlink()
    with pytest.raises(ValueError, match=rf'000001/{DATES[2]}T.* lacks B08\. Complete it'):
        SeasonalArchive(tmp_path)
    data = SeasonalArchive(tmp_path, dates=4, on_missing='drop')
    assert [location.name for location in data.locations] == ['000000', '000002']
    assert len(data.skipped) == 2
    assert data.skipped[1] == '000001 has 3 of 4 dates'


def test_long_report_is_cut(tmp_path):
    write_archive(tmp_path, locations=30, dates=DATES[:2], bands=['B4'], size=6)
    with pytest.raises(ValueError, match=r'000019 has 2 of 3 dates and 10 more\.'):
        SeasonalArchive(tmp_path, dates=3)


def test_nothing_left(tmp_path):
    write_archive(tmp_path, locations=1, dates=DATES[:2], bands=['B4'], size=6)
    with pytest.raises(ValueError, match=r'000000 has 2 of 3 dates'):
        SeasonalArchive(tmp_path, dates=3, on_missing='drop')


@pytest.mark.parametrize('arguments', [{'dates': 2}, {'item': 'years'}, {'dates': 3}])
@pytest.mark.parametrize('on_missing', ['error', 'drop'])
def test_single_dates_are_for_methods_that_compare_views(tmp_path, arguments, on_missing):
    write_archive(tmp_path, locations=2, dates=DATES[:1], bands=['B4'], size=6)
    with pytest.raises(
        ValueError, match=r'has one date per location, .* MoCo with data\.init_args\.dates set to 1'
    ):
        SeasonalArchive(tmp_path, on_missing=on_missing, **arguments)
    assert len(SeasonalArchive(tmp_path, dates=1)) == 2


def test_images_of_different_size(tmp_path):
    write_tif(tmp_path / 'a/20190301/B4.tif', np.ones((8, 8), 'uint8'))
    write_tif(tmp_path / 'b/20190301/B4.tif', np.ones((9, 8), 'uint8'))
    data = SeasonalArchive(tmp_path)
    with pytest.raises(
        BandFileError, match=r'B4\.tif is 8 x 9 px, the first .* 8 x 8 px; set size'
    ):
        data[1]
    assert SeasonalArchive(tmp_path, size=8)[1]['image'].shape == (1, 1, 8, 8)


def test_file_that_vanishes_after_listing(tmp_path):
    write_archive(tmp_path, locations=1, bands=['B4'], size=6)
    data = SeasonalArchive(tmp_path)
    path = data.source.band_paths(data.locations[0], 3)[0]
    (tmp_path / path).unlink()
    with pytest.raises(BandFileError, match=r'B4\.tif is missing'):
        data[3]


def test_plot(archive):
    data = SeasonalArchive(archive, dates=2)
    figure = data.plot(data[0], suptitle='place 0')
    assert figure.axes[0].get_title() == '2018-04-10'
    assert figure.get_suptitle() == 'place 0'
    assert data.plot(data[0], show_titles=False).axes[0].get_title() == ''
    plt.close('all')


def test_plot_without_natural_colour(archive):
    data = SeasonalArchive(archive, bands=['B8', 'B11'])
    with pytest.raises(RGBBandsMissingError):
        data.plot(data[0])


@pytest.mark.parametrize(
    ('name', 'bands', 'shape', 'items'),
    [('ten_bands', 10, (32, 32), 276), ('twelve_bands', 12, (66, 66), 32)],
)
def test_real_archives(real_data, name, bands, shape, items):
    data = SeasonalArchive(real_data / 'seco_layout' / name, dates=2)
    assert (len(data.bands), data.shape, len(data)) == (bands, shape, items)
    image = data[items - 1]['image']
    assert image.shape == (2, bands, *shape)
    # Land reflects more in the near infrared than in the blue.
    channels = [data.bands.index(band) for band in ('B08', 'B02')]
    near_infrared, blue = image.float().mean((0, 2, 3))[channels]
    assert near_infrared > blue > 0


def spoil(root, location, date, how):
    """Replace the bands of one date by values that cannot be used."""
    for path in sorted((root / location).glob(f'{date}*/*.tif')):
        image = np.random.default_rng(0).uniform(0.1, 0.9, (6, 6)).astype('float32')
        if how == 'NaN' and path.name == 'B8.tif':
            image[2, 3] = np.nan
        elif how == 'empty':
            image[:] = 0.25
        write_tif(path, image, nodata=-1 if how == 'nodata' else None)
        if how == 'nodata':
            write_tif(path, image * 0 - 1, nodata=-1)


@pytest.fixture
def spoiled(tmp_path):
    """Archive of 4 locations x 4 dates; three dates of 000001 and one of 000003 are spoiled."""
    write_archive(tmp_path, locations=4, bands=['B4', 'B8'], size=6)
    for path in tmp_path.glob('*/*/*.tif'):
        image = np.random.default_rng(1).uniform(0.1, 0.9, (6, 6)).astype('float32')
        write_tif(path, image)
    spoil(tmp_path, '000001', DATES[0], 'NaN')
    spoil(tmp_path, '000001', DATES[1], 'empty')
    spoil(tmp_path, '000001', DATES[3], 'nodata')
    spoil(tmp_path, '000003', DATES[2], 'empty')
    return tmp_path


def test_dates_without_usable_values_are_refused_together(spoiled):
    message = (
        r'4 of 16 dates of .* hold no usable values: .*B8\.tif holds 1 NaN .* at row 2, column 3; '
        r'.*000001/20180715.* is empty: every pixel of every band is 0\.25; .*B4\.tif has 100\.0% '
        r"nodata.*; .*000003/20190412.*; repair or remove them, or set on_invalid='drop'"
    )
    with pytest.raises(ValueError, match=message):
        SeasonalArchive(spoiled, on_invalid='error')


def test_dates_without_usable_values_are_dropped(spoiled):
    data = SeasonalArchive(spoiled, dates=2, on_invalid='drop')
    kept = {location.name: [str(day) for day in location.days] for location in data.locations}
    assert kept == {
        '000000': ['2018-04-10', '2018-07-15', '2019-04-12', '2019-07-20'],
        '000002': ['2018-04-10', '2018-07-15', '2019-04-12', '2019-07-20'],
        '000003': ['2018-04-10', '2018-07-15', '2019-07-20'],
    }
    assert len(data.skipped) == 5
    assert data.skipped[3] == '000001 has 1 of 2 dates'
    assert all(data[i]['image'].isfinite().all() for i in range(len(data)))
    # The split is of the locations as listed, so that it does not move.
    assert data.source.listed.to_pylist() == ['000000', '000001', '000002', '000003']


@pytest.mark.parametrize(('how', 'message'), [('NaN', 'holds 1 NaN'), ('empty', 'is empty: every')])
def test_a_date_without_usable_values_is_refused_where_it_is_read(tmp_path, how, message):
    write_archive(tmp_path, locations=1, bands=['B4', 'B8'], size=6)
    for date in DATES:
        spoil(tmp_path, '000000', date, how if date == DATES[2] else 'none')
    data = SeasonalArchive(tmp_path)
    assert data[1]['image'].isfinite().all()
    with pytest.raises(BandFileError, match=rf"000000/{DATES[2]}.* {message}.*on_invalid='drop'"):
        data[2]


def test_no_date_is_left(tmp_path):
    write_archive(tmp_path, locations=2, bands=['B4', 'B8'], size=6, dates=DATES[:1])
    for location in ('000000', '000001'):
        spoil(tmp_path, location, DATES[0], 'empty')
    with pytest.raises(ValueError, match=r'no location of .* usable values; 2 of 2 are left out'):
        SeasonalArchive(tmp_path, on_invalid='drop')


def test_one_flat_band_is_no_empty_image(tmp_path):
    write_tif(tmp_path / 'a/20190301/B4.tif', np.full((6, 6), 7, 'uint8'))
    write_tif(tmp_path / 'b/20190301/B4.tif', np.full((6, 6), 255, 'uint8'))
    data = SeasonalArchive(tmp_path)
    assert data[0]['image'].unique().tolist() == [7]
    with pytest.raises(BandFileError, match='every pixel of every band is 255'):
        data[1]


def test_archive_without_invalid_dates_is_the_same(archive):
    plain, checked = SeasonalArchive(archive), SeasonalArchive(archive, on_invalid='error')
    assert checked.skipped == plain.skipped == []
    assert checked.locations.names == plain.locations.names
    with pytest.raises(ValueError, match='on_invalid must be one of error, drop'):
        SeasonalArchive(archive, on_invalid='hide')
