# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what contrastive tasks require of the data they train on."""

from types import SimpleNamespace

import pytest

from torchgeo_saco.tasks.requirements import (
    largest_queue,
    require_data,
    require_dates,
    require_years,
)


class Method(SimpleNamespace):
    """A method that compares dates of years."""


PAIR = Method(years=1, dates=2)
TWO_YEARS = Method(years=2, dates=3)


@pytest.mark.parametrize(
    ('method', 'data'),
    [
        (PAIR, {'years': 1, 'dates': 2}),
        (PAIR, {'dates': 5}),
        # Dates of all years are as good as those of one.
        (PAIR, {'years': 2, 'dates': 1}),
        (TWO_YEARS, {'years': 2, 'dates': 3}),
        (TWO_YEARS, {'years': 4, 'dates': 2}),
        # What is not said is not checked.
        (PAIR, {}),
        (TWO_YEARS, {}),
        (TWO_YEARS, {'years': 2}),
    ],
)
def test_data_that_suit(method, data):
    require_data(method, SimpleNamespace(**data))


@pytest.mark.parametrize(
    ('method', 'data', 'message'),
    [
        (PAIR, {'dates': 1}, 'compares 2 dates of a location, samples have 1; set'),
        (TWO_YEARS, {'years': 1, 'dates': 9}, 'needs 2 years of a location as an axis; set'),
        (TWO_YEARS, {'dates': 2}, '3 dates of a location in each year, samples have 2; set'),
        (TWO_YEARS, {'years': 3, 'dates': 1}, 'in each year, samples have 1; set'),
    ],
)
def test_data_that_do_not_suit(method, data, message):
    with pytest.raises(ValueError, match=f'^Method .*{message}'):
        require_data(method, SimpleNamespace(**data))


def test_as_many_dates_as_are_compared_are_enough():
    require_dates(PAIR, 2)
    with pytest.raises(ValueError, match=r'dates to 2 \(of a datamodule'):
        require_dates(PAIR, 1)


def test_axis_of_years():
    shape = (4, 2, 3, 5, 8, 8)
    require_years(TWO_YEARS, shape)
    for wrong in (shape[1:], (4, 3, *shape[2:]), (4, 1, *shape[2:])):
        with pytest.raises(ValueError, match=r'\(B, 2, T, C, H, W\), got \(') as caught:
            require_years(TWO_YEARS, wrong)
        assert str(wrong) in str(caught.value)


def test_queue_holds_as_many_keys_as_there_are_items():
    assert largest_queue(PAIR, SimpleNamespace(train_items=7)) == 7
    assert largest_queue(TWO_YEARS, SimpleNamespace(train_items=7)) == 14
    assert largest_queue(PAIR, SimpleNamespace(train_items=0)) is None
    assert largest_queue(PAIR, SimpleNamespace()) is None
