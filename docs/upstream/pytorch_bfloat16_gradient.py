# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""PyTorch: gradients of a strided convolution of one pixel in bfloat16 on a CPU are arbitrary."""

import torch
from torch.nn import functional as F

torch.manual_seed(0)
worst = 0.0
for _ in range(20):
    image = torch.randn(8, 64, 1, 1)
    weight = torch.randn(128, 64, 3, 3)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        layer = weight.detach().to(dtype).clone().requires_grad_()
        F.conv2d(image.to(dtype), layer, stride=2, padding=1).sum().backward()
        gradients.append(layer.grad.float())
    # Only the centre of the kernel meets the pixel; all else has a gradient of 0.
    around = gradients[1].clone()
    around[:, :, 1, 1] = 0
    worst = max(worst, float('inf') if not around.isfinite().all() else around.abs().max().item())
print(f'PyTorch {torch.__version__}: largest gradient where it is 0: {worst:.3g}')
print('shown' if worst > 0 else 'not shown')
