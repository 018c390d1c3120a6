# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Initial weights of a backbone, by any name TorchGeo takes."""

import difflib
import os
from typing import Any

from timm import create_model, is_model, list_models
from torch import Tensor, nn
from torchgeo.models import get_weight
from torchvision.models._api import WeightsEnum

from ..io.checkpoint import part, read_checkpoint

#: Initial weights, by any name that a task takes.
type Weights = WeightsEnum | str | bool | None


def create_backbone(model: str, weights: Weights = None, in_channels: int = 3) -> nn.Module:
    """Timm model without classes.

    Args:
        model: Name of the timm model.
        weights: A weight enum or its name, True for ImageNet weights, False or None for random
            ones, or the path of a checkpoint.
        in_channels: Bands that it takes.

    Returns:
        The model; it maps (N, in_channels, H, W) to (N, D). ViT and Swin take images of other sizes
        than they are published for, with tensors of the same shapes.

    Raises:
        ValueError: If *model* is unknown, or *weights* is neither a file nor the name of a weight
            enum, or does not fit the model.
    """
    if not isinstance(model, str) or ':' in model or not is_model(model):
        near = ', '.join(difflib.get_close_matches(str(model), list_models(), 3)) or 'resnet18'
        raise ValueError(f'timm has no model {model!r}; choose one such as {near}')
    enum = None
    if weights and weights is not True and not os.path.isfile(str(weights)):
        enum = known_weights(weights)
        _require_timm(enum, model)
    options: Any = {'in_chans': in_channels, 'num_classes': 0}
    try:
        backbone = _any_size(model, pretrained=weights is True, **options)
    except (OSError, RuntimeError) as error:
        if weights is not True:
            raise
        raise ValueError(
            f'ImageNet weights of {model} cannot be downloaded ({type(error).__name__}); check the '
            'connection, or set weights to null or to a file'
        ) from error
    if not weights or weights is True:
        return backbone
    state = _backbone_state(str(weights)) if enum is None else published_state(enum)
    load_exactly(backbone, state, model, str(weights))
    return backbone


def _any_size(model: str, **options: Any) -> nn.Module:
    """Timm model that takes images of any size, where it is one that can."""
    try:
        # Of ViT, Swin and their kin; position embeddings keep the shape that weights have.
        return create_model(model, dynamic_img_size=True, **options)
    except TypeError:
        return create_model(model, **options)


def _require_timm(weights: WeightsEnum, model: str) -> None:
    """Refuse weights of another net before they are downloaded."""
    trained = weights.meta.get('model')
    if trained is None or trained == model or trained == model.split('.')[0]:
        return
    if is_model(str(trained)):
        raise ValueError(
            f'weights {weights} are of {trained}, but model={model} is asked for; set model to '
            f'{trained}'
        )
    raise ValueError(
        f'weights {weights} are of {trained}, which is no model of timm; use the function of '
        'torchgeo.models that they belong to, or choose weights such as '
        'ResNet18_Weights.SENTINEL2_RGB_SECO'
    )


def published_state(weights: WeightsEnum) -> dict[str, Tensor]:
    """Tensors of published weights, downloaded unless they are there.

    Args:
        weights: Weights of TorchGeo or of this package.

    Returns:
        Tensors by name in timm.

    Raises:
        ValueError: If they cannot be downloaded.
    """
    try:
        return weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except OSError as error:
        raise ValueError(
            f'weights {weights} cannot be downloaded ({type(error).__name__}); check the '
            'connection, or set weights to null or to a file'
        ) from error


def known_weights(weights: WeightsEnum | str) -> WeightsEnum:
    """Weight enum of that name.

    Args:
        weights: Name such as ``ResNet18_Weights.SENTINEL2_RGB_SECO``, or an enum, which is
            returned as it is.

    Returns:
        The enum.

    Raises:
        ValueError: If no weight has that name.
    """
    try:
        return weights if isinstance(weights, WeightsEnum) else get_weight(weights)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f'weights {weights!r} is neither a file nor the name of a TorchGeo weight '
            'such as ResNet18_Weights.SENTINEL2_RGB_SECO'
        ) from error


def load_exactly(backbone: nn.Module, state: dict[str, Tensor], model: str, name: str) -> None:
    """Load every tensor of the backbone; TorchGeo would draw what does not fit at random.

    Args:
        backbone: The backbone.
        state: Its tensors. A classifier among them is passed over.
        model: Name of the timm model, for the message.
        name: Name of the weights, for the message.

    Raises:
        ValueError: If a tensor is missing, spare or of another shape.
    """
    wanted = backbone.state_dict()
    state = {
        key: value
        for key, value in state.items()
        if key in wanted or not key.startswith(('fc.', 'head.', 'classifier.'))
    }
    wrong = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    wrong += [key for key in state if key not in wanted]
    if wrong:
        raise ValueError(
            f'weights {name!r} do not fit {model}: {len(wrong)} tensors are missing, spare or of '
            f'another shape, such as {wrong[0]}; choose the model they were trained with'
        )
    backbone.load_state_dict(state)


def _backbone_state(path: str) -> dict[str, Tensor]:
    """Tensors of the backbone in a checkpoint of ours, of TorchGeo, or a plain state dict."""
    content = read_checkpoint(path)
    state = content.get('state_dict', content)
    # TorchGeo's MoCo and SimCLR keep the net as `backbone`, its BYOL and our tasks elsewhere.
    for prefix in ('model.encoder.backbone.', 'model.backbone.model.', 'model.', 'backbone.'):
        found = part(state, prefix)
        if found:
            return found
    return state
