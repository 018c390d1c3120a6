# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layouts of the checkpoints that SACo+, SeCo, CACo, Dual-SimCLR and MMA have published."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from ...io.checkpoint import CheckpointError, part

#: Names of timm by the number of a child of torchvision's ResNet in a sequence.
_CHILDREN = {'0': 'conv1', '1': 'bn1', '4': 'layer1', '5': 'layer2', '6': 'layer3', '7': 'layer4'}


class Part(NamedTuple):
    """Tensors below one prefix."""

    #: Beginning of their names.
    prefix: str

    #: What they are.
    what: str

    #: Role: a trunk by numbers or by names, a head that runs, or None for what is left out.
    role: str | None = None

    #: Sensor of a trunk.
    sensor: str = ''


class PublishedLayout(NamedTuple):
    """Names in one kind of file."""

    #: Short name.
    name: str

    #: What the file is.
    title: str

    #: Names that only this kind has, all of them.
    marks: tuple[str, ...]

    #: Parts that it may have. The first that a name begins with counts.
    parts: tuple[Part, ...]


_S1, _S2 = 'sentinel1', 'sentinel2_l1c'

# What MMA calls the tensors of its two nets.
_PAIR = ('s1_model_weights', 's2_model_weights')

# A mark that another kind has too stands below it.
LAYOUTS = (
    PublishedLayout(
        'saco_classification',
        'SACo+, classification of EuroSAT',
        ('resnet.model.model.0.weight', 'resnet.model.fc.weight'),
        (
            Part('resnet.model.model.', 'backbone', 'numbers', 'sentinel2_l2a'),
            Part('resnet.model.fc.', 'classifier', 'classifier.'),
        ),
    ),
    PublishedLayout(
        'saco_encoder',
        'SACo+, pre-trained encoder',
        ('model.model.0.weight',),
        (
            Part('model.model.', 'backbone', 'numbers', 'sentinel2_l2a'),
            Part('model.fc.', 'projector'),
        ),
    ),
    PublishedLayout(
        'saco_change',
        'SACo+, change detection of OSCD',
        ('encoder.0.weight', 'decoder.0.double_conv.0.weight'),
        (
            Part('encoder.', 'backbone', 'numbers', 'sentinel2_l2a'),
            Part('decoder.', 'decoder', 'decoder.'),
        ),
    ),
    PublishedLayout(
        'saco_segmentation',
        'SACo+, segmentation of PASTIS',
        ('encoder.0.weight', 'decoder.0.conv_1.0.weight'),
        (
            Part('encoder.', 'backbone', 'numbers', 'sentinel2_l2a'),
            Part('decoder.', 'decoder', 'decoder.'),
        ),
    ),
    PublishedLayout(
        'seco_training',
        'SeCo or CACo, pre-training',
        ('encoder_q.0.weight',),
        (
            Part('encoder_q.', 'backbone', 'numbers', 'sentinel2_l2a'),
            Part('encoder_k.', 'key encoder'),
            Part('heads_q.', 'projectors'),
            Part('heads_k.', 'projectors of the key encoder'),
            Part('queue_ptr', 'position in the queue'),
            Part('queue', 'queue of keys'),
        ),
    ),
    PublishedLayout(
        'seco_encoder',
        'CACo or SeCo, encoder',
        ('0.weight', '4.0.conv1.weight'),
        (Part('', 'backbone', 'numbers', 'sentinel2_l2a'),),
    ),
    PublishedLayout(
        'dual_classification',
        'Dual-SimCLR, classification of DFC2020',
        ('backbone1.conv1.weight', 'backbone2.conv1.weight', 'fc.weight'),
        (
            Part('backbone1.fc.', 'projector of Sentinel-1'),
            Part('backbone2.fc.', 'projector of Sentinel-2'),
            Part('backbone1.', 'backbone of Sentinel-1', 'names', _S1),
            Part('backbone2.', 'backbone of Sentinel-2', 'names', _S2),
            Part('fc.', 'classifier', 'classifier.'),
        ),
    ),
    PublishedLayout(
        'dual_simclr',
        'Dual-SimCLR, pre-training',
        ('backbone1.conv1.weight', 'backbone2.conv1.weight'),
        (
            Part('backbone1.fc.', 'projector of Sentinel-1'),
            Part('backbone2.fc.', 'projector of Sentinel-2'),
            Part('backbone1.', 'backbone of Sentinel-1', 'names', _S1),
            Part('backbone2.', 'backbone of Sentinel-2', 'names', _S2),
        ),
    ),
    PublishedLayout(
        'dual_swin',
        'Dual-SimCLR, Swin',
        ('backbone1.patch_embed.proj.weight', 'backbone2.patch_embed.proj.weight'),
        (
            Part('backbone1.fc.', 'projector of Sentinel-1'),
            Part('backbone2.fc.', 'projector of Sentinel-2'),
            Part('backbone1.head.', 'projector of Sentinel-1'),
            Part('backbone2.head.', 'projector of Sentinel-2'),
            Part('backbone1.', 'backbone of Sentinel-1', 'swin', _S1),
            Part('backbone2.', 'backbone of Sentinel-2', 'swin', _S2),
            Part('fc.', 'classifier'),
        ),
    ),
    PublishedLayout(
        'mma',
        'MMA, pre-training',
        tuple(f'{name}.convs1.layers.0.weight' for name in _PAIR),
        (
            Part(f'{_PAIR[0]}.', 'VGG of Sentinel-1', 'vgg', _S1),
            Part(f'{_PAIR[1]}.', 'VGG of Sentinel-2', 'vgg', _S2),
        ),
    ),
)


@dataclass(frozen=True)
class PublishedPart:
    """One part of a file."""

    #: What it is.
    what: str

    #: Its tensors: of a ResNet or Swin under timm's names, else under those of the file.
    state: dict[str, Tensor]

    #: As of :class:`Part`.
    role: str | None = None

    #: Sensor of a trunk.
    sensor: str = ''


@dataclass(frozen=True)
class Tensors:
    """All tensors of a published file, in the parts that they are."""

    #: PublishedLayout of the file.
    layout: PublishedLayout

    #: Its parts; every tensor is in one.
    parts: list[PublishedPart]

    #: Names of what is beside the weights, as the state of an optimizer.
    beside: list[str] = field(default_factory=list)


def split_tensors(path: str, content: dict[str, Any]) -> Tensors:
    """Sort the tensors of a published file into its parts.

    Args:
        path: The file, for messages.
        content: Its content.

    Returns:
        The parts.

    Raises:
        CheckpointError: If the file is of no known layout, or a tensor is spare or quantized.
    """
    state, beside = _weights(content)
    for name, value in state.items():
        if not isinstance(value, Tensor):
            source = getattr(value, 'source', type(value).__name__)
            what = 'quantized' if 'qtensor' in source else f'an object of {source}, no tensor'
            raise CheckpointError(f'{path}: {name} is {what}; {_remedy(what)}')
        counter = name.endswith(('num_batches_tracked', 'queue_ptr', 'relative_position_index'))
        if value.is_quantized or not (value.is_floating_point() or counter):
            raise CheckpointError(
                f'{path}: {name} is quantized, to {value.dtype}; {_remedy("quantized")}'
            )
        if not value.is_quantized and not value.isfinite().all():
            raise CheckpointError(f'{path}: {name} holds NaN or infinity; fetch the file again')
    layout = next((one for one in LAYOUTS if set(one.marks) <= state.keys()), None)
    if layout is None:
        names = ', '.join(list(state)[:3]) or 'none'
        raise CheckpointError(
            f'{path} is of no layout that is known ({len(state)} tensors: {names}, ...); give a '
            'file of SACo+, SeCo, CACo, Dual-SimCLR or MMA, and a checkpoint of TorchGeo or of '
            'this package to the task as it is'
        )
    grouped: dict[Part, dict[str, Tensor]] = {}
    spare = []
    for name, tensor in state.items():
        owner = next((one for one in layout.parts if name.startswith(one.prefix)), None)
        key = None if owner is None else _renamed(name.removeprefix(owner.prefix), owner.role)
        if owner is None or key is None:
            spare.append(name)
        elif key:
            grouped.setdefault(owner, {})[key] = tensor
    if spare:
        raise CheckpointError(
            f'{path} looks like {layout.title}, which has no {", ".join(spare[:3])}'
            f'{"" if len(spare) < 4 else f" and {len(spare) - 3} more"}; it is of another version, '
            'and is not converted in part'
        )
    parts = [PublishedPart(of.what, found, of.role, of.sensor) for of, found in grouped.items()]
    return Tensors(layout, parts, beside)


def _weights(content: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Find the tensors by name in the content of a file, and the names of what is beside them."""
    if all(isinstance(content.get(name), dict) for name in _PAIR):
        state = {f'{name}.{key}': value for name in _PAIR for key, value in content[name].items()}
        return state, [name for name in content if name not in _PAIR]
    for name in ('state_dict', 'model_state_dict'):
        if isinstance(content.get(name), dict):
            return dict(content[name]), [other for other in content if other != name]
    return content, []


def _renamed(name: str, role: str | None) -> str | None:
    """Name of a tensor in timm; None for one that no such net has, empty for a constant."""
    if role == 'numbers':
        number, _, rest = name.partition('.')
        return f'{_CHILDREN[number]}.{rest}' if number in _CHILDREN and rest else None
    if role == 'swin':
        return _swin_name(name)
    return name or 'tensor'


def _swin_name(name: str) -> str:
    """Name in timm of a tensor of Swin as first published, which merges patches after a stage."""
    if name.endswith(('relative_position_index', 'attn_mask')):
        # They follow from the size of the image.
        return ''
    words = name.split('.')
    if words[0] == 'layers' and words[2:3] == ['downsample']:
        words[1] = str(int(words[1]) + 1)
    return '.'.join(words)


def depth(path: str, state: dict[str, Tensor]) -> str:
    """Name of the timm ResNet that has these tensors, by its blocks.

    Args:
        path: The file, for messages.
        state: Its tensors under timm's names.

    Returns:
        Name of the model.

    Raises:
        CheckpointError: If no ResNet has these blocks.
    """
    blocks = tuple(
        len({name.split('.')[0] for name in part(state, f'layer{level}.')}) for level in range(1, 5)
    )
    bottleneck = 'layer1.0.conv3.weight' in state
    known: dict[tuple[bool, tuple[int, ...]], str] = {
        (False, (2, 2, 2, 2)): 'resnet18',
        (False, (3, 4, 6, 3)): 'resnet34',
        (True, (3, 4, 6, 3)): 'resnet50',
        (True, (3, 4, 23, 3)): 'resnet101',
        (True, (3, 8, 36, 3)): 'resnet152',
    }
    if (bottleneck, blocks) not in known:
        raise CheckpointError(
            f'{path} holds stages of {", ".join(map(str, blocks))} blocks, as no ResNet has; it '
            'may be incomplete: fetch it again'
        )
    return known[bottleneck, blocks]


def _remedy(what: str) -> str:
    """Say what to do about weights that are no plain tensors."""
    if what == 'quantized':
        return 'give the file of before the quantization'
    return 'save the state_dict of the model alone'
