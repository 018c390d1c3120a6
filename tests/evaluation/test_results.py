# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of results on disk."""

import json
import math

import numpy as np
import pytest

from torchgeo_saco.evaluation import PanelSample, Result


def result(**parts):
    """A small result."""
    panel = PanelSample(
        {'image': np.full((3, 4, 4), 0.5, np.float32)}, np.array([[0, -1]]), np.array([[1, 1]])
    )
    given = {
        'metrics': {'test_OverallAccuracy': 0.5, 'test_Accuracy_b': math.nan},
        'seconds': 1.5,
        'classes': ('a', 'b'),
        'colors': ['red', [0, 128, 0]],
        'confusion': np.array([[1, 2], [3, 4]]),
        'panels': [panel, panel],
        'environment': {'machine': 'm, 2 CPU cores', 'torch': '2'},
    }
    return Result(**{**given, **parts})


def test_what_is_saved_is_loaded(tmp_path):
    saved = result()
    saved.save(tmp_path / 'runs' / 'key', {'encoder': 'e'})
    loaded = Result.load(tmp_path / 'runs' / 'key')
    assert loaded.metrics['test_OverallAccuracy'] == 0.5
    assert math.isnan(loaded.metrics['test_Accuracy_b'])
    assert (loaded.seconds, loaded.classes, loaded.colors) == (1.5, ('a', 'b'), saved.colors)
    assert loaded.environment == saved.environment
    np.testing.assert_array_equal(loaded.confusion, saved.confusion)
    assert len(loaded.panels) == 2
    np.testing.assert_array_equal(loaded.panels[1].images['image'], saved.panels[1].images['image'])
    np.testing.assert_array_equal(loaded.panels[1].target, [[0, -1]])
    np.testing.assert_array_equal(loaded.panels[1].prediction, [[1, 1]])
    assert sorted(path.name for path in (tmp_path / 'runs/key').iterdir()) == [
        'arrays.npz', 'result.json',
    ]  # fmt: skip


def test_json_is_strict_and_says_what_the_run_is(tmp_path):
    result().save(tmp_path, {'encoder': 'SACo+', 'seed': 3})
    record = json.loads((tmp_path / 'result.json').read_text(), parse_constant=pytest.fail)
    assert (record['encoder'], record['seed']) == ('SACo+', 3)
    assert record['metrics']['test_Accuracy_b'] is None


def test_without_matrix_and_panels(tmp_path):
    result(confusion=None, panels=[], colors=None).save(tmp_path, {})
    loaded = Result.load(tmp_path)
    assert loaded.confusion is None
    assert loaded.panels == []
    assert loaded.colors is None


def test_nothing_is_none(tmp_path):
    assert Result.load(tmp_path) is None
    result().save(tmp_path, {})
    # A run that died between both files has no result.
    (tmp_path / 'result.json').unlink()
    assert Result.load(tmp_path) is None


@pytest.mark.parametrize('name', ['result.json', 'arrays.npz'])
def test_damage_is_told(name, tmp_path):
    result().save(tmp_path, {})
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:40])
    with pytest.raises(ValueError, match=f'{tmp_path} is damaged .*; remove the folder'):
        Result.load(tmp_path)
