# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: arguments that are not finite, out of range, or contradict."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from torchgeo_saco.archives.opening import read_options
from torchgeo_saco.archives.rasters.reader import CellOptions
from torchgeo_saco.callbacks import ChangeFigures, ContrastiveFigures, KNNProbe
from torchgeo_saco.datamodules import EuroSATBandsDataModule, SeasonalDataModule
from torchgeo_saco.locations.fetching.catalogue import Patience
from torchgeo_saco.locations.sampling.windows import DateWindows
from torchgeo_saco.losses import InfoNCE, info_nce
from torchgeo_saco.models import Projectors
from torchgeo_saco.models.change import ChangeEstimate
from torchgeo_saco.models.momentum import KeyQueue
from torchgeo_saco.synthesis import generate_sample_archive
from torchgeo_saco.tasks import (
    CACo,
    ContrastiveTask,
    FusionClassification,
    GroupClassification,
    GroupSegmentation,
    MoCo,
    SACo,
)
from torchgeo_saco.transforms import (
    Backscatter,
    ContrastiveViews,
    LocalBinaryPattern,
    Reflectance,
    local_binary_pattern,
)

from .fault import Fault

NAN, INF = math.nan, math.inf


def _read_options(max_nodata: float = 0.0, size: int | None = None) -> None:
    read_options(False, size, 'nearest', max_nodata)


#: Wrong values of each argument of a class or function.
_WRONG: dict[Callable[..., Any], dict[str, tuple[Any, ...]]] = {
    ContrastiveViews: {
        'size': (0, -8, 2.5, NAN, None, True),
        'rotation': (NAN, INF, -1.0, 361.0, None),
        'zoom': (NAN, INF, 0.5, -2.0, 0.0),
        'contrast': (1.0, -0.1, NAN),
        'shift': (-0.1, INF, NAN),
        'crop': (0.0, 1.1, -1.0, NAN),
        'p': (-0.1, 1.5, NAN),
        'horizontal_flip': (2.0, NAN),
        'vertical_flip': (-1.0, INF),
        'jitter': (1.5, NAN),
        'grayscale': (-0.5, NAN),
        'blur': (2.0, NAN),
    },
    Reflectance: {'unit': (0.0, -1.0, 1e-30, 1e30, NAN, INF), 'offset': (NAN, INF, -INF, 1e30)},
    Backscatter: {'unit': (0.0, -100.0, 1e-30, NAN, INF)},
    LocalBinaryPattern: {'points': (0, -1, 255, 2.5, NAN), 'radius': (0.0, -1.0, NAN, INF)},
    InfoNCE: {'temperature': (0.0, -0.07, NAN, INF, 1e-30)},
    KNNProbe: {
        'k': (0, -1, 2.5, NAN),
        'temperature': (0.0, -1.0, NAN, INF),
        'every_n_epochs': (0, -1),
        'dates_per_location': (0, -2),
    },
    ContrastiveFigures: {'samples': (0, -1, NAN)},
    ChangeFigures: {'pairs': (0, -1), 'every_n_epochs': (0, NAN)},
    ChangeEstimate: {'decay': (-0.1, 1.0, NAN, INF), 'locations': (-1, 1.5), 'years': (0, -2)},
    SeasonalDataModule: {
        'batch_size': (0, 1, -4, 2.5, None),
        'num_workers': (-1, 1.5, NAN),
        'val_fraction': (-0.1, 1.0, 2.0, NAN),
        'unit': (0.0, 1e-30, NAN),
        'offset': (1e30, INF),
    },
    EuroSATBandsDataModule: {'batch_size': (0, -1, 1.5), 'num_workers': (-1, NAN)},
    _read_options: {'max_nodata': (-0.1, 1.1, NAN), 'size': (0, -5, 2.5)},
    CellOptions: {'max_masked': (1.0, -0.1, NAN), 'res': (0.0, -10.0, NAN, INF)},
    DateWindows: {
        'seasons': (0, -1, 1.5),
        'step_weeks': (0, -1),
        'years': (0, NAN),
        'gap_years': (0,),
        'half_width_days': (-1, 0.5),
        'shift_days': (-1, INF),
    },
}

_TASK = {'model': 'test_resnet', 'size': 16, 'queue_size': 8}

#: Wrong hyperparameters of the tasks.
_HYPERPARAMETERS: dict[type, dict[str, tuple[Any, ...]]] = {
    MoCo: {
        'temperature': (0.0, -0.07, NAN, INF, 1e-30),
        'momentum': (-0.1, 1.1, NAN, INF),
        'queue_size': (0, -8, 2.5),
        'alignment_weight': (-1.0, NAN, INF),
        'sgd_momentum': (2.0, 1.0, -0.1, NAN),
        'lr': (-0.1, NAN, INF, 1e6),
        'weight_decay': (-1e-4, NAN, INF),
        'milestones': ([1.5], [0.5, NAN], [0.0]),
        'warmup_steps': (-1, 2.5),
        'group_dropout': (1.0, -0.1, NAN),
        'texture_points': (0, 255, 2.5),
        'texture_radius': (0.0, -2.0, NAN, INF),
        'output_dim': (0, -1, 2.5),
        'hidden_dims': ([0], [16, -1], [2.5]),
        'size': (0, -1, NAN),
        'rotation': (NAN, -5.0),
        'zoom': (0.0, INF),
        'crop': (0.0, 2.0),
    },
    CACo: {'ratio_decay': (-0.1, 1.0, NAN), 'temperature': (-1.0,)},
    SACo: {'alignment_weight': (-1.0,), 'rotation': (NAN,), 'queue_size': (-1,)},
    GroupClassification: {
        'lr': (-1.0, NAN, INF),
        'weight_decay': (-1.0, NAN),
        'num_classes': (0, -1, 2.5),
        'cache_gib': (-1.0, NAN),
        'class_weights': ([1.0, -1.0], [NAN]),
        'texture_points': (0, 255),
        'texture_radius': (0.0, NAN),
    },
    GroupSegmentation: {'decoder_widths': ([0], [16, -1]), 'void_classes': ([-1], [1.5])},
    FusionClassification: {'modality_dropout': (1.0, -0.5, NAN)},
}


def _call(function: Callable[..., Any], name: str, value: Any, folder: Path) -> None:
    """Call with one wrong argument."""
    function(**{name: value})


def _make(task: type, name: str, value: Any, folder: Path) -> None:
    """Make a task with one wrong argument."""
    given = _TASK if issubclass(task, ContrastiveTask) else {}
    task(**given | {name: value})


def _faults() -> list[Fault]:
    """A row for every wrong value."""
    rows = []
    for table, use in ((_WRONG, _call), (_HYPERPARAMETERS, _make)):
        for owner, arguments in table.items():
            for name, values in arguments.items():
                for value in values:
                    rows.append(
                        Fault(
                            f'T18 {owner.__name__} {name}={value!r}',
                            partial(use, owner, name, value),
                            names=(name,),
                            remedy='must be',
                        )
                    )
    return rows


def _texture_beyond_float64(folder: Path) -> None:
    local_binary_pattern(torch.full((1, 9, 9), 2**53 + 1), points=8, radius=1.0)


def _texture_of_large_integers(folder: Path) -> None:
    image = torch.randint(0, 2**20, (1, 9, 9))
    codes = local_binary_pattern(image, points=8, radius=1.0)
    assert torch.equal(codes, local_binary_pattern(image.double(), points=8, radius=1.0))


def _enqueue(keys: torch.Tensor, folder: Path) -> None:
    KeyQueue(4, 2).enqueue(keys, torch.zeros(len(keys), dtype=torch.long))


def _momentum_of_one(folder: Path) -> None:
    task = MoCo(**_TASK, momentum=1.0, lr=0.0)
    assert task.hparams['momentum'] == 1


FAULTS: list[Fault] = [
    *_faults(),
    *[
        Fault(
            f'V9 LBP radius {radius} on {height} x {width} px',
            lambda _, h=height, w=width, r=radius: local_binary_pattern(
                torch.rand(1, h, w), radius=r
            ),
            names=(f'{height} x {width} px', f'{radius}'),
            remedy='lower radius',
        )
        for radius, height, width in ((40.0, 16, 16), (2.0, 4, 9), (2.0, 9, 4), (1.0, 1, 1))
    ],
    Fault(
        'R2 LBP of int64 beyond 2**53',
        _texture_beyond_float64,
        names=('2**53',),
        remedy='subtract their least value',
    ),
    Fault('R2 LBP of int64 within 2**53', _texture_of_large_integers, error=None),
    *[
        Fault(
            f'T18 precision {precision}',
            lambda root, precision=precision: Trainer(
                precision=precision,
                max_epochs=1,
                accelerator='cpu',
                logger=False,
                default_root_dir=root,
            ).fit(MoCo(bands=['B02', 'B03', 'B04'], model='test_resnet')),
            names=(precision,),
            remedy='bf16-mixed',
        )
        for precision in ('16-true', 'bf16-true', '64-true')
    ],
    *[
        Fault(
            f'V8 reflectance of {str(dtype).removeprefix("torch.")}',
            lambda _, dtype=dtype: Reflectance()(torch.zeros(1, 2, 2, dtype=dtype)),
            names=(str(dtype).removeprefix('torch.'),),
            remedy='convert',
        )
        for dtype in (torch.complex128,)
    ],
    *[
        Fault(
            f'R2 KeyQueue{size, dim}',
            lambda _, size=size, dim=dim: KeyQueue(size, dim),
            names=('must be',),
            remedy='at least 1' if isinstance(min(size, dim), int) else 'whole',
        )
        for size, dim in ((4, 0), (0, 4), (4, -1), (-1, 2))
    ],
    *[
        Fault(
            f'R2 keys of {value} enqueued',
            partial(_enqueue, torch.tensor([[1.0, value], [0.0, 1.0]])),
            names=('keys', 'NaN or infin'),
            remedy='lower lr',
        )
        for value in (NAN, INF)
    ],
    *[
        Fault(
            f'T18 info_nce temperature={value}',
            lambda _, value=value: info_nce(torch.eye(2), torch.eye(2), torch.eye(2), value),
            names=('temperature',),
            remedy='must be',
        )
        for value in (0.0, -1.0, NAN, INF)
    ],
    *[
        Fault(
            f'T18 Projectors hidden_dims={hidden} output_dim={dim}',
            lambda _, hidden=hidden, dim=dim: Projectors(8, hidden, dim),
            names=('output_dim',),
            remedy='must be',
        )
        for hidden, dim in (([0], 4), ([4], 0), ([-1, 4], 4), ([4], 2.5))
    ],
    *[
        Fault(
            f'T18 Patience{tries, pause}',
            lambda _, tries=tries, pause=pause: Patience(tries, pause),
            names=('tries' if tries != 2 else 'pause',),
            remedy='must be',
        )
        for tries, pause in ((0, 1.0), (-1, 1.0), (1.5, 1.0), (2, -1.0), (2, NAN), (2, INF))
    ],
    *[
        Fault(
            f'T18 sample archive {name}={value}',
            lambda root, name=name, value=value: generate_sample_archive(
                root / 'sample', **{name: value}
            ),
            names=(name,),
            remedy='must be',
        )
        for name, value in (
            ('locations', 0), ('locations', -1), ('size', 25), ('size', 0), ('seed', -1),
            ('workers', 0), ('dates_per_year', 0), ('dates_per_year', 13), ('years', (2020, 2019)),
        )
    ],
    Fault('T18 momentum 1 and lr 0', _momentum_of_one, error=None),
]  # fmt: skip
