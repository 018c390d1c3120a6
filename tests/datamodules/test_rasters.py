# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of pre-training on rasters as they lie on disk."""

import datetime
from pathlib import Path

import pytest
import yaml
from lightning.pytorch import Trainer

from tests.data import products as files
from torchgeo_saco import cli, tasks
from torchgeo_saco.archives.rasters import CellOptions
from torchgeo_saco.datamodules import SeasonalDataModule

CONFIGS = Path(__file__).parents[2] / 'configs'
DAYS = [datetime.date(year, month, 4) for year in (2018, 2021) for month in (1, 5, 9)]


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Folders of products of six days in two years."""
    root = tmp_path_factory.mktemp('products')
    for i, day in enumerate(DAYS):
        files.write_safe(root / 'safe', day, files.scene_bands(i))
        files.write_landsat(root / 'landsat', day, files.landsat_bands(i, 48))
    return {'safe': root / 'safe', 'landsat': root / 'landsat'}


def datamodule(root, **arguments):
    """Cells of 16 px, in batches of two."""
    arguments = {'batch_size': 2, 'size': 16, 'on_missing': 'drop'} | arguments
    return SeasonalDataModule(root=root, layout='rasters', **arguments)


METHODS = (
    'moco', 'saco', 'seco', 'caco', 'caco_simclr', 'teco', 'sa_moco', 'sa_seco', 'sa_caco',
)  # fmt: skip


@pytest.mark.parametrize(
    ('product', 'name'),
    [
        ('safe', 'caco'),
        ('landsat', 'saco'),
        *(pytest.param('safe', name, marks=pytest.mark.slow) for name in METHODS if name != 'caco'),
        pytest.param('landsat', 'moco', marks=pytest.mark.slow),
    ],
)
def test_every_method_trains_on_products(roots, tmp_path, product, name):
    config = yaml.safe_load((CONFIGS / f'pretrain/{name}.yaml').read_text())
    given = config['data']['init_args']
    data = datamodule(roots[product], **{k: given[k] for k in ('dates', 'item') if k in given})
    method = config['model']['class_path'].rpartition('.')[2]
    kept = {k: v for k, v in config['model'].get('init_args', {}).items() if k == 'temporal'}
    task = getattr(tasks, method)(model='test_resnet', size=16, **kept)
    trainer = Trainer(
        max_steps=1, accelerator='cpu', logger=False, enable_checkpointing=False,
        enable_progress_bar=False, limit_val_batches=0, default_root_dir=tmp_path,
        num_sanity_val_steps=0, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(task, datamodule=data)
    assert trainer.global_step == 1
    assert bool(trainer.callback_metrics['train_loss'].isfinite())


@pytest.mark.slow
def test_reflectance_is_that_of_the_product(roots):
    for product, unit, offset in (('safe', 1e4, -1e3), ('landsat', 1 / 2.75e-5, -0.2 / 2.75e-5)):
        data = datamodule(roots[product])
        data.setup('fit')
        assert (data.reflectance.unit, data.reflectance.offset) == pytest.approx((unit, offset))
        batch = next(iter(data.train_dataloader()))
        image = data.on_after_batch_transfer(batch, 0)['image']
        expected = (batch['image'].float() + offset) / unit
        assert (image - expected).abs().max() < 1e-6


def test_a_scale_that_contradicts_the_product_is_refused(roots):
    data = datamodule(roots['safe'], unit=10000.0)
    with pytest.raises(ValueError, match='offset -1000, and unit 10000 and offset 0 are asked for'):
        data.setup('fit')


@pytest.mark.slow
def test_a_split_does_not_depend_on_what_a_method_leaves_out(roots):
    held_out = []
    for dates in (1, 3):
        data = datamodule(roots['safe'], dates=dates, cells=CellOptions(max_masked=0.0))
        data.setup('fit')
        held_out.append(data.val_dataset.locations.names.to_pylist())
        assert data.sensor == 'sentinel2_l2a'
        assert data.locations == 6
    assert held_out[0] == held_out[1]


@pytest.mark.slow
@pytest.mark.parametrize('order', [1, -1])
def test_configurations_merge_in_any_order(roots, tmp_path, order, monkeypatch):
    monkeypatch.setattr('sys.argv', ['torchgeo-saco'])
    names = ['pretrain/saco.yaml', 'data/rasters.yaml'][::order]
    cli.main([
        'fit', *(word for name in names for word in ('--config', name)),
        f'--data.init_args.root={roots["safe"]}', '--data.init_args.size=16',
        '--data.init_args.batch_size=2', '--data.init_args.cells.max_masked=0.0',
        '--model.init_args.model=test_resnet', '--model.init_args.size=16',
        '--model.init_args.queue_size=2', '--trainer.max_steps=1', '--trainer.accelerator=cpu',
        f'--trainer.default_root_dir={tmp_path}', '--trainer.enable_progress_bar=false',
        '--trainer.enable_model_summary=false', '--trainer.limit_val_batches=0',
    ])  # fmt: skip
    assert list(tmp_path.rglob('*.ckpt'))
