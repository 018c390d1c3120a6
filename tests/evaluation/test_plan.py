# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the runs and their keys."""

import pytest

from torchgeo_saco import evaluation
from torchgeo_saco.evaluation import Settings, SettingsError, plan, plan_runs, specification

from ..data.fakes import FakeDataModule, FakeTask, benchmark


def settings(encoders=None, seeds=(0, 1), **benchmarks):
    return Settings(
        'out', list(seeds), encoders or {'random': {'lr': 0.1}}, benchmarks or {'Fake': benchmark()}
    )


def keys(*args, **kwargs):
    return [run.key for run in plan_runs(settings(*args, **kwargs))]


def test_every_combination_once():
    runs = plan_runs(settings({'a': {}, 'b': {'lr': 0.2}}, (0, 1, 2), One=benchmark(),
                                Two=benchmark('mask')))  # fmt: skip
    names = [(run.benchmark, run.encoder, run.seed) for run in runs]
    assert names == [(b, e, s) for b in ('One', 'Two') for e in 'ab' for s in (0, 1, 2)]
    assert len({run.key for run in runs}) == 12
    assert runs[0].name == 'encoder a on benchmark One with seed 0'


def test_arguments_of_the_encoder_win():
    spec = benchmark()
    spec['model']['init_args']['lr'] = 0.7
    (run,) = plan_runs(settings({'x': {'lr': 0.2, 'model': 'big'}}, (0,), Fake=spec))
    assert run.parts.model.init_args.lr == 0.2
    assert run.parts.model.init_args.model == 'big'
    assert run.parts.model.init_args.frozen is False
    (run,) = plan_runs(settings({'x': {'model': 'big'}}, (0,), Fake=spec))
    assert run.parts.model.init_args.lr == 0.7


def test_parts_are_made_anew():
    (run,) = plan_runs(settings(seeds=(0,)))
    first, second = run.make('data'), run.make('data')
    assert isinstance(first, FakeDataModule)
    assert first is not second
    assert isinstance(run.make('model'), FakeTask)
    trainer = run.make('trainer')
    assert trainer.max_epochs == 2
    assert not trainer.loggers
    assert trainer.checkpoint_callback is None


def test_the_older_name_of_jsonargparse(monkeypatch):
    (run,) = plan_runs(settings(seeds=(0,)))
    parser = specification.parser('data')
    monkeypatch.setattr(type(parser), 'instantiate', None, raising=False)
    monkeypatch.setattr(
        parser, 'instantiate_classes', lambda parts: {'data': 'made'}, raising=False
    )
    assert run.make('data') == 'made'


def test_the_seed_is_put_into_texts_of_the_encoder(tmp_path):
    for seed in (3, 4):
        (tmp_path / f'seed{seed}.ckpt').write_text(str(seed))
    runs = plan_runs(settings({'x': {'weights': str(tmp_path / 'seed{seed}.ckpt')}}, (3, 4)))
    assert [run.parts.model.init_args.weights for run in runs] == [
        str(tmp_path / 'seed3.ckpt'), str(tmp_path / 'seed4.ckpt'),
    ]  # fmt: skip


def test_the_seed_is_put_into_lists_and_mappings():
    value = {'a': ['{seed}', 1], 'b': {'c': 'x{seed}{seed}'}}
    assert plan._insert_seed(value, 5) == {'a': ['5', 1], 'b': {'c': 'x55'}}


def test_the_key_depends_on_what_the_result_depends_on():
    base = keys()
    assert keys() == base
    assert base[0] != base[1]
    for change in (
        {'model': {'class_path': 'tests.data.fakes.FakeTask', 'init_args': {'frozen': True}}},
        {'data': {'class_path': 'tests.data.fakes.FakeDataModule', 'init_args': {'size': 6}}},
        {'trainer': {'max_epochs': 3}},
        {'panels': [1]},
    ):
        assert not set(keys(Fake=benchmark(**change))) & set(base), change


def test_the_key_does_not_depend_on_names_columns_and_spelled_out_defaults(tmp_path):
    base = keys()
    spec = benchmark(metrics=['test_OverallAccuracy'])
    spec['model']['init_args']['frozen'] = False
    assert keys({'renamed': {'lr': 0.1}}, Other=spec) == base


def test_the_key_depends_on_the_version(monkeypatch):
    base = keys()
    monkeypatch.setattr(plan, '__version__', '99')
    assert not set(keys()) & set(base)


def test_the_key_depends_on_the_source_of_the_package(monkeypatch):
    base = keys()
    monkeypatch.setattr(plan, 'source_fingerprint', lambda: 'edited')
    assert not set(keys()) & set(base)


def test_the_key_depends_on_what_an_encoder_changes_of_data_and_trainer():
    of = [
        keys({'x': encoder}, (0,))[0]
        for encoder in ({}, {'data': {'init_args': {'size': 6}}}, {'trainer': {'max_steps': 0}})
    ]
    assert len(set(of)) == 3
    assert keys({'x': {'init_args': {'lr': 0.1}, 'data': None}}, (0,)) == keys(seeds=(0,))


def test_the_key_depends_on_the_content_of_a_checkpoint_and_not_on_its_path(tmp_path):
    first, second = tmp_path / 'a.ckpt', tmp_path / 'b.ckpt'
    first.write_bytes(b'weights')
    second.write_bytes(b'weights')
    of = [keys({'x': {'weights': str(path)}}, (0,)) for path in (first, second)]
    assert of[0] == of[1]
    second.write_bytes(b'others')
    assert keys({'x': {'weights': str(second)}}, (0,)) != of[0]


def test_weights_of_any_ending_are_hashed(tmp_path):
    path = tmp_path / 'weights'
    path.write_bytes(b'one')
    first = keys({'x': {'weights': str(path)}})
    path.write_bytes(b'two')
    assert keys({'x': {'weights': str(path)}}) != first


def test_published_weights_are_taken_by_name():
    assert keys({'x': {'weights': 'ResNet18_Weights.SENTINEL2_RGB_SECO'}})


@pytest.mark.parametrize(
    ('encoder', 'parts', 'tokens'),
    [
        ({'modle': 'x'}, {}, "encoder x on benchmark Fake: .*'modle' is not accepted"),
        ({'lr': 'fast'}, {}, 'lr.*float.*fast'),
        ({'weights': 'no.ckpt'}, {}, r'checkpoint no.ckpt cannot be read \(No such file'),
        ({'weights': 'ResNet18_Weights.SECO'}, {}, "'ResNet18_Weights.SECO' is neither a file nor"),
        ({}, {'trainr': {}}, "unknown part 'trainr'; its parts are configs, model"),
        ({}, {'trainer': {'max_epoch': 1}}, 'max_epoch'),
        ({}, {'data': {'class_path': 'tests.data.fakes.FakeData'}}, 'FakeData'),
        ({}, {'data': {'class_path': 'os.system'}}, 'os.system'),
        ({}, {'data': {'class_path': 'tests.data.fakes.FakeDataModule',
                       'init_args': {'sise': 3}}}, 'sise'),
        ({}, {'data': None}, 'on benchmark Fake: '),
        ({}, {'model': None}, 'on benchmark Fake: '),
        ({}, {'model': 'FakeTask'}, "model of the benchmark must be a mapping, got 'FakeTask'"),
        ({}, {'metrics': 'test_OverallAccuracy'}, 'metrics'),
        ({}, {'panels': ['first']}, 'first'),
        ({}, {'panels': [0, -1]}, r'panels must not be negative, got \[0, -1\]'),
    ],
)  # fmt: skip
def test_wrong_runs_are_refused_before_anything_runs(encoder, parts, tokens, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=f'(?s){tokens}'):
        evaluation.evaluate(settings({'x': encoder}, Fake=benchmark(**parts)))
    assert not list(tmp_path.iterdir())


def test_synthetic_data_are_known():
    spec = benchmark()
    spec['data']['init_args']['archive'] = 'sample'
    real, made_up = plan_runs(settings(seeds=(0,), Real=benchmark(), Sample=spec))
    assert not real.synthetic
    assert made_up.synthetic
