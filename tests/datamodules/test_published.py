# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule on published archives: splits, labels, messages, training."""

from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch import Trainer

from torchgeo_saco.archives.layouts import LAYOUTS
from torchgeo_saco.callbacks import KNNProbe
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.tasks import MoCo, SACo

from ..data.layouts import (
    write_bigearthnet_patches,
    write_image_folders,
    write_radar_patches,
    write_ssl4eo,
)
from ..data.pretraining import small

CONFIGS = Path(__file__).parents[2] / 'configs'
METHODS = sorted(
    path.stem
    for path in (CONFIGS / 'pretrain').glob('*.yaml')
    if 'PairedDataModule' not in path.read_text()
)


def module(root, **arguments):
    data = SeasonalDataModule(root=root, **({'batch_size': 2, 'dates': 1} | arguments))
    data.setup('fit')
    return data


def train(task, data, folder, *callbacks):
    trainer = Trainer(
        max_epochs=1, accelerator='cpu', logger=False, callbacks=list(callbacks),
        default_root_dir=folder,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, data)
    return trainer


def names(dataset):
    return [location.name for location in dataset.locations]


@pytest.fixture
def images(tmp_path):
    """Twelve images of two classes, with lists of splits beside them."""
    root = write_image_folders(tmp_path / 'EuroSAT_RGB').parent
    for split, numbers in {'train': range(3), 'val': [3, 4], 'test': [5]}.items():
        lines = [f'{name}_{n}.jpg\n' for name in ('Forest', 'River') for n in numbers]
        (root / f'eurosat_rgb-{split}.txt').write_text(''.join(lines))
    return root


def test_lists_of_splits(images, caplog):
    with caplog.at_level('INFO'):
        data = module(images, split_files='eurosat_rgb-{split}.txt')
    assert 'in no list' not in caplog.text
    assert names(data.train_dataset) == [
        f'{name}/{name}_{n}.png' for name in ('Forest', 'River') for n in range(3)
    ]
    assert len(data.val_dataset) == 4
    loaders = [data.ordered_dataloader(split) for split in ('train', 'val', 'test')]
    labels = [torch.cat([batch['label'] for batch in loader]).tolist() for loader in loaders]
    assert labels == [[0] * 3 + [1] * 3, [0, 0, 1, 1], [0, 1]]
    bank, held_out = data.probe_dataloaders()
    assert [len(loader.dataset) for loader in (bank, held_out)] == [6, 4]


def test_locations_in_no_list_are_counted(images, caplog):
    (images / 'eurosat_rgb-test.txt').unlink()
    with caplog.at_level('INFO'):
        module(images, split_files='eurosat_rgb-{split}.txt')
    assert '2 locations are in no list of split_files, and are left out' in caplog.text


def test_split_files_must_name_the_split(images):
    with pytest.raises(ValueError, match=r'split_files must hold \{split\} in place of train'):
        SeasonalDataModule(root=images, split_files='eurosat_rgb-train.txt')


@pytest.mark.slow
def test_moco_trains_on_images_and_knn_judges_it(images):
    probe = KNNProbe(k=1)
    task = small(MoCo, bands=None, size=8)
    trainer = train(task, module(images, split_files='eurosat_rgb-{split}.txt'), images, probe)
    assert trainer.global_step == 3
    assert [epochs for epochs, _ in probe.rows] == [0, 1]
    # Red alone tells the classes apart.
    assert probe.rows[0][1] == 1


def test_patches_have_several_labels_for_the_evaluation_alone(tmp_path, caplog):
    write_bigearthnet_patches(tmp_path, 8, ['Pastures', 'Airports'])
    data = module(tmp_path, val_fraction=0.25)
    assert len(data.classes) == 19
    assert 'label' not in next(iter(data.train_dataloader()))
    for split, count in (('train', 5), ('val', 1), ('test', 2)):
        labels = torch.cat([batch['label'] for batch in data.ordered_dataloader(split)])
        assert labels.shape == (count, 19)
        assert (labels.sum(1) == 1).all()
    with pytest.raises(ValueError, match='have several labels each; judge the encoder by torchgeo'):
        data.probe_dataloaders()
    with caplog.at_level('INFO'):
        train(small(MoCo, bands=None), data, tmp_path, KNNProbe())
    assert 'no kNN accuracy: locations of' in caplog.text


def test_radar_is_one_image_of_its_bands(tmp_path):
    write_radar_patches(tmp_path, 5)
    data = module(tmp_path)
    task = small(MoCo, bands=None, input_bands=['VV', 'VH'])
    assert train(task, data, tmp_path).global_step == 2
    assert next(task.model.parameters()).shape[1] == 2
    with pytest.raises(
        ValueError, match="no published group 'natural_color'; did you mean 'dual_polarization'"
    ):
        train(small(MoCo, bands=None), module(tmp_path), tmp_path)


def test_dates_of_ssl4eo_are_contrasted(tmp_path):
    write_ssl4eo(tmp_path, ['s2c', 's2a'], locations=4)
    data = module(tmp_path, dates=2, sensor='sentinel2_l1c', layout='ssl4eo_s12')
    task = small(SACo, bands=None, groups=None, texture=False, size=12)
    assert train(task, data, tmp_path).global_step == 3
    assert 'B10' in data.bands


def test_single_dates_name_the_method_that_works(tmp_path):
    write_bigearthnet_patches(tmp_path, 4)
    with pytest.raises(
        ValueError, match=r'one date per location.* MoCo with data\.init_args\.dates'
    ):
        module(tmp_path, dates=2)
    with pytest.raises(ValueError, match='where locations have one date train MoCo'):
        train(small(SACo, bands=None), module(tmp_path), tmp_path)


def test_single_location_says_what_to_do(tmp_path):
    write_ssl4eo(tmp_path, ['s1'], locations=1)
    with pytest.raises(ValueError, match=r'has 1 location, and contrasting compares .* embedded'):
        module(tmp_path, dates=2)


def test_what_is_passed_over_is_said(images, caplog):
    (images / 'EuroSAT_RGB' / 'legend.png').touch()
    with caplog.at_level('INFO'):
        module(images)
    assert 'passed over, for they lie beside the folders of the classes: legend.png' in caplog.text


@pytest.mark.parametrize('data', ['ssl4eo_s12', 'sen12ms', 'bigearthnet', 'eurosat_rgb'])
def test_configurations_say_nothing_that_methods_or_the_trainer_say(data):
    own = keys(yaml.safe_load((CONFIGS / f'data/{data}.yaml').read_text()))
    for name in ['trainer', *(f'pretrain/{method}' for method in METHODS)]:
        other = keys(yaml.safe_load((CONFIGS / f'{name}.yaml').read_text()))
        # Then the order of merging decides nothing.
        assert own & other <= {'data.class_path'}
    values = yaml.safe_load((CONFIGS / f'data/{data}.yaml').read_text())['data']
    assert values['class_path'] == 'torchgeo_saco.datamodules.SeasonalDataModule'
    module = SeasonalDataModule(**values['init_args'])
    assert module.kwargs['layout'] in LAYOUTS


def keys(values, before=''):
    """Dotted names of all values of a configuration."""
    if not isinstance(values, dict):
        return {before}
    return {
        key for name, value in values.items() for key in keys(value, f'{before}.{name}'.strip('.'))
    }
