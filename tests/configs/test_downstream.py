# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the downstream configurations on small samples, as a user runs them."""

import sys
from pathlib import Path

import pytest
import yaml
from torchgeo.main import main as torchgeo

from torchgeo_saco.evaluation import plan_runs, read_settings
from torchgeo_saco.synthesis.benchmarks.bigearthnet import BigEarthNetTree
from torchgeo_saco.synthesis.benchmarks.dfc2020 import DFC2020Tree
from torchgeo_saco.synthesis.benchmarks.dynamicearthnet import DynamicEarthNetTree
from torchgeo_saco.synthesis.benchmarks.eurosat import EuroSATTree
from torchgeo_saco.synthesis.benchmarks.gid import GIDTree
from torchgeo_saco.synthesis.benchmarks.oscd import OSCDTree
from torchgeo_saco.synthesis.benchmarks.pastis import PASTISTree
from torchgeo_saco.synthesis.publication import publish

CONFIGS = Path(__file__).parents[2] / 'configs'
ROWS = sorted((CONFIGS / 'downstream').glob('*.yaml'))
TREES = {
    'eurosat': EuroSATTree(0, 5),
    'bigearthnet': BigEarthNetTree(0, 10),
    'oscd': OSCDTree(0, 2, 1, (100, 110)),
    'pastis': PASTISTree(0, 1, (2, 3)),
    'gid': GIDTree(0, (2, 1, 1), (260, 270)),
    'dfc2020': DFC2020Tree(0, 32, (24, 8)),
    'dynamicearthnet': DynamicEarthNetTree(0, (1, 1, 1), ('2018-04', '2018-07'), 96),
}
SAMPLE = {'gid15': 'gid', 'gid5': 'gid'}
#: A benchmark need not have a synthetic sample.
SAMPLED = [row for row in ROWS if SAMPLE.get(row.stem, row.stem.split('_')[0]) in TREES]


@pytest.fixture(autouse=True)
def command_line(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])


@pytest.fixture(scope='module')
def small_sample(tmp_path_factory):
    """Writes a small sample of a benchmark, once."""
    folder = tmp_path_factory.mktemp('samples')

    def write(name):
        return publish(TREES[name].tree(), folder / name, 1, False)

    return write


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:The dirpath has changed')
@pytest.mark.parametrize('row', SAMPLED, ids=lambda path: path.stem)
def test_runs_on_its_sample(row, small_sample, tmp_path):
    name = SAMPLE.get(row.stem, row.stem.split('_')[0])
    more = {
        'oscd': ['--data.init_args.val_cities=[bercy]'],
        'pastis': ['--data.init_args.dates=2'],
    }.get(name, [])
    if name in ('oscd', 'pastis', 'gid', 'dynamicearthnet'):
        more = [*more, '--model.init_args.decoder_widths=[16,8,8,8,8]']
    if name != 'dfc2020':
        more = [
            *more,
            '--model.init_args.groups=[natural_color]',
            '--model.init_args.texture=false',
        ]
    given = [
        f'--config={row}', f'--config={CONFIGS / "data" / f"{name}_sample.yaml"}',
        '--data.init_args.download=false', f'--data.init_args.root={small_sample(name)}',
        '--data.init_args.batch_size=2', '--model.init_args.model=test_resnet',
        f'--trainer.logger.init_args.save_dir={tmp_path}', '--trainer.max_epochs=1',
        '--trainer.limit_train_batches=2', '--trainer.limit_val_batches=1',
        '--trainer.accelerator=cpu', '--trainer.num_sanity_val_steps=0',
        '--trainer.limit_test_batches=1', *more,
    ]  # fmt: skip
    torchgeo(['fit', *given])
    (last,) = tmp_path.rglob('last.ckpt')
    torchgeo(['test', *given, f'--ckpt_path={last}', '--trainer.callbacks=null'])
    assert len(list(tmp_path.rglob('events.out.*'))) == 2


def test_each_row_says_what_is_reported():
    for row in ROWS:
        assert 'eported' in row.read_text() or 'finetune' in row.stem, row


@pytest.mark.slow
def test_report_is_a_plan_of_every_encoder_on_every_benchmark(tmp_path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    given = yaml.safe_load((CONFIGS / 'report.yaml').read_text())
    for name, encoder in given['encoders'].items():
        if 'weights' in encoder:
            given['encoders'][name] = {'model': 'resnet18'}
    path = tmp_path / 'report.yaml'
    path.write_text(yaml.safe_dump(given))
    runs = plan_runs(read_settings([f'--config={path}']))
    assert len(runs) == 5 * 5 * 3
    assert len({(run.encoder, run.benchmark, run.seed) for run in runs}) == 75


@pytest.mark.slow
def test_fractions_are_a_plan_of_every_encoder_on_every_share(tmp_path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    given = yaml.safe_load((CONFIGS / 'fractions.yaml').read_text())
    for encoder in given['encoders'].values():
        encoder.get('init_args', {}).pop('weights', None)
    path = tmp_path / 'fractions.yaml'
    path.write_text(yaml.safe_dump(given))
    settings = read_settings([f'--config={path}'])
    runs = plan_runs(settings)
    assert len(runs) == 8 * 6 * 3
    assert set(settings.curve['at']) == set(settings.benchmarks)
    for run in runs:
        data = run.make('data')
        # The patches drawn are of the seed, and few enough.
        assert data.fraction_seed == run.seed
        assert data.fraction == settings.curve['at'][run.benchmark] / 100
