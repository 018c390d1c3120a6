# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""TorchGeo: OSCDDataModule with its default batch size has no batch to train on."""

import torch
from torch.utils.data import TensorDataset, random_split
from torchgeo.datamodules import OSCDDataModule

datamodule = OSCDDataModule()
# As its setup splits the 14 scenes of the data set.
scenes = TensorDataset(torch.zeros(14, 1))
parts = [1 - datamodule.val_split_pct, datamodule.val_split_pct]
datamodule.train_dataset, datamodule.val_dataset = random_split(scenes, parts)
batches = len(datamodule.train_dataloader())
print(f'{len(datamodule.train_dataset)} scenes, {datamodule.batch_size} a batch: {batches} batches')
print('shown' if batches == 0 else 'not shown')
