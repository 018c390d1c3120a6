# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Benchmarks in memory for tests of downstream tasks."""

from collections.abc import Sequence

import torch
from lightning.pytorch import Trainer
from torch.utils.data import Dataset

from torchgeo_saco.datamodules.benchmark import BenchmarkDataModule

BANDS = ('B02', 'B03', 'B04', 'B08')


class Samples(Dataset):
    """Samples that count how often they are read."""

    def __init__(self, samples):
        self.samples = samples
        self.reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return self.samples[index]

    def __len__(self):
        return len(self.samples)


class Memory(BenchmarkDataModule):
    """Benchmark whose samples are given."""

    sample = 'memory'

    sensor = 'sentinel2_l2a'
    all_bands = BANDS

    def __init__(self, samples, classes: Sequence[str] = ('dark', 'bright'), **arguments):
        super().__init__(**({'root': 'memory', 'batch_size': 4} | arguments))
        self.samples = samples
        self.classes = list(classes)

    def obtain(self):
        raise AssertionError('no test downloads')

    def make_dataset(self, split):
        return Samples(self.samples)


def images(count, side=16, dates=None, seed=0):
    """Stored numbers: dark images, then bright ones."""
    generator = torch.Generator().manual_seed(seed)
    shape = (4, side, side) if dates is None else (dates, 4, side, side)
    numbers = [
        torch.randint(200, 2000, shape, generator=generator) + 4000 * (i % 2) for i in range(count)
    ]
    return [image.to(torch.int16) for image in numbers]


def labelled(count=12, **arguments):
    """Classification samples."""
    return [
        {'image': image, 'label': torch.tensor(i % 2)}
        for i, image in enumerate(images(count, **arguments))
    ]


def masked(count=8, side=32, dates=None, seed=0):
    """Segmentation samples: the left half dark, the right half bright."""
    samples = []
    for image in images(count, side, dates, seed):
        mask = torch.zeros(side, side, dtype=torch.long)
        mask[:, side // 2 :] = 1
        samples.append({'image': image % 2000 + 4000 * mask.to(torch.int16), 'mask': mask})
    return samples


def changed(count=8, side=32):
    """Change samples: the upper half of the second date is brighter."""
    samples = []
    for image in images(count, side, 2):
        mask = torch.zeros(side, side, dtype=torch.long)
        mask[: side // 2] = 1
        image = image % 2000
        image[1] += 4000 * mask.to(torch.int16)
        samples.append({'image': image, 'mask': mask})
    return samples


def trainer(folder, epochs=1, **arguments):
    """A quiet trainer."""
    quiet = {
        'logger': False, 'enable_checkpointing': False, 'enable_progress_bar': False,
        'enable_model_summary': False, 'num_sanity_val_steps': 0,
    }  # fmt: skip
    return Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator='cpu', **(quiet | arguments)
    )
