# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""TorchGeo: the scaling of SeCo has its quantiles in reverse order, and multiplies by 255 once."""

import torch
from torchgeo.datamodules import SeasonalContrastS2DataModule

datamodule = SeasonalContrastS2DataModule(root='unused')
# The 98th percentile of B04, B03 and B02 as stored, which is stretched to 1.
top = torch.tensor([129.0, 103.0, 88.0])
image = top[None, :, None, None].expand(1, 3, 4, 4).clone()
seen = datamodule.aug({'image': image})['image'][0, :, 0, 0]
expected = (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
print('expected', [round(value, 2) for value in expected.tolist()])
print('seen    ', [round(value, 2) for value in seen.tolist()])
print('shown' if not torch.allclose(seen, expected, rtol=0.01) else 'not shown')
