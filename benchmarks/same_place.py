# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Distances of embeddings: two dates of one location against two locations.

``python benchmarks/same_place.py --root my/images --weights last.ckpt --figure distances.png``
prints, for a random encoder and the trained one, the median cosine distance of each kind and how
often a pair of one location is closer than a pair of two (AUC), and draws the distances. Locations
that the checkpoint was trained on are counted apart from the others: the split is that of
the datamodule.
"""

import argparse
from itertools import combinations

import matplotlib as mpl
import torch
from rich.console import Console
from rich.table import Table
from torchmetrics.functional.classification import binary_auroc

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.losses import l2_normalize
from torchgeo_saco.models import Encoder, fit_input_statistics, load_encoder

mpl.use('Agg')
from matplotlib import pyplot as plt


@torch.no_grad()
def embeddings(encoder: Encoder, images: list[torch.Tensor]) -> torch.Tensor:
    """Embeddings of length one, (N, D)."""
    encoder.eval()
    return torch.cat([l2_normalize(encoder(batch)) for batch in torch.stack(images).split(32)])


def distances(features: torch.Tensor, places: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosine distance of every pair, and whether both are of one location."""
    cosine = 1 - features @ features.T
    pairs = list(combinations(range(len(places)), 2))
    same = torch.tensor([places[i] == places[j] for i, j in pairs])
    return torch.stack([cosine[i, j] for i, j in pairs]), same


def main() -> None:
    """Encode, measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', required=True, help='folder of <location>/<date>/<band>.tif')
    parser.add_argument('--weights', required=True, help='checkpoint of a contrastive task')
    parser.add_argument('--figure', default='same_place.png', help='figure to write')
    parser.add_argument('--val-fraction', type=float, default=0.2, help='as in the training')
    arguments = parser.parse_args()

    data = SeasonalDataModule(
        root=arguments.root, val_fraction=arguments.val_fraction, batch_size=2
    )
    data.setup('validate')
    data.setup('predict')
    held_out = {location.name for location in data.val_dataset.locations}
    whole = data.predict_dataset
    samples = [whole[i] for i in range(len(whole))]
    images = [data.reflectance(sample['image'][0]) for sample in samples]
    places = [int(sample['location']) for sample in samples]
    names = [location.name for location in whole.locations]

    trained = load_encoder(data.bands, data.sensor, weights=arguments.weights)
    torch.manual_seed(0)
    plan = trained.config
    random = load_encoder(data.bands, data.sensor, plan.model, None, plan.groups, plan.texture)
    fit_input_statistics(random.encoder, lambda: torch.stack(images).split(32), backbone=True)

    table = Table(
        'encoder', 'places', 'same location', 'two locations', 'AUC', title='median distance'
    )
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), sharex=True, layout='constrained')
    for row, (name, encoder) in enumerate(
        (('random', random.encoder), ('trained', trained.encoder))
    ):
        features = embeddings(encoder, images)
        for column, part in enumerate(('trained on', 'held out')):
            chosen = [i for i, p in enumerate(places) if (names[p] in held_out) == (column == 1)]
            values, same = distances(features[chosen], [places[i] for i in chosen])
            auc = binary_auroc(1 - values / 2, same.long()).item()
            medians = [values[same].median().item(), values[~same].median().item()]
            table.add_row(name, part, *(f'{median:.3f}' for median in medians), f'{auc:.3f}')
            axis = axes[row, column]
            for kind, label in ((same, 'two dates of one location'), (~same, 'two locations')):
                axis.hist(values[kind].numpy(), 40, density=True, alpha=0.6, label=label)
            axis.set_title(f'{name} encoder, locations {part}: AUC {auc:.2f}')
            axis.set_xlabel('cosine distance')
            axis.set_ylabel('density of pairs')
    axes[0, 0].legend(frameon=False)
    figure.savefig(arguments.figure, dpi=110)
    Console().print(table)


if __name__ == '__main__':
    main()
