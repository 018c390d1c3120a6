# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of ``torchgeo-saco changes``."""

import datetime
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.change.command import changes, restored_task
from torchgeo_saco.change.map import change_map
from torchgeo_saco.cli import main
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.checkpoint import CheckpointError
from torchgeo_saco.tasks import CACo, MoCo

from ..data.archives import write_archive, write_tif
from ..data.products import scene_bands, write_safe
from ..data.tasks import trainer

SMALL = {
    'model': 'test_resnet', 'size': 16, 'queue_size': 8, 'output_dim': 8, 'hidden_dims': [16],
    'bands': list(SENTINEL2_L2A.bands), 'groups': ['natural_color'],
}  # fmt: skip


def write_checkpoint(path, method=MoCo, class_path='torchgeo_saco.tasks.MoCo', **arguments):
    """Checkpoint as Lightning writes it, of an untrained task; the task."""
    torch.manual_seed(0)
    task = method(**(SMALL | arguments)).eval()
    # What Lightning's CLI adds.
    added = {'_class_path': class_path, '_instantiator': 'os.system'} if class_path else {}
    content = {'state_dict': task.state_dict(), 'hyper_parameters': dict(task.hparams) | added}
    torch.save(content, path)
    return task


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """Folder of an archive and a checkpoint, of which each test has copies.

    Six locations in natural colour; the first one is another from the second year on.
    """
    folder = tmp_path_factory.mktemp('written')
    root = write_archive(folder / 'archive', bands=('B2', 'B3', 'B4'), size=16)
    for path in root.glob('000000/2019*/B2.tif'):
        with rasterio.open(path) as file:
            image = file.read()
        write_tif(path, 255 - image)
    write_checkpoint(folder / 'last.ckpt')
    return folder


@pytest.fixture
def root(written, tmp_path):
    return shutil.copytree(written / 'archive', tmp_path / 'archive')


@pytest.fixture
def weights(written, tmp_path):
    return shutil.copy(written / 'last.ckpt', tmp_path / 'last.ckpt')


def run(weights, root, output, *more):
    main(
        ['changes', '--weights', str(weights), '--root', str(root), '--output', str(output), *more]
    )


def refused(capsys, *arguments):
    """Message of a run that is refused."""
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_products_count_in_their_own_scale(weights, tmp_path):
    found = {}
    # Since baseline 04.00 numbers are stored with 1000 added.
    for baseline, added in (('02.14', 0), ('05.10', 1000)):
        for number, day in enumerate(('20180510', '20180609', '20190511', '20190614')):
            bands = {band: scene_bands(number)[band] + added for band in ('B02', 'B03', 'B04')}
            day = datetime.datetime.strptime(day, '%Y%m%d').date()
            write_safe(tmp_path / baseline, day, bands, '1C', baseline)
        output = tmp_path / f'{baseline}.parquet'
        changes(
            str(weights), str(tmp_path / baseline), str(output), progress=False,
            layout='rasters', size=16,
        )  # fmt: skip
        found[baseline] = gpd.read_parquet(output).set_index('location').ratio.sort_index()
    assert len(found['02.14']) >= 4
    np.testing.assert_allclose(found['05.10'], found['02.14'], rtol=1e-4)


@pytest.mark.parametrize('ending', ['parquet', 'geojson', 'gpkg'])
def test_table_is_that_of_the_map(weights, root, tmp_path, ending):
    output = tmp_path / f'changes.{ending}'
    run(weights, root, output)
    read = gpd.read_parquet if ending == 'parquet' else gpd.read_file
    table = read(output)
    task = restored_task(weights)
    task.configure_bands(('B02', 'B03', 'B04'))
    expected = change_map(task, SeasonalArchive(root)).table
    assert list(table.columns) == list(expected.columns)
    assert table.location.tolist() == expected.location.tolist()
    np.testing.assert_allclose(table.ratio, expected.ratio, rtol=1e-6)
    assert table.decision.tolist() == expected.decision.tolist() == ['undecided'] * 6
    assert table.crs.to_epsg() in (4326, None) or table.crs.equals(expected.crs)
    assert table.geometry.geom_equals_exact(expected.geometry, 1e-6).all()
    assert [path.name for path in tmp_path.glob('*changes*')] == [output.name]


def test_summary_and_figures(weights, root, tmp_path, capsys):
    shutil.rmtree(next(root.glob('000003/20190720*')))
    next(root.glob('000004/20180410*/B3.tif')).unlink()
    figures = [tmp_path / 'changes.png', tmp_path / 'places.png']
    options = ['--figure', str(figures[0]), '--images', str(figures[1]), '--top', '3']
    options += ['--least_locations', '4']
    run(weights, root, tmp_path / 'changes.parquet', *options)
    text = capsys.readouterr().out
    assert 'most changed of 4 locations' in text
    assert text.index('000000') < text.index('changes.parquet: ')
    assert ' of 4 locations changed, with a ratio above ' in text
    assert 'skipped: 000003 has dates 2 in 2018, 1 in 2019, not two years of 2' in text
    assert 'skipped: 000004/20180410T103021_20190415T103025_T31UFS lacks B03' in text
    assert 'no footprint' not in text
    assert sum(text.split('.parquet: ')[0].count(f'00000{i} ') for i in range(6)) == 3
    assert all(path.stat().st_size > 1000 for path in figures)


def test_skipped_locations_beyond_twenty_are_counted(weights, tmp_path, capsys):
    bands = ('B2', 'B3', 'B4')
    root = write_archive(tmp_path / 'archive', 24, ('20180410', '20180715'), bands, size=16)
    write_archive(root, 1, ('20190410', '20190715'), bands, size=16)
    run(weights, root, tmp_path / 'changes.parquet', '--top', '1')
    text = capsys.readouterr().out
    assert text.count('has dates 2 in 2018, not two years of 2\n') == 20
    assert text.endswith('skipped: 3 more\n')
    assert gpd.read_parquet(tmp_path / 'changes.parquet').location.tolist() == ['000000']


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_places_without_georeference_are_said(weights, root, tmp_path, capsys):
    for path in root.rglob('*.tif'):
        with rasterio.open(path) as file:
            image = file.read()
        write_tif(path, image, crs=None, transform=rasterio.Affine.identity())
    figure = tmp_path / 'changes.png'
    run(weights, root, tmp_path / 'changes.geojson', '--figure', str(figure))
    assert (
        '6 locations have no footprint, for their files are not georef' in capsys.readouterr().out
    )
    assert figure.is_file()


@pytest.mark.slow
def test_places_that_are_all_alike_are_said(weights, root, tmp_path, capsys):
    for path in root.rglob('*.tif'):
        write_tif(path, 90 + np.eye(16, dtype='uint8'))
    figure = tmp_path / 'changes.png'
    options = ['--figure', str(figure), '--least_locations', '2']
    run(weights, root, tmp_path / 'changes.gpkg', *options)
    assert (
        '6 locations, undecided which of them changed: two kinds of locations need two different '
        'ratios; the ratios stand all the same' in capsys.readouterr().out
    )
    assert figure.is_file()


def test_few_locations_are_undecided_and_have_ratios(weights, root, tmp_path, capsys):
    output = tmp_path / 'changes.parquet'
    run(weights, root, output)
    text = capsys.readouterr().out
    assert 'largest ratios of 6 locations' in text
    assert (
        'undecided which of them changed: 6 locations are fewer than least_locations=50; the ratios'
        in text
    )
    table = gpd.read_parquet(output)
    assert table.ratio.notna().all()
    assert table.threshold.isna().all()


@pytest.mark.slow
def test_unit_of_the_files(weights, root, tmp_path):
    tables = []
    for number, unit in enumerate((['--unit', '255'], ['--unit', '2550'], [])):
        path = tmp_path / f'changes{number}.parquet'
        run(weights, root, path, *unit)
        tables.append(gpd.read_parquet(path).set_index('location'))
    assert (tables[2].ratio == tables[0].ratio).all()
    assert not np.allclose(tables[0].long_distance, tables[1].long_distance[tables[0].index])


def test_images_of_two_locations_need_two(weights, tmp_path, capsys):
    alone = write_archive(tmp_path / 'alone', locations=1)
    path = tmp_path / 'changes.parquet'
    message = refused(capsys, weights, alone, path, '--images', str(tmp_path / 'places.png'))
    assert 'need two locations with two years, and there is one; leave out --images' in message
    assert not path.exists()


def test_existing_table_is_not_replaced(weights, root, tmp_path, capsys):
    path = tmp_path / 'changes.parquet'
    path.write_text('mine')
    with pytest.raises(SystemExit):
        run(weights, root, path)
    assert f'{path} exists; name another file or remove it' in capsys.readouterr().err
    assert path.read_text() == 'mine'


def test_only_bands_of_the_groups_are_needed(weights, root):
    # The task was trained on 12 bands; its group needs three, which is all there is.
    assert len(restored_task(weights).bands) == 12
    assert SeasonalArchive(root).bands == ('B02', 'B03', 'B04')


@pytest.mark.parametrize(('method', 'name'), [(MoCo, 'MoCo'), (CACo, 'CACo')])
def test_restored_task_is_the_one_that_was_saved(tmp_path, method, name):
    task = write_checkpoint(tmp_path / 'last.ckpt', method, name)
    restored = restored_task(tmp_path / 'last.ckpt')
    assert type(restored) is method
    assert dict(restored.hparams) == dict(task.hparams)
    state = restored.state_dict()
    for key, value in task.state_dict().items():
        assert torch.equal(state[key].nan_to_num(-1), value.nan_to_num(-1)), key


def test_estimate_of_change_is_restored(tmp_path):
    task = write_checkpoint(tmp_path / 'empty.ckpt', CACo, 'CACo')
    task.change.resize(5)
    task.change.update(torch.tensor([2]), torch.tensor([[1.0, 2.0]]))
    content = torch.load(tmp_path / 'empty.ckpt', weights_only=True)
    torch.save(content | {'state_dict': task.state_dict()}, tmp_path / 'last.ckpt')
    assert restored_task(tmp_path / 'last.ckpt').change.ratio[2].tolist() == [1, 2]


def test_task_is_named_where_the_checkpoint_does_not(root, tmp_path, capsys):
    write_checkpoint(tmp_path / 'last.ckpt', class_path=None)
    arguments = (tmp_path / 'last.ckpt', root, tmp_path / 'changes.parquet')
    message = refused(capsys, *arguments)
    assert 'last.ckpt does not say which task it is of; name it: --task one of ' in message
    assert 'CACo, CACoSimCLR, MoCo' in message
    run(*arguments, '--task', 'MoCo')
    assert (tmp_path / 'changes.parquet').is_file()


def test_checkpoint_written_in_python_says_its_task(root, tmp_path):
    datamodule = SeasonalDataModule(root=root, batch_size=2)
    task = MoCo(**(SMALL | {'bands': None}))
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(task, datamodule=datamodule)
    run.save_checkpoint(tmp_path / 'last.ckpt')
    assert type(restored_task(str(tmp_path / 'last.ckpt'))) is MoCo


@pytest.mark.parametrize(
    ('change', 'tokens'),
    [
        ({'_class_path': 'os.system'}, 'is of os.system, which is no contrastive task known here'),
        ({'_class_path': 'other.CACo'}, 'does not fit CACo of this version'),
        ({'bands': None}, 'was written before its bands were known; train first'),
        ({'temprature': 1}, 'does not fit MoCo of this version'),
        ({'model': 'resnet18'}, 'does not fit MoCo of this version'),
    ],
)
def test_checkpoint_of_something_else(weights, change, tokens):
    content = torch.load(weights, weights_only=True)
    content['hyper_parameters'] |= change
    torch.save(content, weights)
    with pytest.raises(ValueError, match=tokens) as error:
        restored_task(weights)
    assert 'last.ckpt' in str(error.value)
    assert len(str(error.value)) < 450


@pytest.mark.parametrize('content', [{}, {'state_dict': {}}, {'hyper_parameters': {}}])
def test_checkpoint_without_a_task(tmp_path, content):
    torch.save(content, tmp_path / 'last.ckpt')
    with pytest.raises(CheckpointError, match='holds no task, at most weights'):
        restored_task(tmp_path / 'last.ckpt')


@pytest.mark.parametrize(
    ('options', 'tokens'),
    [
        (['--output', 'changes.csv'], 'changes.csv must end in .geojson, .gpkg or .parquet'),
        (['--output', 'absent/x.gpkg'], 'cannot be written; make the folder'),
        (['--figure', 'x.xyz'], 'x.xyz must end in .png'),
        (['--images', 'absent/x.png'], 'cannot be written; make the folder'),
        (['--root', 'absent'], 'absent does not exist; set root to a folder laid out as'),
        (['--weights', 'absent.ckpt'], 'absent.ckpt is not a file'),
        (['--device', 'quantum'], 'device quantum is not there'),
        (
            ['--year_rule', 'lunar'],
            "Expected a typing.Literal['calendar', 'halves']. Got value: lunar",
        ),
        (['--unit', '0'], 'unit must be from 0.001 to 1000000000 or None, got 0'),
        (['--size', '99'], 'too small for a window of size=99'),
        (['--batch_size', '0'], 'batch_size must be at least 1, got 0'),
        (['--pairs', '0'], 'pairs must be at least 1, got 0'),
        (['--least_locations', '0'], 'least_locations must be at least 1, got 0'),
        (['--top', '-1'], 'top must be at least 1, got -1'),
        (['--seasons', '2'], 'seasons'),
    ],
)
def test_wrong_options(weights, root, tmp_path, capsys, monkeypatch, options, tokens):
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, weights, root, tmp_path / 'changes.parquet', *options)
    assert tokens in message
    assert 'Traceback' not in message
    assert not list(tmp_path.glob('*changes*'))


def test_archive_of_other_bands(weights, tmp_path, capsys):
    root = write_archive(tmp_path / 'archive', bands=('B2', 'B3'), locations=2, size=12)
    message = refused(capsys, weights, root, tmp_path / 'changes.parquet')
    assert 'has no file of band B04' in message


def test_archive_of_one_year(weights, tmp_path, capsys):
    dates = ('20180410', '20180715')
    root = write_archive(tmp_path / 'archive', 2, dates, ('B2', 'B3', 'B4'), size=12)
    message = refused(capsys, weights, root, tmp_path / 'changes.parquet')
    assert 'has no location with 2 dates in each of two years' in message
    assert '000000 has dates 2 in 2018' in message


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(['changes', '--help'])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert 'Say which locations of an archive have changed for good' in text
    assert 'torchgeo-saco changes --weights logs/caco/version_0/checkpoints/last.ckpt' in text
