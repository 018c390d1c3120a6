# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figure of what SACo+ sees: an image, its groups and textures, and two views.

``python benchmarks/overview.py`` draws it from the sample archive to docs/overview.png.
"""

import argparse
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from torch import Tensor
from torchgeo.datasets.utils import quantile_normalization

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.models import GroupInputs
from torchgeo_saco.runtime.seeding import torch_seeded
from torchgeo_saco.transforms import ContrastiveViews

OUTPUT = Path(__file__).parents[1] / 'docs' / 'overview.png'
GROUPS = ('natural_color', 'near_infrared', 'urban', 'agriculture', 'atmospheric_penetration')


def main() -> None:
    """Draw the figure."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument('--root', default='data/sample', help='folder of the sample archive')
    arguments.add_argument('--item', type=int, default=173, help='image of the archive')
    given = arguments.parse_args()
    data = SeasonalDataModule('sample', given.root, download=True)
    data.prepare_data()
    data.setup('predict')
    if data.predict_dataset is None or data.bands is None:
        raise ValueError(f'{given.root} has no image')
    image = data.reflectance(data.predict_dataset[given.item]['image'])
    inputs = GroupInputs(data.bands, list(GROUPS), 'sentinel2_l2a')
    groups = inputs.unnormalized(image)[0]
    views = ContrastiveViews(size=image.shape[-1])
    with torch_seeded(7):
        augmented = [inputs.unnormalized(views(image))[0, 0] for _ in range(2)]
    rows: list[list[tuple[str, Tensor]]] = [[], []]
    for number, (name, bands) in enumerate(inputs.channels.items()):
        row, title = divmod(number, len(GROUPS))
        label = f'{name.replace("_texture", "").replace("_", " ")}\n{" ".join(bands)}'
        rows[row].append((label if row == 0 else 'texture', groups[number]))
    for row, view in zip(rows, augmented, strict=True):
        row.append(('augmented view', view))
    figure, axes = plt.subplots(2, len(rows[0]), figsize=(2 * len(rows[0]), 4.4))
    for line, row in zip(axes, rows, strict=True):
        for axis, (title, panel) in zip(line, row, strict=True):
            axis.imshow(quantile_normalization(panel).permute(1, 2, 0).numpy())
            axis.set_title(title, fontsize=8)
            axis.axis('off')
    figure.tight_layout()
    figure.savefig(OUTPUT, dpi=64)


if __name__ == '__main__':
    torch.manual_seed(0)
    main()
