# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the configuration of the evaluation."""

import pytest
import yaml

from torchgeo_saco.evaluation import Settings, SettingsError, read_settings
from torchgeo_saco.evaluation.settings import merge_configs

from ..data.fakes import benchmark, write_config


def test_files_are_merged_in_order_and_arguments_win(tmp_path):
    first = write_config(tmp_path, encoders={'random': {'model': 'a', 'lr': 1.0}})
    second = tmp_path / 'second.yaml'
    second.write_text('encoders: {random: {lr: 2.0}, SACo+: {model: b}}\nseeds: [7]\n')
    settings = read_settings([
        f'--config={first}', '--config', str(second), '--seeds', '[3, 4]',
        '--benchmarks.Fake.trainer.max_epochs=1', '--encoders.SACo+.weights=x.ckpt',
    ])  # fmt: skip
    assert settings.seeds == [3, 4]
    assert settings.output == str(tmp_path / 'report')
    assert settings.encoders == {
        'random': {'model': 'a', 'lr': 2.0},
        'SACo+': {'model': 'b', 'weights': 'x.ckpt'},
    }
    assert settings.benchmarks['Fake']['trainer'] == {'max_epochs': 1, 'accelerator': 'cpu'}


def test_an_argument_wins_over_a_file_that_follows(tmp_path):
    path = write_config(tmp_path)
    assert read_settings(['--seeds=[5]', f'--config={path}']).seeds == [5]


def test_null_leaves_out_what_a_file_before_has(tmp_path):
    first = write_config(tmp_path, encoders={'random': {}, 'SACo+': {}, 'SeCo': {}})
    second = tmp_path / 'second.yaml'
    second.write_text('encoders: {random: null}\nbenchmarks: {Other: {trainer: {}}, Fake: null}\n')
    settings = read_settings([f'--config={first}', f'--config={second}', '--encoders.SeCo=null'])
    assert [*settings.encoders] == ['SACo+']
    assert [*settings.benchmarks] == ['Other']
    # A name that no file has is misspelt.
    with pytest.raises(SettingsError, match=r'encoders\.saco must be a mapping, got None'):
        read_settings([f'--config={first}', '--encoders.saco=null'])
    # What a lone file leaves empty is no name to leave out.
    second.write_text('encoders: {random:}\nbenchmarks: {Fake: {trainer: {}}}\n')
    with pytest.raises(SettingsError, match=r'encoders\.random must be a mapping, got None'):
        read_settings([f'--config={second}'])


def test_another_class_takes_its_own_arguments():
    base = {'model': {'class_path': 'A', 'init_args': {'x': 1}}}
    assert merge_configs(base, {'model': {'init_args': {'y': 2}}})['model'] == {
        'class_path': 'A', 'init_args': {'x': 1, 'y': 2},
    }  # fmt: skip
    assert merge_configs(base, {'model': {'class_path': 'B'}})['model'] == {'class_path': 'B'}
    own = {'class_path': 'A', 'init_args': {'x': 1}, 'data': {'init_args': {'dates': 3}}}
    assert merge_configs(own, {'class_path': 'B', 'init_args': {'y': 2}}) == {
        'class_path': 'B', 'init_args': {'y': 2}, 'data': {'init_args': {'dates': 3}},
    }  # fmt: skip
    assert merge_configs({'groups': ['a', 'b']}, {'groups': ['c']}) == {'groups': ['c']}


def test_a_benchmark_starts_from_files_of_fit(tmp_path):
    fit, data = tmp_path / 'fit.yaml', tmp_path / 'data.yaml'
    spec = benchmark()
    spec['trainer'] |= {'logger': {'class_path': 'x.Logger'}, 'callbacks': [{'class_path': 'y.Z'}]}
    fit.write_text(yaml.safe_dump({**spec, 'seed_everything': 0}))
    data.write_text('data: {init_args: {size: 9}}')
    settings = read_settings([
        f'--config={write_config(tmp_path, benchmarks={"Fake": {
            "configs": [str(fit), str(data)], "trainer": {"max_epochs": 5}, "metrics": ["a"],
        }})}'
    ])  # fmt: skip
    assert settings.benchmarks['Fake'] == {
        'model': spec['model'],
        'data': {**spec['data'], 'init_args': {'kind': 'class', 'size': 9}},
        'trainer': {'max_epochs': 5, 'accelerator': 'cpu'},
        'metrics': ['a'],
    }


def test_files_of_fit_without_a_trainer(tmp_path):
    fit = tmp_path / 'fit.yaml'
    fit.write_text('model: {class_path: A}')
    path = write_config(tmp_path, benchmarks={'Fake': {'configs': [str(fit)]}})
    assert read_settings([f'--config={path}']).benchmarks['Fake'] == {'model': {'class_path': 'A'}}


@pytest.mark.parametrize(
    ('parts', 'tokens'),
    [
        ({'sedes': [0]}, "'sedes' is not accepted"),
        ({'seeds': [0, 'one']}, 'one'),
        ({'seeds': 3}, 'seeds'),
        ({'seeds': []}, 'seeds is empty; name at least one'),
        ({'seeds': [1, 1]}, r'seeds must be different and not negative, got \[1, 1\]'),
        ({'seeds': [-1]}, r'got \[-1\]'),
        ({'encoders': {}}, 'encoders is empty'),
        ({'encoders': ['random']}, 'encoders must be a mapping of names'),
        ({'encoders': {'random': 'resnet18'}}, "encoders.random must be a mapping, got 'resnet18'"),
        ({'encoders': {'../x': {}}}, "encoders: '../x' is no name for a file"),
        ({'encoders': {'a|b': {}}}, 'is no name for a file'),
        ({'encoders': {'a b': {}, 'a_b': {}}}, 'encoders: two names differ in a space alone'),
        ({'benchmarks': {}}, 'benchmarks is empty'),
        ({'benchmarks': {3: {}}}, 'benchmarks: 3 is no name'),
        ({'benchmarks': {'Fake': None}}, 'benchmarks.Fake must be a mapping, got None'),
        (
            {'benchmarks': {'Fake': {'configs': 'a.yaml'}}},
            "configs must be a list of files, got 'a",
        ),
        (
            {'benchmarks': {'Fake': {'configs': ['no.yaml']}}},
            'no.yaml is neither a file nor a configuration',
        ),
        ({'output': ''}, 'output is empty'),
    ],
)
def test_wrong_settings(parts, tokens, tmp_path):
    with pytest.raises(SettingsError, match=tokens):
        read_settings([f'--config={write_config(tmp_path, **parts)}'])


@pytest.mark.parametrize(
    ('args', 'tokens'),
    [
        (['--config=no.yaml'], 'no.yaml is neither a file nor a configuration'),
        (['--config'], '--config lacks a value'),
        (['report.yaml'], "unexpected argument 'report.yaml'; arguments look like"),
        (['--sedes=[0]'], "'sedes' is not accepted"),
        (['--seeds', '['], r'--seeds \[ is no YAML \(.*\); correct it'),
    ],
)
def test_wrong_arguments(args, tokens):
    with pytest.raises(SettingsError, match=tokens):
        read_settings(args)


@pytest.mark.parametrize(
    ('content', 'tokens'),
    [
        (b'encoders: {a: b{seed}.ckpt}', r'wrong.yaml is no YAML \(.*expected.*\); correct it'),
        (b'\xff\xfe\x00', 'wrong.yaml is no YAML'),
        (b'a: ' + b'[' * 3000, r'wrong.yaml is no YAML \(brackets are nested too deep\); correct'),
        (b'- a list', 'wrong.yaml holds a list where settings by name are expected; write name'),
    ],
)
def test_wrong_file(content, tokens, tmp_path):
    path = tmp_path / 'wrong.yaml'
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=tokens):
        read_settings([f'--config={path}'])


def test_a_quick_run_has_one_seed_and_few_steps(tmp_path):
    path = tmp_path / 'file.yaml'
    path.write_text(
        'output: out\nseeds: [3, 4]\nencoders: {a: {trainer: {max_steps: 0}}, b: {lr: 1}}\n'
        'benchmarks: {x: {trainer: {max_steps: 300, max_epochs: 5}}}\n'
    )
    full, quick = (read_settings([f'--config={path}', *more]) for more in ([], ['--quick=true']))
    assert (full.output, list(full.seeds)) == ('out', [3, 4])
    assert full.benchmarks['x']['trainer'] == {'max_steps': 300, 'max_epochs': 5}
    assert (quick.output, list(quick.seeds)) == ('out/quick', [3])
    assert quick.benchmarks['x']['trainer'] == {'max_steps': 15, 'max_epochs': 1}
    assert quick.encoders == {'a': {'trainer': {'max_steps': 0}}, 'b': {'lr': 1}}


def test_the_reference_is_an_encoder():
    with pytest.raises(SettingsError, match="reference 'c' is no encoder; name one of a, b"):
        Settings('out', [0], {'a': {}, 'b': {}}, {'x': {}}, 'c')


def test_settings_of_python():
    assert Settings('out', [0], {'a': {}}, {'b': {}}).seeds == [0]


@pytest.mark.parametrize(
    ('curve', 'message'),
    [
        ({'at': {'Fake': 1}, 'x': 1}, 'curve has the parts label and at'),
        ([1], 'curve has the parts label and at'),
        ({'at': {'Fak': 1}}, "curve.at: 'Fak' is no benchmark; name some of Fake"),
        ({'at': {'Fake': 0}}, 'curve.at must hold numbers above 0'),
        ({'at': {}}, 'curve.at must hold numbers above 0'),
    ],
)
def test_curve_needs_numbers_of_benchmarks(tmp_path, curve, message):
    with pytest.raises(SettingsError, match=message):
        read_settings([f'--config={write_config(tmp_path, curve=curve)}'])


def test_curve_is_read(tmp_path):
    curve = {'label': 'images', 'at': {'Fake': 10}}
    assert read_settings([f'--config={write_config(tmp_path, curve=curve)}']).curve == curve
