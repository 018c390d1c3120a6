# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Nearest-neighbour accuracy against the time spent on training, beside TorchGeo and the original.

``python benchmarks/time_to_accuracy.py`` trains each contender for the same time on the sample
archive (synthetic), from random weights and with one backbone, and asks for the accuracy of 5
nearest neighbours on the locations held out now and then; that time does not count. SACo+ has the
hyperparameters of configs/pretrain/small.yaml for the steps that the time allows: in float32, with
half of the groups in every step, with textures as histograms, and, where the machine has them, in
bfloat16 and compiled; and with ViT-S/16 and Swin-T as configs/pretrain/vit.yaml trains them. So has
SA+MoCo v2 with all textures as histograms. The original step (benchmarks/step.py) has those of its
paper, TorchGeo's MoCo those computed for 400 steps.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from reporting import RESULTS, Target, parser, report
from step import BANDS, COARSER, SIZE, Original
from torch import Tensor
from torchgeo.tasks import MoCo as TorchGeoMoCo
from torchvision.transforms.v2.functional import resize

from torchgeo_saco.bands import band_index
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.metrics.probes import knn_scores
from torchgeo_saco.runtime.checks import check_choice
from torchgeo_saco.runtime.precision import emulates_bfloat16
from torchgeo_saco.tasks import ContrastiveTask, MoCo, SACo

mpl.use('Agg')
from matplotlib import pyplot as plt

GROUPS = {'groups': ['natural_color', 'near_infrared', 'urban'], 'texture': ['near_infrared']}
COMPUTED = dict.fromkeys(['temperature', 'momentum', 'queue_size', 'lr', 'warmup_steps'])
# Views and optimizer of configs/pretrain/small.yaml, which are the defaults of SACo.
SMALL = {
    'crop': 1.0, 'rotation': 180.0, 'zoom': 2.0, 'contrast': 0.1, 'shift': 0.01, 'jitter': 0.5,
    'grayscale': 0.0, 'blur': 0.0, 'optimizer': 'adam', 'weight_decay': 1e-5,
}  # fmt: skip
RGB = ('B04', 'B03', 'B02')
TRANSFORMERS = {'ViT-S/16': 'vit_small_patch16_224', 'Swin-T': 'swin_tiny_patch4_window7_224'}
BATCH = 32

# Least gain over an untrained net that counts as learned.
_LEAST_GAIN = 0.05

#: What maps reflectance (B, C, H, W) to features (B, D).
Embedding = Callable[[Tensor], Tensor]


class Clock(Callback):
    """Measures the time of training, without that of asking for the accuracy now and then."""

    def __init__(self, budget: float, points: int, accuracy: Callable[[Embedding], float]) -> None:
        """Start at nothing.

        Args:
            budget: Seconds of training.
            points: How often to ask.
            accuracy: Of an embedding.
        """
        self.budget, self.points, self.accuracy = budget, points, accuracy
        #: Seconds of training, and the accuracy then.
        self.curve: list[tuple[float, float]] = []
        #: Steps made.
        self.steps = 0
        self._spent, self._start = 0.0, 0.0
        self._asked = 0

    def begin(self, embed: Embedding) -> None:
        """Ask before the first step, and start the clock."""
        self.curve.append((0.0, self.accuracy(embed)))
        self._start = time.perf_counter()

    def tick(self, embed: Embedding) -> bool:
        """Ask if it is time to.

        Returns:
            Whether training is over.
        """
        self.steps += 1
        spent = self._spent + time.perf_counter() - self._start
        if spent >= self.budget * len(self.curve) / self.points:
            self.ask(embed)
        return spent >= self.budget

    def ask(self, embed: Embedding) -> None:
        """Add a point, and go on with the clock afterwards."""
        spent = self._spent + time.perf_counter() - self._start
        self.curve.append((spent, self.accuracy(embed)))
        self._spent, self._start, self._asked = spent, time.perf_counter(), self.steps

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """See :meth:`begin`."""
        self.begin(embedding(pl_module))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        """See :meth:`tick`."""
        trainer.should_stop = self.tick(embedding(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """See :meth:`ask`; steps may have been faster than in the trial."""
        if self._asked < self.steps:
            self.ask(embedding(pl_module))


def embedding(task: Any) -> Embedding:
    """Embedding of a task, whatever it gives beside it."""

    def embed(image: Tensor) -> Tensor:
        if isinstance(task, TorchGeoMoCo):
            rgb = image[:, band_index(BANDS, RGB)]
            return task(resize(rgb, [SIZE, SIZE], antialias=True))[-1]
        features: Tensor = task(image)
        return features

    return embed


class Images:
    """Labelled images of the sample archive, in memory."""

    def __init__(self, root: str, most: int) -> None:
        """Read them.

        Args:
            root: Folder of the archive.
            most: Batches of each part.
        """
        data = datamodule(root)
        data.setup('fit')
        self.parts = []
        for split in ('train', 'test'):
            batches = [
                (data.on_after_batch_transfer(batch, 0)['image'][:, 0], batch['label'])
                for batch in islice(data.ordered_dataloader(split), most)
            ]
            self.parts.append(tuple(torch.cat(part) for part in zip(*batches, strict=True)))

    @torch.no_grad()
    def accuracy(self, embed: Embedding) -> float:
        """Accuracy of 5 nearest neighbours; BatchNorm has the statistics of large batches.

        So have all contenders, since running means of a few steps would hide what was learned.
        """
        features = [torch.cat([embed(part) for part in x.split(300)]) for x, _ in self.parts]
        (_, known), (_, truth) = self.parts
        return float(knn_scores(features[0], known, features[1], truth)['OverallAccuracy'])


def datamodule(root: str, bands: Sequence[str] = BANDS, **arguments: Any) -> SeasonalDataModule:
    """The sample archive."""
    data = SeasonalDataModule(
        archive='sample', root=root, download=not Path(root).exists(), cache=True,
        bands=list(bands), val_fraction=0.3, batch_size=BATCH, **arguments,
    )  # fmt: skip
    data.prepare_data()
    return data


def train(
    task: Any, data: SeasonalDataModule, precision: str, steps: int, callbacks: list[Callback]
) -> None:
    """Train a task of Lightning for some steps, or until a callback stops it."""
    Trainer(
        max_steps=steps, precision=precision, callbacks=callbacks, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        limit_val_batches=0, num_sanity_val_steps=0,
    ).fit(task, data)  # fmt: skip


def lightning_curve(
    make: Callable[[], Any],
    arguments: argparse.Namespace,
    images: Images,
    precision: str,
    **data: Any,
) -> Clock:
    """Curve of a task of Lightning, for as many steps as the time allows."""
    trial = Clock(1e9, 1, lambda embed: 0.0)
    times: list[float] = []

    class Trial(Callback):
        """Times single steps."""

        def on_train_batch_end(self, *args: Any) -> None:
            """Keep the time."""
            times.append(time.perf_counter())

    train(make(), datamodule(arguments.root, **data), precision, 6, [trial, Trial()])
    step = median(after - before for before, after in pairwise(times))
    seed_everything(arguments.seed, verbose=False)
    clock = Clock(arguments.seconds, arguments.points, images.accuracy)
    steps = max(2, round(arguments.seconds / step))
    train(make(), datamodule(arguments.root, **data), precision, steps, [clock])
    return clock


def original_curve(arguments: argparse.Namespace, images: Images) -> Clock:
    """Curve of the original step, with bands at their own sizes."""
    names = GROUPS['groups']
    task = SACo(model=arguments.model, bands=BANDS, **GROUPS)
    groups = [
        band_index(BANDS, group.bands)
        for group in task.inputs.spectral.groups
        if group.name in names
    ]
    original = Original(groups, torch.device('cpu'), arguments.model)

    def embed(image: Tensor) -> Tensor:
        view = resize(image, [SIZE, SIZE], antialias=True)
        backbone = original.query[0]
        features = [backbone(group) for group in original.group_images(view)]
        return torch.stack(features).mean(0)

    clock = Clock(arguments.seconds, arguments.points, images.accuracy)
    data = datamodule(arguments.root, dates=2)
    data.setup('fit')
    clock.begin(embed)
    while True:
        for batch in data.train_dataloader():
            stored = [
                [
                    [
                        date[number, :: COARSER.get(band, 1), :: COARSER.get(band, 1)].copy()
                        for number, band in enumerate(BANDS)
                    ]
                    for date in location
                ]
                for location in batch['image'].numpy()
            ]
            original.step(stored)
            if clock.tick(embed):
                return clock


def contenders(arguments: argparse.Namespace, images: Images) -> dict[str, Callable[[], Clock]]:
    """Curves to measure, by name."""
    shared = {'model': arguments.model, 'size': SIZE, 'projector_norm': True, 'cosine': True}

    def ours(
        precision: str = '32-true', method: type[ContrastiveTask] = SACo, **more: Any
    ) -> Callable[[], Clock]:
        def make() -> ContrastiveTask:
            return method(bands=list(BANDS), **(shared | GROUPS | COMPUTED | more))

        return lambda: lightning_curve(make, arguments, images, precision, dates=2)

    def peer() -> Any:
        return TorchGeoMoCo(
            model=arguments.model, version=2, layers=2, hidden_dim=512, output_dim=128, size=SIZE,
            temperature=0.2, moco_momentum=0.95, memory_bank_size=640, lr=0.03, weight_decay=1e-4,
            in_channels=3,
        )  # fmt: skip

    made = {
        'original step': lambda: original_curve(arguments, images),
        'TorchGeo MoCo v2': lambda: lightning_curve(
            peer, arguments, images, '32-true', dates=1, time_axis=False, bands=RGB
        ),
        'SACo+': ours(),
        'SACo+, half of the groups': ours(
            group_dropout=0.5, contrast_groups=True, alignment_weight=0.0
        ),
        'SACo+, histograms': ours(texture_histograms=True),
        'SA+MoCo v2, histograms': ours(
            method=MoCo, temporal=True, texture=True, texture_histograms=True, **SMALL
        ),
        'SACo+, compiled': ours(compile=True),
    }
    for name, model in TRANSFORMERS.items():
        made[f'SACo+, histograms, {name}'] = ours(
            model=model, texture_histograms=True, optimizer='adamw', weight_decay=0.1
        )
    if not emulates_bfloat16(torch.device('cpu')):
        made['SACo+, bf16'] = ours('bf16-mixed')
    return made


def seconds_to(curve: list[tuple[float, float]], accuracy: float) -> float:
    """Training time until an accuracy is reached, between points linearly; infinity if never."""
    before = (0.0, 0.0)
    for spent, reached in curve:
        if reached >= accuracy:
            share = (accuracy - before[1]) / max(reached - before[1], 1e-9)
            return before[0] + (spent - before[0]) * min(max(share, 0.0), 1.0)
        before = (spent, reached)
    return float('inf')


def draw(curves: Mapping[str, Sequence[Sequence[float]]], title: str) -> None:
    """Draw accuracy against time, beside the results."""
    figure, axis = plt.subplots(figsize=(8, 4.5), layout='constrained')
    for name, curve in curves.items():
        axis.plot(*zip(*curve, strict=True), marker='o', ms=3, label=name)
    axis.set_xlabel('seconds of training')
    axis.set_ylabel('accuracy of 5 nearest neighbours, held-out locations')
    axis.set_title(title)
    figure.legend(loc='outside right upper', frameon=False)
    figure.savefig(RESULTS / 'time_to_accuracy.cpu.png', dpi=110)


def main() -> None:
    """Train, draw, and write."""
    arguments = parser(__doc__)
    arguments.add_argument('--root', default='data/sample', help='sample archive')
    arguments.add_argument('--seconds', type=float, default=300, help='training time of each')
    arguments.add_argument('--points', type=int, default=10, help='accuracies along it')
    arguments.add_argument('--model', default='resnet18', help='backbone of all')
    arguments.add_argument('--seed', type=int, default=0)
    arguments.add_argument('--only', nargs='+', help='names of contenders; all by default')
    chosen = arguments.parse_args()
    if chosen.quick:
        chosen.seconds, chosen.points, chosen.model = 2.0, 2, 'test_resnet'
    seed_everything(chosen.seed, verbose=False)
    images = Images(chosen.root, 2 if chosen.quick else 100)
    makers = contenders(chosen, images)
    for name in chosen.only or ():
        check_choice('only', name, tuple(makers))
    curves, skipped = {}, {}
    for name in chosen.only or makers:
        seed_everything(chosen.seed, verbose=False)
        try:
            curves[name] = makers[name]()
        except (ValueError, RuntimeError) as error:
            # A machine without bfloat16 or a compiler.
            skipped[name] = str(error)
            print(f'skipped: {name}, since {error}')
    # What the original step gains over its untrained net: a better untrained net is no training.
    first = next(iter(curves.values())).curve
    gain = max(_LEAST_GAIN, max(reached for _, reached in first) - first[0][1])
    needed = {
        name: seconds_to(clock.curve, clock.curve[0][1] + gain) for name, clock in curves.items()
    }
    rows = [
        {
            'contender': name,
            'steps': clock.steps,
            's a step': clock.curve[-1][0] / clock.steps,
            'untrained': clock.curve[0][1],
            'at the end': clock.curve[-1][1],
            f's to {gain:.3f} more': needed[name],
        }
        for name, clock in curves.items()
    ]
    ours = [name for name in curves if name.startswith('SA')]
    targets = []
    if 'original step' in curves and ours:
        # At least all of its time, if it never reaches it.
        theirs = min(needed['original step'], chosen.seconds)
        for name in ours:
            ratio = theirs / max(needed[name], 1e-9)
            what = f'{name}: time to {gain:.3f} more than untrained'
            targets.append(Target(what, 'the original step', ratio, 5.0))
    report(
        'time_to_accuracy',
        chosen,
        rows,
        targets,
        curves={name: clock.curve for name, clock in curves.items()},
        skipped=skipped,
        seconds=chosen.seconds,
        seed=chosen.seed,
        model=chosen.model,
    )
    if not chosen.quick:
        draw(
            {name: clock.curve for name, clock in curves.items()},
            f'sample archive (synthetic), {chosen.model}, seed {chosen.seed}',
        )


if __name__ == '__main__':
    main()
