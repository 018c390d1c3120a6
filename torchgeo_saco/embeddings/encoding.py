# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoders made ready to embed: weights of any kind, on a device."""

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from ..io.checkpoint import read_checkpoint
from ..models import Encoder, fit_input_statistics, load_encoder
from ..models.load import LoadedEncoder
from ..runtime.checks import check_choice
from ..runtime.device import known_device
from ..runtime.precision import emulates_bfloat16
from .provenance import weights_hash

Precision = Literal['32', 'bf16']

# Three-band images that a backbone sees at a time on a CPU.
_CPU_IMAGES = 128

#: Side of what published and random weights see of a scene, in pixels; that of ImageNet.
DEFAULT_TILE = 224


@dataclass(frozen=True)
class NamedWeights:
    """Weights as a user names them."""

    #: Path of a checkpoint, name of a TorchGeo weight, or None for random ones.
    name: str | None

    @classmethod
    def parse(cls, text: str) -> 'NamedWeights':
        """Read ``random``, a path or a name."""
        return cls(None if text == 'random' else text)

    @property
    def text(self) -> str:
        """What is written into files."""
        return self.name or 'random'

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the task that trained them, none where the weights are no checkpoint."""
        if self.name is None or not os.path.isfile(self.name):
            return {}
        found = read_checkpoint(self.name).get('hyper_parameters')
        return found if isinstance(found, dict) else {}

    def load(self, bands: Sequence[str], sensor: str) -> LoadedEncoder:
        """Load the encoder; random weights are the same every time."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return load_encoder(bands, sensor, weights=self.name)

    def needed_bands(self, bands: Sequence[str], sensor: str) -> list[str]:
        """Those of the bands that the encoder sees, so that no other is read."""
        channels = self.load(bands, sensor).encoder.inputs.channels
        used = {band for of in channels.values() for band in of}
        return [band for band in bands if band in used]


class TileEncoder:
    """An encoder in evaluation mode, on a device and in a precision, which only embeds."""

    def __init__(
        self,
        loaded: LoadedEncoder,
        weights: NamedWeights,
        device: str = 'auto',
        precision: Precision = '32',
    ) -> None:
        """Initialize a new TileEncoder instance.

        Args:
            loaded: The encoder.
            weights: Its weights.
            device: cpu, cuda, or auto.
            precision: ``32``, or ``bf16`` for a backbone in bfloat16.

        Raises:
            ValueError: If the device is not there, or has no bfloat16.
        """
        self.device = known_device(device)
        check_choice('precision', precision, ('32', 'bf16'))
        if precision == 'bf16' and emulates_bfloat16(self.device):
            raise ValueError(
                f'this {self.device.type} has no bfloat16 instructions; leave out precision'
            )
        self.precision = precision
        self.encoder: Encoder = loaded.encoder.to(self.device).eval()
        self.config = loaded.config
        self.random = loaded.random
        #: Inputs whose statistics the weights do not bring, see :meth:`fit`.
        self.unfitted = list(loaded.unfitted)
        self.hash = weights_hash(weights.name, loaded.encoder.backbone)
        self._backbone: nn.Module | None = None

    @property
    def groups(self) -> list[str]:
        """Names of groups and textures."""
        return list(self.encoder.names)

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return self.encoder.num_features * self.encoder.fusion.widening

    @torch.no_grad()
    def fit(self, images: Callable[[], Iterable[Tensor]]) -> None:
        """Take the statistics that the weights do not bring from images.

        Args:
            images: Makes an iterator over batches of reflectance, (B, C, H, W).
        """
        if not self.unfitted:
            return
        standardize = self.encoder.inputs.standardize
        kept = copy.deepcopy(standardize.state_dict())
        fit_input_statistics(
            self.encoder, lambda: (i.to(self.device) for i in images()), backbone=self.random
        )
        self.encoder.eval()
        for position, name in enumerate(self.encoder.inputs.names):
            if name in self.unfitted or not isinstance(standardize, nn.BatchNorm2d):
                continue
            channels = slice(3 * position, 3 * position + 3)
            for buffer in ('running_mean', 'running_var'):
                getattr(standardize, buffer)[channels] = kept[buffer][channels]

    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Tensor:
        """Compute the features of every group.

        Args:
            image: Reflectance, (B, C, H, W).

        Returns:
            Features, (B, G, D) float32.
        """
        groups = self.encoder.inputs(image)
        kind = torch.bfloat16 if self.precision == 'bf16' else torch.float32
        if self._backbone is None:
            backbone = _fold_norms(self.encoder.backbone)
            self._backbone = backbone.to(kind).to(memory_format=torch.channels_last)
        images = groups.flatten(0, 1).to(kind).contiguous(memory_format=torch.channels_last)
        # On a CPU few images at a time stay in its cache, and what they need in memory is reused.
        most = _CPU_IMAGES if self.device.type == 'cpu' else len(images)
        features = torch.cat([self._backbone(part) for part in images.split(max(most, 1))])
        features = features.float().unflatten(0, groups.shape[:2])
        if self.encoder.texture is not None:
            features = torch.cat([features, self.encoder.texture(image).float()], dim=1)
        return features

    @torch.inference_mode()
    def fused(self, features: Tensor) -> Tensor:
        """Embedding of the features of all groups, (B, D)."""
        embedding: Tensor = self.encoder.fusion(features)
        return embedding


def _fold_norms(backbone: nn.Module) -> nn.Module:
    """Copy a backbone in evaluation mode, with BatchNorm folded into the convolutions before it."""
    try:
        folded: nn.Module = fuse(backbone)
    except (TraceError, TypeError, RuntimeError):
        # Its forward branches on values or shapes, which cannot be traced.
        folded = copy.deepcopy(backbone)
    return folded.requires_grad_(False)


def cut(block: Tensor, tiles: Sequence[tuple[int, int]], size: int) -> Tensor:
    """Cut tiles out of an image.

    Args:
        block: Image, (1, C, H, W).
        tiles: First row and column of each.
        size: Side of a tile.

    Returns:
        Tiles, (N, C, size, size).
    """
    parts = [block[0, :, row : row + size, column : column + size] for row, column in tiles]
    return torch.stack(parts)
