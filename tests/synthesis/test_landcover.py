# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
from torchgeo.datamodules import SEN12MSDataModule

from torchgeo_saco.synthesis.landcover import SIMPLIFIED_IGBP, simplified_igbp


def test_simplified_scheme_is_that_of_torchgeo():
    igbp = np.arange(1, 18).reshape(1, 17)
    expected = SEN12MSDataModule.DFC2020_CLASS_MAPPING[igbp]
    assert np.array_equal(simplified_igbp(igbp), expected)
    assert set(expected.flatten().tolist()) == set(range(1, len(SIMPLIFIED_IGBP) + 1))


@pytest.mark.parametrize('number', [0, 18, 255])
def test_numbers_that_are_no_class_are_refused(number: int):
    with pytest.raises(ValueError, match=f'{number} is no class of IGBP, which are 1-17; mask'):
        simplified_igbp(np.array([[3, number]]))
