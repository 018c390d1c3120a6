# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Training runs that do the same on one process as on two; also the script of each of the two.

``python -m tests.data.joined ARCHIVE FOLDER`` runs on one of two processes, whose environment is
that of torchrun, and writes what it holds at the end to FOLDER.
"""

import os
import sys
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from torchgeo_saco.callbacks import ChangeFigures, ContrastiveFigures, KNNProbe, RunReport
from torchgeo_saco.datamodules import PairedDataModule, SeasonalDataModule
from torchgeo_saco.models.momentum import KeyQueue, key_copy
from torchgeo_saco.runtime.distributed import all_gather, local_mask, shuffle_ranks, unshuffle_ranks
from torchgeo_saco.tasks import MMA, CACo, CACoSimCLR, DualSimCLR, DualTask, MoCo, SACo, SeCo

from .resumed import YEARS, digest, trained

BANDS = ('B02', 'B03', 'B04', 'B08')
GROUPS = {'natural_color': ['B04', 'B03', 'B02'], 'infrared': ['B08', 'B04', 'B03']}

TWO_SENSORS = {
    'input_bands': None, 'groups': GROUPS, 'second_input_bands': None, 'second_bands': ('VV', 'VH'),
    'temperature': 0.5,
}  # fmt: skip

#: Methods with their arguments, and the items they train on.
METHODS = {
    'MoCo': (MoCo, {'temporal': True}, {'item': 'location', 'dates': 2}),
    'SeCo': (SeCo, {}, {'item': 'location', 'dates': 3}),
    'SeCo on groups': (SeCo, {'groups': GROUPS}, {'item': 'location', 'dates': 3}),
    'CACo': (CACo, {}, YEARS),
    'TeCo': (CACo, {'change_aware': False}, YEARS),
    'CACoSimCLR': (CACoSimCLR, {'groups': GROUPS}, YEARS),
    'SACo': (SACo, {'groups': GROUPS, 'texture': ['infrared']}, {'item': 'location', 'dates': 2}),
    'DualSimCLR': (DualSimCLR, TWO_SENSORS, {'item': 'location', 'dates': 1}),
    'MMA': (MMA, TWO_SENSORS, {'item': 'location', 'dates': 1}),
}

#: Batch of one process where there are two.
BATCH = 2


class Still(nn.Module):
    """Views that depend on nothing but the image, and differ from one another."""

    def original(self, image):
        """The middle."""
        return image[..., 2:14, 2:14]

    def cropped(self, image):
        """A corner."""
        return image[..., :12, :12]

    def augmented(self, image):
        """Another corner, mirrored and brighter."""
        return image[..., 4:, 4:].flip(-1) * 1.2 + 0.01


class PlainNet(nn.Module):
    """A backbone without BatchNorm."""

    def __init__(self, width: int) -> None:
        """Initialize a new PlainNet instance."""
        super().__init__()
        self.num_features = width
        self.feature_info = [{'num_chs': width, 'reduction': 4}]
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.Tanh(), nn.Conv2d(8, width, 3, 2), nn.Tanh()
        )

    def forward(self, image):
        """Features, (B, D)."""
        return self.layers(image.double()).mean((-2, -1))

    def forward_intermediates(self, image, **options):
        """The only map of features, (B, D, h, w)."""
        return [self.layers(image.double())]


class Memory(Callback):
    """Keeps losses and locations of every step."""

    def __init__(self) -> None:
        """Start empty."""
        self.losses, self.locations, self.copied = [], [], []

    def on_train_start(self, trainer, pl_module):
        """Keep the names of what is copied from the first process to the others at every step."""
        self.copied = [*getattr(trainer.model, 'named_module_buffers', ())]

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Keep those of a step."""
        self.losses.append(outputs['loss'].item())
        self.locations.append((trainer.current_epoch, batch['location'].tolist()))


def still_task(name: str):
    """A task of a method without BatchNorm and randomness, in float64 to keep rounding small."""
    method, arguments, _ = METHODS[name]
    torch.manual_seed(1)
    years = 2 if method is CACo else 1
    task = method(
        model='test_resnet', bands=BANDS, size=12, queue_size=7 * years, hidden_dims=[16],
        output_dim=8, optimizer='sgd', lr=0.05, sgd_momentum=0.9, momentum=0.5, milestones=[0.5],
        **arguments,
    )  # fmt: skip
    task.model = PlainNet(int(task.model.num_features))
    task.views = Still()
    task.inputs.standardize = nn.Identity()
    if task.has_key_encoder:
        task.model_momentum = key_copy(task.model)
    if isinstance(task, DualTask):
        task.second_backbone = PlainNet(int(task.second_backbone.num_features))
        task.second_inputs.standardize = nn.Identity()
    return task.double()


def fit(task, root, folder, batch_size, items, epochs=3, callbacks=(), **options):
    """Train on as many processes as the environment says."""
    memory = Memory()
    processes = int(os.environ.get('WORLD_SIZE', '1'))
    trainer = Trainer(
        accelerator='cpu', devices=processes, strategy='ddp' if processes > 1 else 'auto',
        max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, callbacks=[memory, *callbacks],
        **options,
    )  # fmt: skip
    kind, second = SeasonalDataModule, {}
    if isinstance(task, DualTask):
        kind, second = PairedDataModule, {'second_root': radar_root(root)}
    data = kind(root=root, batch_size=batch_size, val_fraction=0.25, **items, **second)
    trainer.fit(task, data)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return {
        'losses': memory.losses,
        'places': memory.locations,
        'copied': memory.copied,
        'metrics': metrics,
        'state': {name: value.clone() for name, value in task.state_dict().items()},
    }


def radar_root(root) -> Path:
    """Folder of the Sentinel-1 images of the locations of an archive."""
    return Path(f'{root}_s1')


def methods(root, folder, batch_size):
    """What every method holds at the end."""
    return {
        name: fit(still_task(name), root, folder, batch_size, items)
        for name, (_, _, items) in METHODS.items()
    }


def exchanged():
    """What the functions of torchgeo_saco.runtime.distributed give to this process."""
    rank = int(os.environ['RANK'])
    rows = torch.arange(3) + 10 * rank
    mixed, locations = shuffle_ranks(rows)
    values = torch.full((3, 2), 1.0 + rank, requires_grad=True)
    # Each process weighs what it gathered by another number.
    ((10.0**rank) * all_gather(values)).sum().backward()
    queue = KeyQueue(5, 2)
    queue.enqueue(torch.eye(2) + rank, torch.tensor([2 * rank, 2 * rank + 1]))
    return {
        'all_gather': all_gather(rows),
        'all_gather columns': all_gather(rows[None], 1),
        'own': local_mask(3),
        'mixed': mixed,
        'unmixed': unshuffle_ranks(mixed, locations),
        'gradient': values.grad,
        'queue': queue.state_dict(),
    }


def mixed_keys(root, folder):
    """Keys of a batch by an encoder without BatchNorm, their images mixed over processes or not."""
    task = still_task('SeCo')
    view = torch.rand(
        4, 4, 12, 12, generator=torch.Generator().manual_seed(int(os.environ['RANK']))
    )
    keys = [task.key(view)]
    task.hparams['shuffle_bn'] = True
    seen = []
    task.model_momentum.register_forward_pre_hook(lambda net, images: seen.append(images[0]))
    return [*keys, task.key(view), task.inputs(view)[:, 0], seen[0]]


def watched(root, folder):
    """What callbacks hold and leave of a run with BatchNorm and random views."""
    views = []
    task = CACo(model='test_resnet', size=16, queue_size=8, hidden_dims=[16], output_dim=8)
    query = task.query
    task.query = lambda view: (views.append(view.double().sum().item()), query(view))[1]
    probe = KNNProbe(k=2)
    callbacks = [probe, ChangeFigures(1), ContrastiveFigures(1), RunReport()]
    run = fit(task, root, folder / 'watched', BATCH, YEARS, 2, callbacks, sync_batchnorm=False)
    return {'rows': probe.rows, 'views': views, 'weights': dict(task.named_parameters())} | run


def resumed(root, folder):
    """Digests of an unbroken run, and of runs resumed within an epoch and at its edge."""
    options = {'val_fraction': 0.25, 'trainer': {'strategy': 'ddp', 'devices': 2}}
    digests = [digest(trained(root, folder / 'whole', **options))]
    for step in (1, 2, 5):
        last = str(folder / 'whole' / f'step={step}.ckpt')
        digests.append(digest(trained(root, folder / f'from{step}', last, **options)))
    return digests


class Failure(Callback):
    """Fails on the second process."""

    def on_train_batch_start(self, trainer, *args):
        """Fail."""
        if trainer.global_rank == 1:
            raise ValueError('B04.tif of the second process is broken')


def main(root: str, folder: str) -> None:
    """Run all, write the results, and end in failure."""
    torch.set_num_threads(1)
    rank, results = os.environ['RANK'], {}
    path = Path(folder)
    for part in (methods, exchanged, mixed_keys, watched, resumed):
        arguments = {methods: (root, path, BATCH), exchanged: ()}.get(part, (root, path))
        results[part.__name__] = part(*arguments)
        torch.save(results, path / f'results{rank}')
    fit(still_task('MoCo'), root, path, BATCH, METHODS['MoCo'][2], callbacks=[Failure()])


if __name__ == '__main__':
    main(*sys.argv[1:])
