# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""lightly: keys that do not fit the end of the memory bank are lost, and it is not saved."""

import torch
from lightly.models.modules.memory_bank import MemoryBankModule

bank = MemoryBankModule(size=(5, 1), feature_dim_first=False)
for first in (1.0, 4.0):
    bank(torch.arange(first, first + 3)[:, None], update=True)
held = sorted(bank.bank.flatten().tolist())
print(f'keys 1 to 6 into a bank of 5: it holds {held}; the last five are [2.0, 3.0, 4.0, 5.0, 6.0]')
print(f'tensors in its state_dict: {len(bank.state_dict())}')
print('shown' if 6.0 not in held else 'not shown')
