# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import math

import numpy as np
import pytest
import torch

from torchgeo_saco.runtime.checks import check_range, check_ranges, declared_ranges


@pytest.mark.parametrize(
    ('interval', 'inside', 'outside'),
    [
        ('[0, 1]', (0, 1, 0.5, np.float32(1)), (-1e-9, 1.1, math.nan, math.inf, '1', None, True)),
        ('(0, 1)', (0.5, 1e-300), (0, 1)),
        ('[0, 1)', (0,), (1, np.float64(1))),
        ('(-inf, inf)', (-1e300, 0), (math.inf, -math.inf, math.nan)),
        ('int [1, inf)', (1, 10**30, np.int64(3)), (0, 1.0, 2.5, math.inf, True)),
        ('int [1, 9] or None', (None, 9), (10, 'None')),
    ],
)
def test_interval(interval, inside, outside):
    for value in inside:
        assert check_range('x', value, interval) is value
    for value in outside:
        with pytest.raises(ValueError, match=r'^x must be .*, got '):
            check_range('x', value, interval)


@pytest.mark.parametrize(
    ('value', 'interval', 'message'),
    [
        (2, '[0, 1]', 'p must be from 0 to 1, got 2'),
        (0, '(0, 1]', 'p must be above 0 and at most 1, got 0'),
        (1000001, 'int [1, 1000000]', 'p must be from 1 to 1000000, got 1000001'),
        (math.nan, '[1, inf)', 'p must be a finite number of at least 1, got nan'),
        (2.5, 'int [1, inf) or None', 'p must be a whole number of at least 1 or None, got 2.5'),
        (math.inf, '(-inf, inf)', 'p must be a finite number, got inf'),
        (-1, '[0, inf)', 'p must be at least 0, got -1'),
    ],
)
def test_message(value, interval, message):
    with pytest.raises(ValueError) as error:
        check_range('p', value, interval)
    assert str(error.value) == message


def test_an_interval_must_be_one():
    with pytest.raises(ValueError, match='is no interval'):
        check_range('p', 1, '0..1')


def test_items_of_a_sequence_and_arguments_that_are_not_there():
    check_ranges({'widths': (8, 16), 'other': -1}, {'widths': 'int [1, inf)', 'absent': '[0, 1]'})
    with pytest.raises(ValueError, match='each of widths must be at least 1, got 0'):
        check_ranges({'widths': (8, 0)}, {'widths': 'int [1, inf)'})


@pytest.mark.parametrize('kind', [torch.tensor, np.array])
def test_items_of_tensors_and_arrays(kind):
    check_ranges({'weights': kind([1.0, 2.0])}, {'weights': '[0, inf)'})
    with pytest.raises(ValueError, match=r'each of weights must be at least 0, got -2\.0'):
        check_ranges({'weights': kind([1.0, -2.0])}, {'weights': '[0, inf)'})


def test_a_class_declares_what_it_adds_or_changes():
    class Parent:
        ranges = {'a': '[0, 1]', 'b': '[0, 1]'}  # noqa: RUF012

    class Child(Parent):
        ranges = {'b': '(0, 1)'}  # noqa: RUF012

    assert declared_ranges(Child) == {'a': '[0, 1]', 'b': '(0, 1)'}
