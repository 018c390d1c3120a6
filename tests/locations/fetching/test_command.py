# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import sys
from types import SimpleNamespace

import pytest

from torchgeo_saco.cli import main
from torchgeo_saco.locations.fetching import archive

from ...data.location_tables import SPRING_2019, SUMMER_2019, points

pytestmark = [
    pytest.mark.allow_hosts(['127.0.0.1']),
    # odc-geo 0.5.3 calls what shapely 2.2 and affine 3 will drop.
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
    pytest.mark.filterwarnings('ignore:Use `@` matmul:PendingDeprecationWarning'),
]

HERE = (3.0, 50.0)


@pytest.fixture
def arguments(catalogue, tmp_path) -> list[str]:
    """Arguments that fetch one small scene."""
    catalogue.add_scene('S2A_31UDQ_20190415_0_L2A', '2019-04-15T10:30:21Z', bands=['B02', 'B04'])
    points(('000000', SPRING_2019, HERE)).to_file(tmp_path / 'points.geojson')
    return ['fetch', f'--points={tmp_path}/points.geojson', f'--root={tmp_path}/archive',
            f'--catalogue={catalogue.url}', '--pause=0',
            '--bands=[B2,b04]', '--size_m=120']  # fmt: skip


def test_from_points_to_an_archive(arguments, tmp_path, capsys):
    main(arguments)
    told = capsys.readouterr()
    assert told.out == (
        f'1 scenes fetched, 0 were there, 0 windows skipped; the archive is in {tmp_path}/archive\n'
    )
    assert '0 of 1 scenes are there already' in told.err
    folder = tmp_path / 'archive' / '000000' / 'S2A_31UDQ_20190415_0_L2A'
    assert sorted(path.name for path in folder.iterdir()) == ['B02.tif', 'B04.tif', 'metadata.json']
    main([*arguments, '--progress=false'])
    told = capsys.readouterr()
    assert told.out.startswith('0 scenes fetched, 1 were there')
    assert told.err == ''


def test_what_was_left_out_is_told(arguments, tmp_path, capsys):
    table = points(('000000', SPRING_2019, HERE), ('000000', SUMMER_2019, HERE))
    (tmp_path / 'points.geojson').unlink()
    table.to_file(tmp_path / 'points.geojson')
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert 'torchgeo-saco fetch: error: 1 windows have no clear scene' in capsys.readouterr().err
    main([*arguments, '--on_missing=drop'])
    assert '1 windows skipped' in (told := capsys.readouterr().out)
    assert 'skipped.csv' in told


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ('--dtype=float32', "Expected a typing.Literal['uint16', 'uint8']. Got value: float32"),
        ('--bands=[B02,B10]', "error: Sentinel-2 L2A has no band 'B10'"),
        ('--points=lost.geojson', r'error: lost\.geojson does not exist'),
        ('--cloud=3', 'unrecognized arguments: --cloud=3'),
    ],
)
def test_wrong_arguments_are_named(more, message, arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*arguments, more])
    assert stop.value.code == 2
    assert message.replace('\\', '') in capsys.readouterr().err


def test_addresses_are_signed_by_the_package_named(arguments, catalogue, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        main([*arguments, '--sign=planetary_computer'])
    assert 'pip install planetary-computer' in capsys.readouterr().err
    for asset in catalogue.items[0]['assets'].values():
        asset['href'] += '.unsigned'

    def sign_inplace(page) -> None:
        for item in page['features']:
            for asset in item['assets'].values():
                asset['href'] = asset['href'].removesuffix('.unsigned')

    package = SimpleNamespace(sign_inplace=sign_inplace)
    monkeypatch.setitem(sys.modules, 'planetary_computer', package)
    main([*arguments, '--sign=planetary_computer'])
    assert capsys.readouterr().out.startswith('1 scenes fetched')


def test_an_interrupt_ends_with_a_word(arguments, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, 'read_locations', interrupted)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 130
    assert 'run the same command again' in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        main(['fetch', '--help'])
    assert stop.value.code == 0
    assert 'torchgeo-saco fetch --points points.geojson' in capsys.readouterr().out
