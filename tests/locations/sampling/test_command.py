# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of ``torchgeo-saco sample``, as a user runs it."""

import datetime

import geopandas as gpd
import pytest
from PIL import Image
from shapely.geometry import box

from torchgeo_saco.cli import main
from torchgeo_saco.locations.sampling import (
    DateWindows,
    built_in_cities,
    built_in_land,
    sample_points,
)


@pytest.mark.slow
def test_first_run(tmp_path, capsys):
    output, figure = tmp_path / 'points.geojson', tmp_path / 'figures' / 'map.png'
    main([
        'sample',
        '--output', str(output), '--count', '30', '--dates.latest', '2025-06-01', '--seed', '4',
        '--figure', str(figure),
    ])  # fmt: skip
    points = sample_points(30, built_in_cities(), built_in_land(), seed=4)
    expected = DateWindows('2025-06-01')(points, seed=4)
    read = gpd.read_file(output)
    assert read.geometry.geom_equals(expected.geometry).all()
    assert read['start'].astype(str).str[:10].tolist() == expected['start'].tolist()
    with Image.open(figure) as image:
        assert min(image.size) > 300
    said = capsys.readouterr().out
    counts = points.attrs
    assert f'30 locations of {counts["tried"]} tried: {counts["in_water"]} were in water' in said
    assert f'{counts["too_near"]} too near another, {counts["out_of_view"]} beyond the l' in said
    assert f'300 windows of 15 days, {expected["start"].min()} to {expected["end"].max()}' in said
    assert '--land not given: the coarse outline of the package' in said


def test_files_and_arguments_of_ones_own(tmp_path, capsys):
    cities = tmp_path / 'cities.csv'
    cities.write_text('city,lat,lng,population\nHere,50,10,5000\nThere,51,10,4000\nFar,0,0,9\n')
    land = tmp_path / 'land.gpkg'
    gpd.GeoDataFrame(geometry=[box(9, 49, 11, 52)], crs='EPSG:4326').to_file(land)
    output = tmp_path / 'points.parquet'
    main([
        'sample',
        f'--output={output}', f'--cities={cities}', f'--land={land}', '--count=20',
        '--spread_km=5', '--spacing_km=1', '--most_populous=2', '--dates.latest=2024-12-31',
        '--dates.seasons=2', '--dates.step_weeks=20', '--dates.years=3', '--dates.gap_years=1',
        '--dates.half_width_days=10',
        '--dates.shift_days=30', '--latitudes=[50,84]',
    ])  # fmt: skip
    read = gpd.read_parquet(output)
    assert len(read) == 20 * 2 * 3
    assert set(read['city']) == {'Here', 'There'}
    assert read.geometry.y.min() >= 50
    assert read['start'].min() > '2022-06-10'
    said = capsys.readouterr().out
    assert 'not given' not in said


@pytest.mark.parametrize('method', ['uniform', 'cities'])
def test_baselines(tmp_path, capsys, method):
    output = tmp_path / 'points.gpkg'
    main(['sample', f'--output={output}', '--count=25', f'--method={method}', '--dates.years=1'])
    read = gpd.read_file(output)
    assert read['location'].nunique() == 25
    assert (read['city'] == '').all() == (method == 'uniform')
    assert '--land not given' in capsys.readouterr().out
    # Four weeks ago at the latest; a day more where midnight passes.
    newest = datetime.date.fromisoformat(str(read['end'].max())[:10])
    assert newest <= datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(weeks=4)


@pytest.mark.parametrize(
    ('arguments', 'tokens'),
    [
        (['--output=points.csv'], 'points.csv must end in .geojson, .gpkg or .parquet'),
        (['--output={old}'], 'old.gpkg exists; name another file or remove it'),
        (['--output={new}', '--figure={new}'], 'must end in .png, .pdf or .svg'),
        (
            ['--output={new}', '--dates.latest=soon'],
            'latest must be a day, such as 2025-12-31, got',
        ),
        (['--output={new}', '--dates.latest=2999-01-01'], 'latest 2999-01-01 is in the future'),
        (['--output={new}', '--dates.latest=2018-01-01'], 'before the launch of Sentinel-2'),
        (['--output={new}', '--count=0'], 'count must be from 1 to 1000000, got 0'),
        (
            ['--output={new}', '--count=many'],
            '"count": Expected a <class \'int\'>. Got value: many',
        ),
        (['--output={new}', '--method=gauss'], '"method": Expected a typing.Literal'),
        (['--output={new}', '--cities=none.csv'], 'there is no table of cities none.csv'),
        (['--output={new}', '--land=none.shp'], 'there is no file of land none.shp'),
        (['--output={new}', '--spread=5'], 'unrecognized arguments: --spread=5'),
        (['--count=5'], 'the following arguments are required: output'),
    ],
)
def test_wrong_arguments(tmp_path, capsys, arguments, tokens):
    old, new = tmp_path / 'old.gpkg', tmp_path / 'new.gpkg'
    old.touch()
    with pytest.raises(SystemExit) as caught:
        main(['sample'] + [argument.format(old=old, new=new) for argument in arguments])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert 'torchgeo-saco sample: error: ' in error
    assert tokens in error
    assert not new.exists()


def test_help(capsys):
    with pytest.raises(SystemExit) as caught:
        main(['sample', '--help'])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert 'GeoNames' in said
    assert '--spacing_km' in said
