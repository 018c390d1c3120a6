# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what a checkpoint must agree on."""

import math

import pytest

from torchgeo_saco.runtime.agreement import require_agreement


def test_what_agrees_passes():
    then = {'a': (1, 2), 'b': {'c': math.nan}, 'd': None}
    require_agreement(then, {'a': [1, 2], 'b': {'c': math.nan}}, 'last.ckpt')


@pytest.mark.parametrize(
    ('now', 'message'),
    [
        ({'a': 2, 'b': {'c': 3}}, r'^last\.ckpt is of a run .*: a 1 then and 2 now; resume with'),
        ({'a': 1, 'b': {'c': 4}}, r': b\.c 3 then and 4 now; '),
        ({'a': 1, 'b': None}, r": b \{'c': 3\} then and None now; "),
        ({'a': 1, 'b': {'c': 3}, 'z': 0}, ': z None then and 0 now; '),
        ({'a': 'x' * 99, 'b': {'c': 3}}, r': a 1 then and x{77}\.\.\. now; '),
    ],
)
def test_what_differs_is_named_with_both_values(now, message):
    with pytest.raises(ValueError, match=message):
        require_agreement({'a': 1, 'b': {'c': 3}}, now, 'last.ckpt')


def test_many_differences_are_counted():
    then = {str(number): number for number in range(9)}
    with pytest.raises(ValueError, match='4 4 then and None now, and 4 more; resume'):
        require_agreement(then, {}, 'last.ckpt')
