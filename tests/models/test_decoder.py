# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the decoders."""

import pytest
import torch
from torch.nn import functional as F

from torchgeo_saco.models import LinearDecoder, UNetDecoder


def test_linear_decoder_is_one_linear_layer_on_all_levels():
    decoder = LinearDecoder([2, 3], 4).eval()
    maps = [torch.rand(1, 2, 8, 8), torch.rand(1, 3, 4, 4)]
    coarse = F.interpolate(maps[1], (8, 8), mode='bilinear')
    weight = torch.cat([level[1].weight for level in decoder.levels], 1)
    joined = F.conv2d(torch.cat([maps[0], coarse], 1), weight, decoder.levels[0][1].bias)
    torch.testing.assert_close(decoder(maps, (8, 8)), joined, atol=1e-4, rtol=1e-4)


def test_unet_needs_a_pyramid():
    decoder = UNetDecoder([4, 4], 2)
    assert decoder([torch.rand(2, 4, 5, 7), torch.rand(2, 4, 3, 4)], (9, 13)).shape == (2, 2, 9, 13)
    with pytest.raises(ValueError, match=r'levels of falling size, got \[\(4, 4\), \(4, 4\)\]'):
        decoder([torch.rand(1, 4, 4, 4), torch.rand(1, 4, 4, 4)], (8, 8))
