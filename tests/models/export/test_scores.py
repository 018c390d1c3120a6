# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of scores that a model card shows."""

import json
import statistics

import pytest

from torchgeo_saco.models.export.scores import measured_scores

ROWS = [
    'encoder,benchmark,seed,metric,value,seconds,key',
    'ours,EuroSAT,0,knn,0.5,1.0,a',
    'ours,EuroSAT,1,knn,0.75,1.0,b',
    'ours,EuroSAT,1,absent,,1.0,b',
    'random,EuroSAT,0,knn,0.25,1.0,c',
]


@pytest.fixture
def results(tmp_path):
    """Table of an evaluation of a checkpoint and of random weights."""
    (tmp_path / 'last.ckpt').write_bytes(b'weights')
    encoders = {
        'ours': {'init_args': {'weights': str(tmp_path / 'last.ckpt')}},
        'random': {'init_args': {'weights': None}},
    }
    (tmp_path / 'results.csv').write_text('\n'.join(ROWS) + '\n')
    (tmp_path / 'run.json').write_text(json.dumps({'settings': {'encoders': encoders}}))
    return tmp_path


def test_means_over_seeds_of_a_file_of_the_same_content(results):
    copied = results / 'copy.ckpt'
    copied.write_bytes(b'weights')
    (score,) = measured_scores(str(results / 'results.csv'), str(copied))
    assert score[:4] == ('EuroSAT', 'knn', 0.625, 2)
    assert score.deviation == pytest.approx(statistics.stdev([0.5, 0.75]))


def test_scores_of_other_weights_are_refused(results):
    other = results / 'other.ckpt'
    other.write_bytes(b'others')
    table = str(results / 'results.csv')
    with pytest.raises(ValueError, match=r'was not measured with .*other.ckpt; evaluate'):
        measured_scores(table, str(other))
    with pytest.raises(ValueError, match="as encoder 'random'"):
        measured_scores(table, str(results / 'last.ckpt'), 'random')
    with pytest.raises(ValueError, match="no encoder 'mine'; its encoders are ours, random"):
        measured_scores(table, str(results / 'last.ckpt'), 'mine')


def test_a_copied_table_is_refused(results):
    (results / 'run.json').unlink()
    with pytest.raises(ValueError, match=r'run.json beside it cannot be read'):
        measured_scores(str(results / 'results.csv'), str(results / 'last.ckpt'))


def test_several_encoders_of_the_weights_need_a_name(results):
    record = json.loads((results / 'run.json').read_text())
    encoders = record['settings']['encoders']
    encoders['tuned'] = encoders['ours']
    (results / 'run.json').write_text(json.dumps(record))
    table, weights = str(results / 'results.csv'), str(results / 'last.ckpt')
    with pytest.raises(ValueError, match='set encoder to one of ours, tuned'):
        measured_scores(table, weights)
    assert len(measured_scores(table, weights, 'ours')) == 1


def test_weights_inside_of_lists_are_found(results):
    record = json.loads((results / 'run.json').read_text())
    ours = {'weights': str(results / 'last.ckpt')}
    encoders = {'ours': {'parts': [{'size': 16}, 3, ours]}, 'random': {'parts': [{'size': 16}, 3]}}
    record['settings']['encoders'] = encoders
    (results / 'run.json').write_text(json.dumps(record))
    (score,) = measured_scores(str(results / 'results.csv'), str(results / 'last.ckpt'))
    assert score[:3] == ('EuroSAT', 'knn', 0.625)
