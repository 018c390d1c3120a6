# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What a device computes in bfloat16."""

import torch


def emulates_bfloat16(device: torch.device) -> bool:
    """Whether a device has no bfloat16 instructions, and takes longer with it than with float32.

    Args:
        device: The device.

    Returns:
        False also where it is not known.
    """
    if device.type == 'cuda':
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    # PyTorch before 2.9 does not tell.
    known = getattr(torch.cpu, 'get_capabilities', None)
    if device.type != 'cpu' or known is None:
        return False
    return not any(there for name, there in known().items() if 'bf16' in name)
