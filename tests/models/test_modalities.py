# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest
import torch

from torchgeo_saco.models.modalities import join_modalities

WIDTHS = {'s2': 3, 's1': 2}


def test_cosines_of_one_modality_are_those_of_it_alone():
    first, second = torch.rand(4, 3), torch.rand(4, 2)
    both = join_modalities({'s2': first, 's1': second}, WIDTHS)
    assert both.shape == (4, 5)
    torch.testing.assert_close(both[:, :3].norm(dim=1), torch.ones(4))
    alone = join_modalities({'s1': second}, WIDTHS)
    assert alone[:, :3].eq(0).all()
    cosine = torch.cosine_similarity
    wanted = cosine(second[:1], second) / 2**0.5
    torch.testing.assert_close(cosine(alone[:1], both), wanted)


def test_no_modality_is_refused():
    with pytest.raises(ValueError, match='none of s2, s1 is there'):
        join_modalities({}, WIDTHS)
