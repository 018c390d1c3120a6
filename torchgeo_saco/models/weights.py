# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Initial weights of a backbone, by any name TorchGeo takes."""

import os

from timm import create_model
from torch import Tensor, nn
from torchgeo.models import get_weight
from torchgeo.tasks import utils
from torchvision.models._api import WeightsEnum


def create_backbone(model: str, weights: WeightsEnum | str | bool | None = None) -> nn.Module:
    """Three-channel timm model without classes.

    Args:
        model: Name of the timm model.
        weights: A weight enum or its name, True for ImageNet weights, False or None for random
            ones, or the path of a checkpoint.

    Returns:
        The model; it maps (N, 3, H, W) to (N, D).

    Raises:
        ValueError: If *weights* is neither a file nor the name of a weight enum, or does not
            fit the model.
    """
    backbone = create_model(model, in_chans=3, num_classes=0, pretrained=weights is True)
    if not weights or weights is True:
        return backbone
    if isinstance(weights, str) and os.path.isfile(weights):
        _, state = utils.extract_backbone(weights)
    else:
        try:
            enum = weights if isinstance(weights, WeightsEnum) else get_weight(weights)
        except (KeyError, ValueError) as error:
            raise ValueError(
                f'weights {weights!r} is neither a file nor the name of a TorchGeo weight '
                'such as ResNet18_Weights.SENTINEL2_RGB_SECO'
            ) from error
        state = enum.get_state_dict(progress=True, check_hash=True, weights_only=True)
    _load_exactly(backbone, state, model, str(weights))
    return backbone


def _load_exactly(backbone: nn.Module, state: dict[str, Tensor], model: str, name: str) -> None:
    """Load every tensor of the backbone; TorchGeo would draw what does not fit at random."""
    wanted = backbone.state_dict()
    state = {
        key: value for key, value in state.items() if key in wanted or not key.startswith('fc.')
    }
    wrong = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    wrong += [key for key in state if key not in wanted]
    if wrong:
        raise ValueError(
            f'weights {name!r} do not fit {model} with 3 channels: {len(wrong)} tensors are '
            f'missing, spare or of another shape, such as {wrong[0]}; choose the model they were '
            'trained with'
        )
    backbone.load_state_dict(state)
