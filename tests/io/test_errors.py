# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import sys
from types import SimpleNamespace

import pytest
from torch._utils import ExceptionWrapper

from torchgeo_saco.io import errors
from torchgeo_saco.io.errors import sentence, show_last
from torchgeo_saco.runtime.checks import check_choice, check_range


def caught(function, *args):
    with pytest.raises(Exception) as info:
        function(*args)
    return info.value


def wrap():
    try:
        check_range('crop', 2, '[0, 1]')
    except ValueError as error:
        raise TypeError('of a parser\nin many lines') from error


def during():
    try:
        check_range('crop', 2, '[0, 1]')
    except ValueError:
        raise KeyError('cleaning up')  # noqa: B904


def in_a_worker():
    try:
        check_range('crop', 2, '[0, 1]')
    except ValueError:
        wrapper = ExceptionWrapper(where='in DataLoader worker process 0')
    wrapper.reraise()


@pytest.mark.parametrize('function', [wrap, during, in_a_worker])
def test_our_sentence_is_found_below_what_wraps_it(function):
    assert sentence(caught(function)) == 'crop must be from 0 to 1, got 2'


def test_no_sentence_is_made_of_a_bug_or_of_a_library():
    assert sentence(caught(int, 'x')) is None
    # An expression of ours that fails is no refusal.
    assert sentence(caught(check_choice, 'x', 'y', 5)) is None


def test_the_last_line_is_ours_in_the_command_line_of_torchgeo_alone(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, 'torchgeo.main', raising=False)
    monkeypatch.setattr(sys, 'excepthook', sys.__excepthook__)
    show_last()
    assert sys.excepthook is sys.__excepthook__
    monkeypatch.setitem(sys.modules, 'torchgeo.main', SimpleNamespace())
    show_last()
    assert sys.excepthook is not sys.__excepthook__
    for function, last in ((wrap, 'error: crop must be from 0 to 1, got 2'), (during, None)):
        error = caught(function)
        sys.excepthook(type(error), error, error.__traceback__)
        said = capsys.readouterr().err.rstrip().rpartition('\n')[2]
        assert last is None or said == last
    error = caught(int, 'x')
    sys.excepthook(type(error), error, error.__traceback__)
    assert 'error: ' not in capsys.readouterr().err.lower().replace('valueerror: ', '')
    assert errors.sentence(error) is None
