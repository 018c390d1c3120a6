# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of tables of cities."""

import numpy as np
import pytest

from torchgeo_saco.locations.sampling import built_in_cities, read_cities

GEONAMES = [
    # geonameid, names, latitude, longitude, class, code, country, 5 codes, population, 4 more
    '1608452\tNan\tNan\tMueang Nan\t18.78\t100.78\tP\tPPLA\tTH\t\t04\t\t\t\t24752\t\t204\tAsia\t2019',  # noqa: E501
    '3352136\t"Old" Windhoek\tWindhoek\t\t-22.56\t17.08\tP\tPPLC\tNA\t\t21\t\t\t\t268132\t\t1653\tA\t2020',  # noqa: E501
]
HEADER = (
    'geonameid\tname\tasciiname\talternatenames\tlatitude\tlongitude\tfeature class\tfeature code\t'
    'country code\tcc2\tadmin1 code\tadmin2 code\tadmin3 code\tadmin4 code\tpopulation\televation\t'
    'dem\ttimezone\tmodification date'
)
SIMPLEMAPS = (
    '"city","city_ascii","lat","lng","country","iso2","iso3","admin_name","capital","population",'
    '"id"\n'
    '"São Paulo","Sao Paulo","-23.5504","-46.6339","Brazil","BR","BRA","São Paulo","admin",'
    '"23086000","1076532519"\n'
    '"Washington, D.C.","Washington","38.9047","-77.0163","United States","US","USA","","primary",'
    '"50789.0","1840006060"\n'
    '"Nowhere","Nowhere","0","0","","","","","","","3"\n'
)


def write(folder, text, encoding='utf-8'):
    path = folder / 'cities.txt'
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize('header', [[], [HEADER]])
def test_geonames_with_and_without_header(tmp_path, header):
    cities = read_cities(write(tmp_path, '\n'.join([*header, *GEONAMES]) + '\n'))
    # Neither the city of Nan nor the code of Namibia is a missing value.
    assert cities['city'].tolist() == ['Nan', '"Old" Windhoek']
    assert cities['country'].tolist() == ['TH', 'NA']
    assert cities['population'].tolist() == [24752, 268132]
    assert cities.geometry.x.tolist() == [100.78, 17.08]
    assert cities.geometry.y.tolist() == [18.78, -22.56]
    assert cities.crs == 'EPSG:4326'


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
def test_simplemaps(tmp_path, encoding):
    cities = read_cities(write(tmp_path, SIMPLEMAPS, encoding))
    assert cities['city'].tolist() == ['São Paulo', 'Washington, D.C.', 'Nowhere']
    # SeCo removes the point and makes 507890 of it.
    assert cities['population'].tolist()[:2] == [23086000, 50789]
    assert np.isnan(cities['population'][4])
    assert cities.geometry.x.tolist() == [-46.6339, -77.0163, 0]


def test_columns_are_found_by_name_in_any_order(tmp_path):
    cities = read_cities(write(tmp_path, 'Population;LON;Name;Latitude\n5;7.5;A;50\n'))
    assert cities['city'].tolist() == ['A']
    assert cities['country'].tolist() == ['']
    assert (cities.geometry[2].x, cities.geometry[2].y) == (7.5, 50)


def test_built_in_cities():
    cities = built_in_cities()
    assert len(cities) > 30_000
    assert cities['population'].between(0, 4e7).all()
    assert cities['population'].is_monotonic_decreasing
    # All continents but Antarctica have some.
    paris = cities[cities['country'] == 'FR'].set_index('city').geometry['Paris']
    assert (round(paris.x, 2), round(paris.y, 2)) == (2.35, 48.85)
    for west, south, east, north in (
        (-130, 25, -60, 55), (-80, -35, -35, 10), (-15, -35, 45, 35), (-10, 36, 40, 65),
        (60, 0, 145, 60), (110, -45, 180, -10),
    ):  # fmt: skip
        assert len(cities.cx[west:east, south:north]) > 300


ROW = 'city,lat,lng,population\nA,1,2,3\nB,{},{},{}\n'


@pytest.mark.parametrize(
    ('text', 'tokens'),
    [
        ('', 'no table of cities: No columns'),
        ('city,lat,lng,population\n', 'holds no city'),
        ('city,lat,population\nA,1,2\n', 'no column of longitude .*but city, lat, population$'),
        ('city,lat,lng,popluation\nA,1,2,3\n', "no column of population .*is it 'popluation'"),
        ('city,lat,lng,population,City\nA,1,2,3,4\n', "two columns 'city'"),
        ('city,lat,lng,population\nA,1,2,3,4\n', 'no table of cities'),
        ('city,lat,lng,population\nA,1,2,3\nA,1,2,3,4\n', 'no table of cities.*line 3'),
        (ROW.format('', 2, 3), "row 3 has the latitude '', which must be degrees from -90 to 90"),
        (ROW.format(1, ' ', 3), "row 3 has the longitude ' '"),
        (ROW.format(91, 2, 3), "row 3 has the latitude '91'"),
        (ROW.format(1, 181, 3), "row 3 has the longitude '181', .* -180 to 180"),
        (ROW.format('north', 2, 3), "row 3 has the latitude 'north'"),
        (ROW.format('nan', 2, 3), "row 3 has the latitude 'nan'"),
        (ROW.format(1, 'inf', 3), "row 3 has the longitude 'inf'"),
        (ROW.format(1, 2, 'many'), "row 3 has the population 'many', .* such as 50789"),
        (ROW.format(1, 2, '"1,234"'), "row 3 has the population '1,234'"),
        (ROW.format(1, 2, -1), "row 3 has the population '-1'"),
        (ROW.format('', 2, 3) + 'C,,1,1\n', r'\(2 rows in all\); mend or remove it'),
        (GEONAMES[0].replace('18.78', '') + '\n', "row 1 has the latitude ''"),
        (GEONAMES[0] + '\n5\tShort\n', "row 2 has the latitude ''"),
    ],
)
def test_wrong_tables(tmp_path, text, tokens):
    with pytest.raises(ValueError, match=tokens) as caught:
        read_cities(write(tmp_path, text))
    assert 'cities.txt' in str(caught.value)


def test_wrong_files(tmp_path):
    with pytest.raises(ValueError, match=r'there is no table of cities .*missing'):
        read_cities(tmp_path / 'missing.csv')
    with pytest.raises(ValueError, match='there is no table of cities'):
        read_cities(tmp_path)
    with pytest.raises(ValueError, match='is not in UTF-8'):
        read_cities(write(tmp_path, SIMPLEMAPS, 'latin-1'))
