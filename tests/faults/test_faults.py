# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest

from .catalogue import FAULTS
from .fault import Fault, Unmet, meet


# A tenth of a second each, of which there are more than a thousand.
@pytest.mark.slow
@pytest.mark.parametrize('fault', [pytest.param(fault, id=fault.id) for fault in FAULTS])
def test_fault(fault, tmp_path):
    meet(fault, tmp_path)


def test_every_fault_has_a_name_of_its_own():
    names = [fault.id for fault in FAULTS]
    assert len(names) == len(set(names))


def refuse(folder):
    raise ValueError('a library says no')


@pytest.mark.parametrize(
    ('fault', 'complaint'),
    [
        (Fault('a', lambda folder: None), 'silent'),
        (Fault('b', refuse), 'a library said'),
        (Fault('c', refuse, error=OSError), 'ValueError in place of OSError'),
        (
            Fault('d', lambda folder: folder.with_name('beside').touch(), error=None),
            'wrote beside outside',
        ),
    ],
)
def test_what_is_not_met_is_told(fault, complaint, tmp_path):
    with pytest.raises(Unmet, match=complaint):
        meet(fault, tmp_path)
