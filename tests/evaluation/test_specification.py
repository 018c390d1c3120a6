# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of an encoder over a benchmark."""

import pytest

from torchgeo_saco.evaluation.specification import (
    did_you_mean,
    parse_part,
    require_parts,
    specification,
)

from ..data.fakes import benchmark

TASK = 'tests.data.fakes.FakeTask'
BENCHMARK = {
    'model': {'class_path': TASK, 'init_args': {'lr': 0.5, 'kind': 'class'}},
    'data': {'class_path': 'tests.data.fakes.FakeDataModule', 'init_args': {'size': 9}},
    'trainer': {'max_steps': 7, 'accelerator': 'cpu'},
}


def test_bare_arguments_are_those_of_the_task():
    given = specification({'lr': 0.1, 'weights': None}, BENCHMARK)
    assert given['model'] == {
        'class_path': TASK, 'init_args': {'lr': 0.1, 'kind': 'class', 'weights': None},
    }  # fmt: skip
    assert given['data'] == BENCHMARK['data']
    assert given['trainer']['max_steps'] == 7
    assert given['trainer']['enable_checkpointing'] is False
    assert specification({'init_args': {'lr': 0.1, 'weights': None}}, BENCHMARK) == given


def test_another_task_keeps_what_all_encoders_share():
    own = {'class_path': 'mine.Task', 'init_args': {'lr': 0.1}}
    assert specification(own, BENCHMARK)['model'] == {
        'class_path': 'mine.Task', 'init_args': {'lr': 0.1, 'kind': 'class'},
    }  # fmt: skip


def test_a_task_that_shares_nothing_has_its_own_arguments_alone():
    own = {'class_path': 'mine.Task', 'init_args': {'lr': 0.1}, 'shared': False}
    given = specification(own, BENCHMARK)
    assert given['model'] == {'class_path': 'mine.Task', 'init_args': {'lr': 0.1}}
    assert given['data'] == BENCHMARK['data']
    with pytest.raises(ValueError, match="shared of the encoder must be true or false, got 'no'"):
        specification({**own, 'shared': 'no'}, BENCHMARK)


def test_data_and_trainer_of_an_encoder_win():
    own = {'data': {'init_args': {'batch_size': 2}}, 'trainer': {'max_steps': 0, 'devices': 2}}
    given = specification(own, BENCHMARK)
    assert given['data']['init_args'] == {'size': 9, 'batch_size': 2}
    assert given['trainer']['max_steps'] == 0
    assert given['trainer']['devices'] == 2
    assert given['trainer']['accelerator'] == 'cpu'
    assert given['model'] == BENCHMARK['model']


def test_other_data_do_not_take_arguments_of_those_of_the_benchmark():
    given = specification({'data': {'class_path': 'mine.Data'}}, BENCHMARK)
    assert given['data'] == {'class_path': 'mine.Data'}


def test_nothing_given_is_changed():
    own = {'class_path': TASK, 'init_args': {'lr': 0.1}, 'data': {'init_args': {'size': 3}}}
    specification(own, BENCHMARK)
    assert own['init_args'] == {'lr': 0.1}
    assert BENCHMARK['data']['init_args'] == {'size': 9}


@pytest.mark.parametrize(
    ('encoder', 'parts', 'tokens'),
    [
        ({'class_pth': TASK, 'init_args': {}}, {},
         "the encoder has an unknown part 'class_pth'; .* did you mean 'class_path'"),
        ({'class_path': TASK, 'lr': 0.1}, {}, "unknown part 'lr'; its parts are class_path, init_ar"),  # noqa: E501
        ({'init_args': 3}, {}, 'init_args of the encoder must be a mapping, got 3'),
        ({'data': [1]}, {}, r'data of the encoder must be a mapping, got \[1\]'),
        ({'trainer': 'cpu'}, {}, "trainer of the encoder must be a mapping, got 'cpu'"),
        ({}, {'data': 'x'}, "data of the benchmark must be a mapping, got 'x'"),
        ({}, {'model': {'init_args': {}}}, 'no task is named; set class_path of the encoder, or'),
        ({}, {'model': {'class_path': TASK, 'init_arg': {}}},
         "model of the benchmark has an unknown part 'init_arg'; .* did you mean 'init_args'"),
    ],
)  # fmt: skip
def test_wrong_encoders(encoder, parts, tokens):
    with pytest.raises(ValueError, match=tokens):
        specification(encoder, benchmark(**parts))


def test_wrong_parts_of_a_benchmark():
    with pytest.raises(ValueError, match=r"unknown part 'metric'; .*did you mean 'metrics'\?"):
        require_parts({'metric': []})
    with pytest.raises(ValueError, match=r'panels$'):
        require_parts({'zzz': []})


@pytest.mark.parametrize(
    ('part', 'value', 'tokens'),
    [
        ('model', {'class_path': TASK, 'init_args': {'frozn': True}},
         r"'frozn' is not accepted; did you mean 'frozen'\?$"),
        ('model', {'class_path': TASK, 'init_args': {'init_arg': 1}}, "did you mean 'init_args'"),
        ('model', {'class_path': TASK, 'init_args': {'qqq': 1}}, "'qqq' is not accepted$"),
        ('model', {'class_path': f'{TASK[:-1]}c'}, r"did you mean 'FakeTask'\?$"),
        ('model', {'class_path': 'no.such.Task'}, "No module named 'no'$"),
        ('model', {'class_path': TASK, 'init_args': {'lr': 'fast'}}, 'value: fast$'),
        ('trainer', {'max_step': 1}, r"'max_step'; did you mean 'max_steps'\?$"),
        ('trainer', {'max_steps': 'x'}, 'value: x$'),
    ],
)  # fmt: skip
def test_what_was_probably_meant_is_said_in_one_line(part, value, tokens):
    with pytest.raises(ValueError, match=tokens) as caught:
        parse_part(part, {part: value})
    assert '\n' not in str(caught.value)


def test_defaults_are_filled_in():
    part = parse_part('model', {'model': {'class_path': TASK, 'init_args': {'lr': 3}}})['model']
    assert part.init_args.lr == 3.0
    assert part.init_args.model == 'tiny'


def test_names_that_are_not_near_are_not_proposed():
    assert did_you_mean('groupz', ['groups', 'texture']) == "; did you mean 'groups'?"
    assert did_you_mean('bananas', ['groups', 'texture']) == ''
