# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the encoder for torchgeo-bench, and of its own runner on a tree of EuroSAT."""

import csv
import os
import subprocess
import sys
from typing import NamedTuple

import pytest
import torch

from torchgeo_saco.evaluation.bench import BenchEncoder
from torchgeo_saco.evaluation.protocol import torchgeo_protocol
from torchgeo_saco.models import load_encoder

from ..data.scenes import write_classes
from ..data.weights import write_checkpoint


class Band(NamedTuple):
    """A band as torchgeo-bench describes it, as far as it is read."""

    sensor: str
    source_name: str
    max: float = 28000.0


BANDS = ('B02', 'B03', 'B04', 'B08')
IMAGE = torch.randint(1, 8000, (3, 4, 16, 16), generator=torch.Generator().manual_seed(0)).float()


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('weights') / 'last.ckpt', BANDS)[0]


@pytest.fixture(scope='module')
def expected(weights):
    with torch.inference_mode():
        return load_encoder(BANDS, weights=weights).encoder.eval()(IMAGE / 10000)


@pytest.mark.parametrize(
    ('names', 'order'),
    [
        (('B02', 'B03', 'B04', 'B08'), (0, 1, 2, 3)),
        (('08 - NIR', '04 - Red', '03 - Green', '02 - Blue'), (3, 2, 1, 0)),
    ],
)
def test_channels_are_matched_by_name(weights, expected, names, order):
    model = BenchEncoder([Band('s2', name) for name in names], weights=weights).eval()
    with torch.inference_mode():
        found = model(IMAGE[:, order])
        assert torch.equal(found, model.forward_patch_features(IMAGE[:, order]))
    torch.testing.assert_close(found, expected)


def test_channels_of_other_sensors_are_left_out(weights, expected):
    bands = [Band('s1', 'VV', 24.3), *(Band('s2', name) for name in BANDS), Band('s2', 'odd')]
    other = torch.full((3, 1, 16, 16), float('nan'))
    model = BenchEncoder(bands, 'identity', weights=weights).eval()
    with torch.inference_mode():
        found = model(torch.cat([other, IMAGE, other], 1))
    torch.testing.assert_close(found, expected)
    assert model.num_channels == 6


@pytest.mark.parametrize(
    ('largest', 'unit', 'scale'),
    [(28000, None, 1), (255, None, 255 / 10000), (2.8, None, 1e-4), (255, 10000, 1)],
)
def test_numbers_become_reflectance_once(weights, expected, largest, unit, scale):
    bands = [Band('s2', name, largest) for name in BANDS]
    model = BenchEncoder(bands, weights=weights, unit=unit).eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(IMAGE * scale), expected)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'normalization': 'bandspec_zscore'}, r'set dataset\.normalization=model_native'),
        ({'sensor': 's9'}, "sensor must be one of s2, s1, landsat, aerial, got 's9'"),
        ({'sensor': 'aerial'}, r'no channel of the dataset is of the sensor aerial .* it has s2'),
        ({'weights': None}, 'weights=None brings no weights; give a checkpoint'),
        ({'texture': ['near_infrared']}, 'was not trained on textures of near_infrared'),
    ],
)
def test_what_does_not_fit_is_refused(weights, arguments, message):
    bands = [Band('s2', name) for name in BANDS]
    with pytest.raises(ValueError, match=message):
        BenchEncoder(bands, **({'weights': weights} | arguments))


def test_statistics_that_the_weights_lack_are_said(tmp_path):
    # Of a stock checkpoint, which has none of any group.
    path, task = write_checkpoint(tmp_path / 'stock.ckpt', BANDS, groups=['natural_color'],
                                  texture=False)  # fmt: skip
    state = {name: value for name, value in task.state_dict().items() if name[:6] == 'model.'}
    torch.save({'state_dict': state, 'hyper_parameters': {'model': 'test_resnet'}}, path)
    with pytest.raises(ValueError, match='brings no statistics of natural_color'):
        BenchEncoder([Band('s2', name) for name in BANDS], weights=path, model='test_resnet')


@pytest.mark.slow
def test_runner_of_torchgeo_bench(weights, tmp_path):
    """Its own runner, in a process of its own; neighbours are those of our protocol."""
    pytest.importorskip('torchgeo_bench', reason='the extra bench is not installed')
    root = write_classes(tmp_path / 'data' / 'eurosat')
    arguments = {
        'model': 'imagestats',
        'model._target_': 'torchgeo_saco.evaluation.bench.BenchEncoder',
        'model.name': 'ours',
        '+model.weights': weights,
        'dataset.names': '[eurosat]',
        'dataset.bands': 'all',
        'dataset.normalization': 'model_native',
        'dataset.image_size': '64',
        'dataset.num_workers': '0',
        'device': 'cpu',
        'eval.bootstrap': '10',
        'eval.c_range': '[-2,2,3]',
        'output': 'results.csv',
    }
    run = subprocess.run(  # noqa: S603
        [sys.executable, '-m', 'torchgeo_bench', *(f'{k}={v}' for k, v in arguments.items())],
        cwd=tmp_path, env=os.environ | {'HF_HUB_OFFLINE': '1'}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    with open(tmp_path / 'results.csv', newline='') as file:
        scores = {row['method']: row for row in csv.DictReader(file)}
    assert scores['linear']['model'] == arguments['model._target_']
    assert (scores['knn5']['n_train'], scores['knn5']['n_test']) == ('60', '20')
    *_, ours = torchgeo_protocol(weights, str(root), str(tmp_path / 'ours'))
    assert float(scores['knn5']['metric_value']) == pytest.approx(ours.knn5_test)
    assert int(scores['knn5']['feature_dim']) == ours.dimensions


def test_groups_that_the_channels_do_not_form_are_said(weights, caplog):
    bands = [Band('s2', name) for name in BANDS[:3]]
    with caplog.at_level('INFO'):
        BenchEncoder(bands, weights=weights)
    assert 'skipped: group near_infrared, since ' in caplog.text
