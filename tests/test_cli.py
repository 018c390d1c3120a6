# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the commands and configuration files, as a user runs them."""

import itertools
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from torchgeo.main import main as torchgeo

from torchgeo_saco import cli, tasks
from torchgeo_saco.io.checkpoint import part
from torchgeo_saco.models.change import ChangeEstimate
from torchgeo_saco.synthesis.benchmarks.sen12ms import SEN12MSTree
from torchgeo_saco.synthesis.publication import publish
from torchgeo_saco.tasks.requirements import largest_queue

from .data.archives import write_archive
from .data.layouts import write_bigearthnet_patches, write_image_folders, write_sen12ms

CONFIGS = Path(__file__).parents[1] / 'configs'

# Methods and data of two sensors are in a test of their own.
PAIRED = 'torchgeo_saco.datamodules.PairedDataModule'
PRETRAIN, DUAL = (
    [
        path
        for path in sorted((CONFIGS / 'pretrain').glob('*.yaml'))
        if (yaml.safe_load(path.read_text())['data']['class_path'] == PAIRED) == paired
    ]
    for paired in (False, True)
)
# The others are of downstream benchmarks.
DATA = [
    path
    for path in sorted((CONFIGS / 'data').glob('*.yaml'))
    if '_sample' not in path.stem and not path.stem.endswith('_paired')
]
PAIRS = sorted((CONFIGS / 'data').glob('*_paired.yaml'))

# Small enough for a test; everything else is what the files say.
SMALL = [
    '--trainer.max_epochs=1', '--trainer.limit_train_batches=2', '--trainer.accelerator=cpu',
    '--model.init_args.model=test_resnet', '--model.init_args.weights=null',
    '--model.init_args.size=16', '--model.init_args.queue_size=6',
    '--data.init_args.batch_size=4', '--data.init_args.num_workers=0',
    '--data.init_args.pin_memory=false',
]  # fmt: skip

pytestmark = [
    # https://github.com/omni-us/jsonargparse: options that a later class does not know.
    pytest.mark.filterwarnings('ignore:.*discard init_args.*')
]


@pytest.fixture(autouse=True)
def command_line(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])


def fit(main, *configs, root=None, folder=None, more=()):
    arguments = ['fit', *(f'--config={config}' for config in configs), *SMALL]
    arguments += [f'--data.init_args.root={root}'] if root else []
    arguments += [f'--trainer.logger.init_args.save_dir={folder}'] if folder else []
    main([*arguments, *more])


@pytest.fixture(scope='module')
def large(tmp_path_factory):
    """Twelve locations of the size that SeCo stores."""
    return write_archive(
        tmp_path_factory.mktemp('large') / 'clean', locations=4, dates=('20180410', '20190412'),
        size=264,
    )  # fmt: skip


@pytest.mark.slow
def test_folder_of_ones_own(archive, tmp_path, capsys, caplog):
    with caplog.at_level('INFO'):
        fit(torchgeo, CONFIGS / 'saco.yaml', CONFIGS / 'data/folder.yaml', root=archive,
            folder=tmp_path)  # fmt: skip
    text = capsys.readouterr().out
    last = tmp_path / 'saco' / 'version_0' / 'checkpoints' / 'last.ckpt'
    assert f'checkpoint  {last}' in text.replace('\n', ' ') or str(last) in text
    assert last.is_file()
    assert torch.load(last, weights_only=True)['hyper_parameters']['model'] == 'test_resnet'
    assert 'nearest-neighbour accuracy on held-out locations' in text
    assert '4 locations to train on, 2 held out' in caplog.text
    figures = {path.name for path in (tmp_path / 'saco/version_0/figures').iterdir()}
    assert {'groups.png', 'textures.png', 'views.png', 'embeddings_epoch001.png'} <= figures


@pytest.fixture(scope='module')
def seasons(tmp_path_factory):
    """Eight locations with three dates in each of two years."""
    dates = ('20180310', '20180612', '20180915', '20190309', '20190614', '20190911')
    return write_archive(tmp_path_factory.mktemp('seasons'), locations=8, dates=dates)


@pytest.mark.slow
@pytest.mark.parametrize('config', PRETRAIN, ids=lambda path: path.stem)
def test_scale_of_the_papers(config, seasons, tmp_path, caplog):
    with caplog.at_level('INFO'):
        fit(torchgeo, CONFIGS / 'trainer.yaml', config, CONFIGS / 'data/folder.yaml',
            root=seasons, folder=tmp_path)  # fmt: skip
    assert list(tmp_path.rglob('last.ckpt'))
    model = yaml.safe_load(config.read_text())['model']
    plain = 'groups' not in model.get('init_args', {}) and not model['class_path'].endswith('.SACo')
    assert ('groups: natural_color\n' in caplog.text) == plain
    figures = {path.stem for path in tmp_path.rglob('*.png')}
    change_aware = 'caco' in config.stem or config.stem == 'teco'
    assert ('change_ratio_epoch001' in figures) == change_aware


def configuration(capsys, *configs):
    """What the command line makes of configurations, as text."""
    with pytest.raises(SystemExit):
        torchgeo(['fit', *(f'--config={config}' for config in configs), '--print_config'])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ('method', 'data'),
    [
        # Those of the first method quickly.
        pytest.param(method, data, marks=[pytest.mark.slow] if number else [])
        for methods, kinds in ((PRETRAIN, DATA), (DUAL, PAIRS))
        for number, (method, data) in enumerate(zip(methods, itertools.cycle(kinds), strict=False))
    ],
    ids=lambda path: path.stem,
)
def test_fragments_merge_in_any_order(method, data, capsys):
    trainer = CONFIGS / 'trainer.yaml'
    first = configuration(capsys, method, data, trainer)
    assert first == configuration(capsys, trainer, data, method)
    given = yaml.safe_load(first)
    for path in (method, data):
        for name, value in yaml.safe_load(path.read_text())['data'].get('init_args', {}).items():
            assert given['data']['init_args'][name] == value


@pytest.mark.parametrize('config', PRETRAIN + DUAL, ids=lambda path: path.stem)
def test_methods_hold_differences_from_defaults_alone(config):
    given = yaml.safe_load(config.read_text())['model']
    task = getattr(tasks, given['class_path'].rsplit('.', 1)[1])
    defaults = task().hparams
    for name, value in given.get('init_args', {}).items():
        # The preset holds for other methods, too.
        assert defaults[name] != value or config.stem == 'small', name


@pytest.fixture(scope='module')
def patches(tmp_path_factory):
    """Small sample of SEN12MS."""
    return publish(SEN12MSTree(0, 32, 5).tree(), tmp_path_factory.mktemp('sen12ms') / 'x', 1, False)


@pytest.mark.slow
@pytest.mark.parametrize('config', DUAL, ids=lambda path: path.stem)
@pytest.mark.parametrize('data', ['sen12ms_paired', 'sen12ms_sample_paired'])
def test_methods_of_two_sensors(config, data, patches, tmp_path):
    if data == 'sen12ms_paired' and config != DUAL[0]:
        pytest.skip('a method at each scale is enough')
    fit(torchgeo, CONFIGS / 'trainer.yaml', config, CONFIGS / f'data/{data}.yaml', root=patches,
        folder=tmp_path, more=['--data.init_args.download=false',
                               '--data.init_args.archive=folder'])  # fmt: skip
    (last,) = tmp_path.rglob('last.ckpt')
    content = torch.load(last, weights_only=True)
    assert content['hyper_parameters']['second_bands'] == ['VV', 'VH']
    # The first archive, Sentinel-2, is what stock tasks load.
    assert len(content['hyper_parameters']['bands']) == 13


@pytest.mark.parametrize(
    ('method', 'items'),
    # Locations of SeCo-100K and of CACo's 10,000; for the others every date is an item.
    [('seco', 20_000), ('sa_seco', 20_000), ('caco', 10_000), ('teco', 10_000), ('sa_caco', 10_000),
     ('moco', 100_000), ('sa_moco', 100_000), ('saco', 100_000)],
)  # fmt: skip
def test_queue_suits_the_data_of_the_paper(method, items):
    given = yaml.safe_load((CONFIGS / f'pretrain/{method}.yaml').read_text())['model']
    name = given['class_path'].rsplit('.', 1)[1]
    task = getattr(tasks, name)(**given.get('init_args', {}) | {'model': 'test_resnet'})
    data = SimpleNamespace(train_items=round(items * 0.9))
    assert task.hparams['queue_size'] <= largest_queue(task, data)


@pytest.mark.slow
def test_configurations_are_found_by_name(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = [f'--data.init_args.root={archive}', f'--trainer.logger.init_args.save_dir={tmp_path}']
    cli.main(['fit', '--config', 'trainer.yaml', '--config=configs/pretrain/saco.yaml', '--config',
              'data/folder.yaml', *SMALL, *more])  # fmt: skip
    assert list(tmp_path.rglob('last.ckpt'))


def test_unknown_configuration_lists_those_there_are(capsys):
    with pytest.raises(SystemExit):
        cli.main(['fit', '--config', 'sako.yaml'])
    assert 'sako.yaml is neither a file nor a configuration' in capsys.readouterr().err


@pytest.mark.slow
def test_caco_on_the_sample_configuration(seasons, tmp_path):
    fit(torchgeo, CONFIGS / 'caco.yaml', root=seasons, folder=tmp_path,
        more=['--data.init_args.archive=folder', '--data.init_args.download=false',
              '--trainer.check_val_every_n_epoch=1'])  # fmt: skip
    assert list(tmp_path.rglob('changed_locations_epoch001.png'))
    # The checkpoint holds what was decided from the ratios in it.
    (last,) = tmp_path.rglob('last.ckpt')
    saved = part(torch.load(last, weights_only=True)['state_dict'], 'change.')
    estimate = ChangeEstimate()
    estimate.load_state_dict(saved)
    estimate.decide()
    assert (saved['changed'] >= 0).any()
    assert torch.equal(estimate.changed, saved['changed'])


#: Archives of one date per location, each with the writer of a tiny tree.
SINGLE_DATES = {
    'bigearthnet': partial(write_bigearthnet_patches, count=5),
    'eurosat_rgb': partial(write_image_folders, count=5),
    'sen12ms': partial(
        write_sen12ms, names=[f'ROIs1158_spring_1_p{number}' for number in range(5)]
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', SINGLE_DATES)
def test_single_dates_train_moco(name, tmp_path):
    SINGLE_DATES[name](tmp_path / 'data')
    fit(torchgeo, CONFIGS / f'data/{name}.yaml', CONFIGS / 'trainer.yaml',
        CONFIGS / 'pretrain/moco.yaml', root=tmp_path / 'data', folder=tmp_path)  # fmt: skip
    assert list(tmp_path.rglob('last.ckpt'))


@pytest.mark.slow
@pytest.mark.parametrize(
    'config',
    # Rasters have a test of their own, in tests/datamodules/test_rasters.py.
    [c for c in DATA if c.stem not in (*SINGLE_DATES, 'rasters')],
    ids=lambda path: path.stem,
)
def test_data_merge_over_any_method(config, large, tmp_path, monkeypatch):
    arguments = yaml.safe_load(config.read_text())['data']['init_args']
    folder = {'seco_100k': 'seasonal_contrast_100k', 'seco_1m': 'seasonal_contrast_1m',
              'sample': 'seasonal'}.get(arguments['archive'], 'places')  # fmt: skip
    root = tmp_path / 'root'
    root.mkdir()
    (root / folder).symlink_to(large)
    location = root / folder if folder == 'places' else root
    method = CONFIGS / 'pretrain/sa_moco.yaml'
    fit(torchgeo, CONFIGS / 'trainer.yaml', config, method, root=location, folder=tmp_path,
        more=['--data.init_args.download=false'])  # fmt: skip
    assert list(tmp_path.rglob('last.ckpt'))


def test_files_that_cannot_be_read_are_refused_in_one_sentence(tmp_path, capsys):
    (tmp_path / 'scene.tif').write_bytes(b'no GeoTIFF')
    with pytest.raises(SystemExit) as end:
        cli.main([
            'fit', '--model=SACo', '--data=SeasonalDataModule', f'--data.root={tmp_path}',
            '--data.layout=rasters', '--data.sensor=sentinel2_l2a',
            '--trainer.accelerator=cpu', '--trainer.max_steps=1',
            f'--trainer.default_root_dir={tmp_path}',
        ])  # fmt: skip
    assert end.value.code == 2
    assert 'torchgeo-saco: error: ' in (said := capsys.readouterr().err)
    assert 'scene.tif cannot be read' in said and 'Traceback' not in said


def test_short_names_work_in_our_command(archive, tmp_path):
    cli.main([
        'fit', '--model=SACo', '--data=SeasonalDataModule', f'--data.root={archive}',
        '--data.batch_size=4', '--model.model=test_resnet', '--model.size=16',
        '--model.queue_size=8', '--trainer.max_steps=1', '--trainer.accelerator=cpu',
        f'--trainer.default_root_dir={tmp_path}', '--trainer.enable_progress_bar=false',
        '--trainer.enable_model_summary=false', '--trainer.limit_val_batches=0',
    ])  # fmt: skip
    assert list(tmp_path.rglob('*.ckpt'))


@pytest.mark.parametrize(
    ('typo', 'message'),
    [
        ('--model.init_args.temprature=0.1', 'temprature'),
        ('--data.init_args.batchsize=4', 'batchsize'),
        ('--model.init_args.queue_size=many', 'queue_size'),
        ('--model.class_path=torchgeo_saco.tasks.SACO', 'SACO'),
        ('--data.init_args.archive=moon', 'archive'),
        ('--data.init_args.item=scene', 'item'),
    ],
)
def test_typo_is_named(typo, message, capsys):
    with pytest.raises(SystemExit) as stop:
        torchgeo(['fit', f'--config={CONFIGS / "saco.yaml"}', typo])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_help_fits_on_a_few_screens(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(['fit', '--model.help=SACo'])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert '--model.init_args.temperature' in text or '--model.temperature' in text
    assert len(text.splitlines()) < 190


@pytest.mark.slow
def test_import_needs_no_optional_package():
    code = (
        'import sys\n'
        'for name in ("skimage", "nbmake", "pytest"): sys.modules[name] = None\n'
        'import torchgeo_saco.cli, torchgeo_saco.tasks, torchgeo_saco.transforms\n'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)  # noqa: S603
