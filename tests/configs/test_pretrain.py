# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what the configurations of pre-training share."""

from pathlib import Path

import pytest
import yaml

from torchgeo_saco.tasks import SACo

CONFIGS = Path(__file__).parents[2] / 'configs'

#: What a combination with SACo+ does not take over: what it is, and what suits a small sample.
OWN = {
    'temporal', 'groups', 'texture', 'projector_norm', 'temperature', 'momentum', 'lr',
    'queue_size',
}  # fmt: skip


@pytest.mark.parametrize('name', ['sa_moco', 'sa_seco', 'sa_caco'])
def test_semantically_aware_methods_have_the_arguments_of_saco(name):
    given = yaml.safe_load((CONFIGS / f'pretrain/{name}.yaml').read_text())['model']['init_args']
    expected = SACo(model='test_resnet').hparams
    given.pop('temporal', None)
    assert {key: value for key, value in given.items() if list_of(expected[key]) != value} == {}


@pytest.mark.parametrize('name', ['caco', 'report/moco', 'report/sa_moco'])
def test_small_runs_have_the_views_and_optimizer_of_saco(name):
    given = yaml.safe_load((CONFIGS / f'{name}.yaml').read_text())['model']['init_args']
    expected = SACo(model='test_resnet').hparams
    shared = {key: value for key, value in given.items() if key not in OWN}
    assert len(shared) > 8
    assert {key: value for key, value in shared.items() if list_of(expected[key]) != value} == {}


def list_of(value):
    """As YAML writes it."""
    return list(value) if isinstance(value, tuple) else value
