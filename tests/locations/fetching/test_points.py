# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import datetime

import pytest
import shapely

from torchgeo_saco.locations.fetching import DateWindow, TargetLocation, read_locations

from ...data.location_tables import SPRING_2019, SPRING_2020, points

HERE = (3.0, 50.0)
TABLE = points(
    ('000000', SPRING_2019, HERE), ('000001', SPRING_2019, (-70.5, -33.0)),
    ('000000', SPRING_2020, HERE),
)  # fmt: skip


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


@pytest.mark.parametrize('ending', ['geojson', 'gpkg', 'parquet'])
def test_rows_become_locations_whatever_the_format(ending, tmp_path):
    path = tmp_path / f'points.{ending}'
    if ending == 'parquet':
        pytest.importorskip('pyarrow')
        TABLE.to_parquet(path)
    else:
        TABLE.to_file(path)
    first = DateWindow(day('2019-04-08'), day('2019-04-22'))
    later = DateWindow(day('2020-04-08'), day('2020-04-22'))
    assert read_locations(path) == [
        TargetLocation('000000', 3.0, 50.0, (first, later)), TargetLocation('000001', -70.5, -33.0, (first,))  # noqa: E501
    ]  # fmt: skip


def test_other_reference_systems_and_numbers_as_names():
    table = TABLE.assign(location=[7, 8, 7]).to_crs(3857)
    places = read_locations(table)
    assert [place.name for place in places] == ['000007', '000008']
    assert places[0].longitude == pytest.approx(3.0, abs=1e-9)


def test_longitudes_beyond_the_antimeridian_are_counted_around():
    assert read_locations(points(('a', SPRING_2019, (181.5, 10))))[0].longitude == -178.5


def test_middle_of_a_window_counts_the_last_day():
    window = DateWindow(day('2019-04-08'), day('2019-04-08'))
    assert window.middle.isoformat() == '2019-04-08T12:00:00+00:00'


@pytest.mark.parametrize(
    ('table', 'message'),
    [
        (TABLE.drop(columns='start'), 'no column start; write it by `torchgeo-saco sample`'),
        (TABLE.iloc[:0], 'no rows'),
        (TABLE.set_crs(None, allow_override=True), 'no coordinate reference system'),
        (TABLE.assign(start='soon'), "row 1: 'soon' and '2019-04-22' are not two dates"),
        (TABLE.assign(start=None), 'row 1: None and .* are not two dates'),
        (TABLE.assign(end='2018-01-01'), 'row 1: the window .* ends before it starts'),
        (TABLE.assign(location='../000000'), "row 1: location '../000000' does not make a folder"),
        (TABLE.assign(location='.hidden'), "row 1: location '.hidden' does not make a folder"),
        (TABLE.assign(location='a'), 'row 2: location a lies at two points'),
        (TABLE.assign(start='2019-04-08', end='2019-04-22'), 'row 3: location 000000 has the win'),
        (points(('a', SPRING_2019, (0, 85))), 'row 1: .* latitude 85, where there is no UTM zone'),
        (points(('a', SPRING_2019, (0, -90))), 'latitude -90, where there is no UTM zone'),
        (points(('a', SPRING_2019, (50, 95))), 'not on Earth; are the coordinates in degrees'),
        (TABLE.set_geometry([shapely.box(3, 50, 4, 51)] * 3, crs=4326), 'row 1: location 000000 has no point'),  # noqa: E501
        (TABLE.set_geometry([None] * 3, crs=4326), 'row 1: location 000000 has no point'),
        (TABLE.set_geometry([shapely.Point()] * 3, crs=4326), 'location 000000 has no point'),
    ],
)  # fmt: skip
def test_rows_that_make_no_sense_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        read_locations(table)


def test_files_that_are_no_table_are_refused(tmp_path):
    for name in ('lost.geojson', 'lost.parquet'):
        with pytest.raises(FileNotFoundError, match=f'{name} does not exist'):
            read_locations(tmp_path / name)
    (tmp_path / 'page.geojson').write_text('<html>')
    with pytest.raises(ValueError, match=r'page\.geojson cannot be read as a table of points'):
        read_locations(tmp_path / 'page.geojson')
    (tmp_path / 'plain.csv').write_text('location,start,end\n0,2019-01-01,2019-01-02\n')
    with pytest.raises(ValueError, match=r'plain\.csv has no geometry'):
        read_locations(tmp_path / 'plain.csv')
