# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of TorchGeo's check of encoders."""

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from torchgeo_saco import cli
from torchgeo_saco.datamodules import EuroSATBandsDataModule
from torchgeo_saco.evaluation import protocol
from torchgeo_saco.evaluation.protocol import (
    FLOOR,
    ProtocolRow,
    linear_rate_sweep,
    pretraining_lr,
    split_protocol,
    torchgeo_protocol,
)
from torchgeo_saco.models import load_encoder

from ..data.scenes import write_classes
from ..data.weights import write_checkpoint


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Tree of EuroSAT whose classes differ in brightness. Not to be changed."""
    return write_classes(tmp_path_factory.mktemp('eurosat'))


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('weights') / 'last.ckpt', lr=0.02)[0]


@pytest.fixture(scope='module')
def rows(tree, weights, tmp_path_factory):
    """Rows, and the folder of the results."""
    output = tmp_path_factory.mktemp('output') / 'new'
    return torchgeo_protocol([weights], str(tree), str(output)), output


def split_images(tree, split):
    """Reflectance and labels of a split, by the datamodule."""
    data = EuroSATBandsDataModule(tree, batch_size=7)
    data.setup('fit')
    data.setup('test')
    batches = [data.on_after_batch_transfer(b, 0) for b in data.ordered_dataloader(split)]
    return tuple(torch.cat([batch[key] for batch in batches]) for key in ('image', 'label'))


@pytest.mark.slow
def test_neighbours_are_those_of_scikit_learn(tree, weights, rows):
    encoder = load_encoder(EuroSATBandsDataModule(tree).bands, weights=weights).encoder.eval()
    with torch.inference_mode():
        features = {s: encoder(split_images(tree, s)[0]).numpy() for s in ('train', 'test')}
    labels = {split: split_images(tree, split)[1].numpy() for split in ('train', 'test')}
    votes = KNeighborsClassifier(5, algorithm='brute').fit(features['train'], labels['train'])
    row = rows[0][-1]
    assert row.knn5_test == pytest.approx(votes.score(features['test'], labels['test']))
    unit = features['test'] / np.linalg.norm(features['test'], axis=1, keepdims=True)
    cosines = unit @ unit.T
    others = cosines[~np.eye(len(unit), dtype=bool)]
    assert row.mean_cosine == pytest.approx(others.mean(), abs=1e-5)
    centred = features['test'] - features['test'].mean(0)
    values = np.linalg.svd(centred, compute_uv=False)
    shares = values[values > 1e-6 * values[0]] / values.sum()
    assert row.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-3)
    assert (row.encoder, row.pretraining_lr, row.dimensions) == (weights, 0.02, unit.shape[1])


def test_floor_sees_what_the_images_say(rows):
    floor, untrained, row = rows[0]
    # Classes differ in brightness alone, which a statistic tells without error.
    assert (floor.encoder, floor.knn5_test, floor.logistic_test) == (FLOOR, 1.0, 1.0)
    assert (untrained.encoder, untrained.pretraining_lr) == ('untrained', None)
    assert row.verdict(floor) == 'below floor'
    assert row._replace(knn5_test=1.1).verdict(floor) == 'passes'
    assert row._replace(knn5_test=1.1, feature_std=0.001).verdict(floor) == 'collapsed'


def test_table_is_written(rows, weights):
    found, output = rows
    with open(output / 'protocol.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert [row['encoder'] for row in table] == [FLOOR, 'untrained', weights]
    assert float(table[2]['knn5_test']) == found[2].knn5_test
    assert table[2]['verdict'] == 'below floor'
    record = json.loads((output / 'protocol.json').read_text())
    assert record['rows'][2]['linear_lr'] == found[2].linear_lr
    assert {'torch', 'machine'} <= record['environment'].keys()


@pytest.mark.slow
def test_scores_do_not_depend_on_batches(tree, weights, rows, tmp_path):
    again = torchgeo_protocol(weights, str(tree), str(tmp_path), batch_size=13)
    # Statistics of the untrained net are means over batches; those of the others are exact.
    for one, other in zip(again[::2], rows[0][::2], strict=True):
        assert one[2:7] == pytest.approx(other[2:7])


def points(seed, apart):
    """Four classes of points, *apart* standard deviations, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(200) % 4
    means = apart * torch.eye(4).repeat(1, 2)[labels]
    return means + torch.randn(200, 8, generator=generator), labels


def test_classes_that_are_far_apart_are_told():
    features = {split: points(number, 8) for number, split in enumerate(protocol.SPLITS)}
    assert linear_rate_sweep(features, [0.1])[0] == 1


def test_the_rate_is_chosen_on_validation_and_judged_on_test():
    train, val, test = points(0, 0.5), points(1, 0.5), points(2, 0.5)
    rates = (1e-4, 0.03, 3.0)
    # A single rate is the best one, so with val in place of test its score is that on val.
    alone = {
        rate: [
            linear_rate_sweep(dict(zip(protocol.SPLITS, (train, val, judge), strict=True)), [rate])
            for judge in (val, test)
        ]
        for rate in rates
    }
    on_val = {rate: scores[0][0] for rate, scores in alone.items()}
    assert len(set(on_val.values())) == 3
    best = max(on_val, key=on_val.get)
    features = dict(zip(protocol.SPLITS, (train, val, test), strict=True))
    assert linear_rate_sweep(features, rates) == (alone[best][1][0], best)
    with pytest.raises(ValueError, match='rates is empty'):
        linear_rate_sweep(features, [])


def test_collapsed_features_are_said():
    same = torch.ones(20, 8) + 1e-6 * torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    features = {split: (same, torch.arange(20) % 2) for split in protocol.SPLITS}
    row = protocol._row('constant', None, features, 0)
    assert row.collapsed
    assert row.mean_cosine == pytest.approx(1)
    line = torch.linspace(1, 2, 20)[:, None] * torch.linspace(-1, 1, 8)
    spread = {split: (line, torch.arange(20) % 2) for split in protocol.SPLITS}
    assert protocol._row('line', None, spread, 0).collapsed


def test_learning_rate_of_a_checkpoint(weights):
    assert pretraining_lr(weights) == 0.02
    assert pretraining_lr('ResNet18_Weights.SENTINEL2_ALL_MOCO') is None


def test_protocol_is_found_among_arguments():
    assert split_protocol(['--config', 'a.yaml']) == (None, ['--config', 'a.yaml'])
    words = ['--weights', 'a.ckpt', '--protocol', 'torchgeo', '--seed=1']
    assert split_protocol(words) == ('torchgeo', ['--weights', 'a.ckpt', '--seed=1'])
    assert split_protocol(['--protocol=torchgeo']) == ('torchgeo', [])
    with pytest.raises(ValueError, match='--protocol lacks a value'):
        split_protocol(['--protocol'])


@pytest.mark.slow
def test_from_the_command_line(tree, weights, tmp_path, capsys):
    cli.main(
        ['evaluate', '--protocol', 'torchgeo', '--weights', weights, '--root', str(tree),
         '--output', str(tmp_path)]
    )  # fmt: skip
    text = capsys.readouterr().out
    assert 'Check of TorchGeo on EuroSAT, test split' in text
    assert 'synthetic' not in text
    assert (tmp_path / 'protocol.csv').is_file()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--protocol', 'torchgoe'], "protocol must be one of torchgeo, got 'torchgoe'"),
        (['--protocol', 'torchgeo', '--weights', '[]'], 'weights lists no checkpoint'),
        (['--protocol', 'torchgeo', '--weights', '[a.ckpt, a.ckpt]'], 'lists a.ckpt twice'),
        (['--protocol', 'torchgeo', '--weights', 'lost.ckpt'], 'lost.ckpt'),
        (['--protocol', 'torchgeo', '--wieghts', 'a.ckpt'], 'wieghts'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(['evaluate', *arguments])
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in error
    assert error.count('\n') == 1


def test_rows_are_plain_numbers(rows):
    for row in rows[0]:
        assert isinstance(row, ProtocolRow)
        assert all(isinstance(v, int | float | str | None) for v in row)


def test_statistics_are_brought_to_one_scale_for_the_neighbours():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 2
    features = {}
    for split in protocol.SPLITS:
        told = labels + 0.01 * torch.randn(100, generator=generator)
        noise = 1e4 * torch.randn(100, generator=generator)
        features[split] = (torch.stack([told, noise], 1), labels)
    assert protocol._row('plain', None, features, 0).knn5_test < 0.8
    assert protocol._row('scaled', None, features, 0, scaled=True).knn5_test > 0.95


def test_features_without_numbers_are_refused():
    features = {split: (torch.ones(20, 8), torch.arange(20) % 2) for split in protocol.SPLITS}
    features['val'][0][3, 2] = torch.nan
    with pytest.raises(ValueError, match='features of broken hold NaN or infinity; the encoder'):
        protocol._row('broken', None, features, 0)
