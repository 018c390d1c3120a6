# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Networks of published files with their heads.

Built from the shapes of the tensors, as docs/weights.md describes. What is not known of a network
is said in its class; none was compared with scores of the authors.
"""

import os
from collections.abc import Sequence
from typing import Any

import torch
from timm import create_model
from torch import Tensor, nn
from torch.nn import functional as F

from ...bands import SENTINEL2_L1C, band_index
from ...io.checkpoint import CheckpointError
from ...transforms import SelectBands, lbp_histogram
from .file import PublishedEncoder, PublishedFile, read_published
from .sources import EUROSAT_BANDS, EUROSAT_GROUPS

# Histograms leave out flat ground (16) and patterns that are not uniform (17).
_CODES = 16
_HISTOGRAMS = _CODES * len(EUROSAT_BANDS)

# Dropout of whole maps in a decoder.
_DROPOUT = 0.5

_SCALES = ('image', 'batch')


class PublishedClassifier(nn.Module):
    """SACo+'s classifier of EuroSAT.

    Every group goes through the one backbone. A linear layer scores its feature, to which the
    histograms of texture of all bands are joined if the file has them, and the probabilities of the
    groups are averaged. Bands are scaled together by the minimum and maximum of the image.

    Not stated where we looked: that the histograms follow the feature, band after band in the
    order of EuroSAT's files, and that a classifier without them averages probabilities, too.

    Shape:
        - Input: 13 bands in any linear unit, :math:`(B, 13, H, W)`
        - Output: probabilities, :math:`(B, classes)`
    """

    def __init__(
        self,
        model: str = 'resnet18',
        classes: int = 10,
        texture: bool = True,
        bands: Sequence[str] = EUROSAT_BANDS,
        histogram_scale: str = 'image',
    ) -> None:
        """Initialize a new PublishedClassifier instance.

        Args:
            model: Name of the timm model.
            classes: Number of classes.
            texture: Whether histograms of texture are joined to the features.
            bands: Names of the channels of the images, those of EuroSAT in any order.
            histogram_scale: Histograms are scaled by the minimum and maximum of each ``'image'``,
                or of the whole ``'batch'`` as in the authors' training, so that scores depend on
                the other images.

        Raises:
            ValueError: If a band is missing or unknown, or *histogram_scale* is neither.
        """
        super().__init__()
        if histogram_scale not in _SCALES:
            raise ValueError(
                f'unknown histogram_scale {histogram_scale!r}; choose one of {", ".join(_SCALES)}'
            )
        self.histogram_scale = histogram_scale
        self.texture = texture
        self._select = SelectBands(bands, EUROSAT_BANDS, SENTINEL2_L1C)
        chosen = [band for group in EUROSAT_GROUPS.values() for band in group]
        self._channels = band_index(EUROSAT_BANDS, chosen)
        self.backbone = create_model(model, num_classes=0)
        joined = _HISTOGRAMS if texture else 0
        self.classifier = nn.Linear(_features(self.backbone) + joined, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities of the classes."""
        image = _unit_range(self._select(image).to(torch.float32), batch=False)
        groups = image[:, self._channels].unflatten(1, (len(EUROSAT_GROUPS), -1))
        features = self.backbone(groups.flatten(0, 1)).unflatten(0, groups.shape[:2])
        if self.texture:
            # Of whole numbers, cut off.
            codes = lbp_histogram((image * 255).to(torch.int32))[..., :_CODES].flatten(1)
            scaled = _unit_range(codes, self.histogram_scale == 'batch').to(features.dtype)
            repeated = scaled[:, None].expand(-1, groups.shape[1], -1)
            features = torch.cat([features, repeated], dim=-1)
        scores: Tensor = self.classifier(features)
        return scores.softmax(-1).mean(1)


class PublishedDoubleConv(nn.Module):
    """Level of SACo+'s decoder of change: two convolutions, each with BatchNorm and ReLU.

    Not stated where we looked: that the dropout, which only training has, comes last.
    """

    def __init__(self, channels: int, middle: int, out: int) -> None:
        """Initialize a new PublishedDoubleConv instance.

        Args:
            channels: Channels of the map.
            middle: Channels after the first convolution.
            out: Channels after the second.
        """
        super().__init__()
        self.double_conv = nn.Sequential(
            *_convolution(channels, middle), *_convolution(middle, out), nn.Dropout2d(_DROPOUT)
        )

    def forward(self, map_: Tensor) -> Tensor:
        """Map of the same size."""
        decoded: Tensor = self.double_conv(map_)
        return decoded


class PublishedJoinedConv(nn.Module):
    """Level of SACo+'s decoder of segmentation: the second convolution sees the input again.

    Not stated where we looked: that the input comes before the result of the first convolution.
    """

    def __init__(self, channels: int, middle: int, out: int) -> None:
        """Initialize a new PublishedJoinedConv instance.

        Args:
            channels: Channels of the map.
            middle: Channels after the first convolution.
            out: Channels after the second.
        """
        super().__init__()
        self.conv_1 = nn.Sequential(*_convolution(channels, middle))
        self.conv_2 = nn.Sequential(*_convolution(channels + middle, out), nn.Dropout2d(_DROPOUT))

    def forward(self, map_: Tensor) -> Tensor:
        """Map of the same size."""
        decoded: Tensor = self.conv_2(torch.cat([map_, self.conv_1(map_)], dim=1))
        return decoded


class _PublishedUNet(nn.Module):
    """Backbone with maps of four levels, and a decoder on them."""

    def __init__(
        self,
        level: type[PublishedDoubleConv] | type[PublishedJoinedConv],
        model: str,
        channels: int,
        widths: Sequence[tuple[int, int]],
        classes: int,
    ) -> None:
        """Initialize a new _PublishedUNet instance.

        Args:
            level: Class of a level of the decoder.
            model: Name of the timm model.
            channels: Channels of the images.
            widths: Channels after the first and the second convolution of each level of the
                decoder, the coarsest first.
            classes: Channels of the output.
        """
        super().__init__()
        backbone: Any = create_model(
            model, features_only=True, in_chans=channels, out_indices=(1, 2, 3, 4)
        )
        self.backbone = backbone
        skips = backbone.feature_info.channels()[::-1]
        # The coarsest map is joined to itself.
        before = [skips[0], *(out for _, out in widths)]
        self.decoder = nn.ModuleList(
            level(width + skip, *of)
            for width, skip, of in zip(before[:-1], skips, widths, strict=True)
        )
        self.decoder.append(nn.Conv2d(before[-1], classes, 1))

    def maps(self, image: Tensor) -> list[Tensor]:
        """Maps of the backbone, the coarsest first."""
        height, width = image.shape[-2:]
        if height % 32 or width % 32:
            raise ValueError(
                f'the image is {height} x {width} px, and the decoder takes multiples of 32 px; '
                'cut or pad it'
            )
        return list(self.backbone(image))[::-1]

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Scores of every pixel."""
        *levels, last = self.decoder
        decoded = maps[0]
        for level, skip in zip(levels, maps, strict=True):
            decoded = level(_twice(torch.cat([decoded, skip], dim=1)))
        return last(_twice(decoded))


class PublishedChangeDetector(_PublishedUNet):
    """SACo+'s change detection of OSCD: a U-Net on absolute differences of maps of two dates.

    The authors scale B04, B03 and B02 by statistics of BigEarthNet, which are not in the file.

    Not stated where we looked: that what is decoded comes before the map that is joined to it.

    Shape:
        - Input: B04, B03 and B02 of two dates from 0 to 1, :math:`(B, 2, 3, H, W)`
        - Output: logits of change, :math:`(B, 1, H, W)`
    """

    def __init__(
        self,
        model: str = 'resnet18',
        widths: Sequence[tuple[int, int]] = ((256, 256), (128, 128), (64, 64), (32, 32)),
    ) -> None:
        """Initialize a new PublishedChangeDetector instance.

        Args:
            model: Name of the timm model.
            widths: Channels after the first and the second convolution of each level of the
                decoder, the coarsest first.
        """
        super().__init__(PublishedDoubleConv, model, 3, widths, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of change."""
        first, second = image.unbind(1)
        pairs = zip(self.maps(first), self.maps(second), strict=True)
        return self.decode([(one - other).abs() for one, other in pairs])


class PublishedSegmenter(_PublishedUNet):
    """SACo+'s segmentation of PASTIS, of one date at a time.

    The authors standardize the bands by statistics of PASTIS, which are not in the file.

    Not stated where we looked: that what is decoded comes before the map that is joined to it.

    Shape:
        - Input: standardized bands in the order of PASTIS, :math:`(B, 10, H, W)`
        - Output: logits, :math:`(B, classes, H, W)`
    """

    def __init__(
        self,
        model: str = 'resnet18',
        widths: Sequence[tuple[int, int]] = ((256, 256), (128, 128), (64, 64), (32, 32)),
        channels: int = 10,
        classes: int = 20,
    ) -> None:
        """Initialize a new PublishedSegmenter instance.

        Args:
            model: Name of the timm model.
            widths: Channels after the first and the second convolution of each level of the
                decoder, the coarsest first.
            channels: Channels of the images.
            classes: Number of classes.
        """
        super().__init__(PublishedJoinedConv, model, channels, widths, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of the classes."""
        return self.decode(self.maps(image))


class PublishedPairClassifier(nn.Module):
    """Dual-SimCLR's classifier of DFC2020: one linear layer on the features of two sensors.

    The authors divide every channel of a patch by its maximum first.

    Not stated where we looked: that the feature of Sentinel-1 comes first.

    Shape:
        - Input: Sentinel-1, :math:`(B, 2, H, W)`, and Sentinel-2, :math:`(B, 13, H, W)`
        - Output: logits, :math:`(B, classes)`
    """

    def __init__(self, model: str = 'resnet50', classes: int = 8) -> None:
        """Initialize a new PublishedPairClassifier instance.

        Args:
            model: Name of the timm model.
            classes: Number of classes.
        """
        super().__init__()
        self.backbone1 = create_model(model, in_chans=2, num_classes=0)
        self.backbone2 = create_model(model, in_chans=13, num_classes=0)
        self.classifier = nn.Linear(2 * _features(self.backbone1), classes)

    def forward(self, s1: Tensor, s2: Tensor) -> Tensor:
        """Logits of the classes."""
        scores: Tensor = self.classifier(torch.cat([self.backbone1(s1), self.backbone2(s2)], -1))
        return scores


class PublishedVGGStage(nn.Module):
    """Two 3 x 3 convolutions of MMA's net, each with BatchNorm and ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        """Initialize a new PublishedVGGStage instance.

        Args:
            channels: Channels of the map.
            width: Channels of the output.
        """
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(channels, width, bias=False), *_convolution(width, width, bias=False)
        )

    def forward(self, map_: Tensor) -> Tensor:
        """Map of the same size."""
        out: Tensor = self.layers(map_)
        return out


class PublishedVGG(nn.Module):
    """Encoder of one sensor of MMA: four stages, with pooling between them.

    Not stated where we looked: that maps are padded by zeros, so that convolutions keep their size.

    Shape:
        - Input: :math:`(B, C, H, W)`
        - Output: map, :math:`(B, D, H / 8, W / 8)`
    """

    def __init__(self, channels: int, widths: Sequence[int] = (64, 128, 256, 256)) -> None:
        """Initialize a new PublishedVGG instance.

        Args:
            channels: Channels of the images.
            widths: Channels of each of the four stages.
        """
        super().__init__()
        one, two, three, four = widths
        self.convs1 = PublishedVGGStage(channels, one)
        self.convs2 = PublishedVGGStage(one, two)
        self.convs3 = PublishedVGGStage(two, three)
        self.convs4 = PublishedVGGStage(three, four)

    def forward(self, image: Tensor) -> Tensor:
        """Map of features."""
        map_: Tensor = self.convs1(image)
        for stage in (self.convs2, self.convs3, self.convs4):
            map_ = stage(F.max_pool2d(map_, 2))
        return map_


def load_published(path: str | os.PathLike[str]) -> nn.Module:
    """Network of a published file with its head, in evaluation mode.

    Args:
        path: File of a downstream task of SACo+ or Dual-SimCLR, or of MMA.

    Returns:
        A :class:`PublishedClassifier`, :class:`PublishedChangeDetector`,
        :class:`PublishedSegmenter` or :class:`PublishedPairClassifier`; of MMA a dictionary of
        :class:`PublishedVGG`, by the name of the sensor.

    Raises:
        CheckpointError: If the file cannot be read, has no head, or its head is another net.
    """
    file = read_published(path)
    makers = {
        'saco_classification': _classifier,
        'saco_change': _change_detector,
        'saco_segmentation': _segmenter,
        'dual_classification': _pair_classifier,
        'mma': _vggs,
    }
    name = file.tensors.layout.name
    if name not in makers:
        raise CheckpointError(
            f'{file.path} is of {file.tensors.layout.title}, which has no head; make an encoder of '
            'it by torchgeo-saco convert'
        )
    return makers[name](file).eval()


def _classifier(file: PublishedFile) -> nn.Module:
    """Classifier of SACo+."""
    (encoder,) = file.encoders
    classes, width = _shape(file, 'classifier.', 'weight', 2)
    plain = _features(create_model(encoder.model, num_classes=0))
    if width not in (plain, plain + _HISTOGRAMS):
        raise CheckpointError(
            f'{file.path} has a classifier of {width} numbers, and a {encoder.model} gives '
            f'{plain}, with textures {plain + _HISTOGRAMS}; give the file of the published layout'
        )
    module = PublishedClassifier(encoder.model, classes, width > plain)
    return _filled(file, module, _below('backbone.', encoder), 'classifier.')


def _change_detector(file: PublishedFile) -> nn.Module:
    """Change detector of SACo+."""
    (encoder,) = file.encoders
    module = PublishedChangeDetector(encoder.model, _widths(file, 'double_conv.0', 'double_conv.3'))
    return _filled(file, module, _below('backbone.', encoder), 'decoder.')


def _segmenter(file: PublishedFile) -> nn.Module:
    """Segmentation of SACo+."""
    (encoder,) = file.encoders
    module = PublishedSegmenter(
        encoder.model,
        _widths(file, 'conv_1.0', 'conv_2.0'),
        encoder.state['conv1.weight'].shape[1],
        _shape(file, 'decoder.', '4.weight', 4)[0],
    )
    return _filled(file, module, _below('backbone.', encoder), 'decoder.')


def _pair_classifier(file: PublishedFile) -> nn.Module:
    """Classifier of Dual-SimCLR."""
    one, two = sorted(file.encoders, key=lambda encoder: encoder.config.sensor)
    if one.model != two.model:
        raise CheckpointError(
            f'{file.path} holds a {one.model} and a {two.model}, where both are of one depth; give '
            'the file of the published layout'
        )
    module = PublishedPairClassifier(one.model, _shape(file, 'classifier.', 'weight', 2)[0])
    return _filled(
        file, module, _below('backbone1.', one) | _below('backbone2.', two), 'classifier.'
    )


def _vggs(file: PublishedFile) -> nn.Module:
    """Encoders of MMA by sensor."""
    modules = nn.ModuleDict()
    for part in file.tensors.parts:
        firsts = [part.state.get(f'convs{stage}.layers.0.weight') for stage in range(1, 5)]
        shapes = [first.shape for first in firsts if first is not None and first.ndim == 4]
        if len(shapes) != len(firsts):
            raise CheckpointError(
                f'{file.path}: the {part.what} lacks a stage of four; fetch the file again'
            )
        module = PublishedVGG(shapes[0][1], [shape[0] for shape in shapes])
        _fill(file, module, part.state, part.what)
        modules[part.sensor] = module
    return modules


def _features(backbone: Any) -> int:
    """Length of the feature of a timm model."""
    return int(backbone.num_features)


def _convolution(channels: int, out: int, bias: bool = True) -> list[nn.Module]:
    """Layers of a 3 x 3 convolution that keeps the size."""
    return [
        nn.Conv2d(channels, out, 3, padding=1, bias=bias),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    ]


def _twice(map_: Tensor) -> Tensor:
    """Map of twice the size, every pixel repeated."""
    return F.interpolate(map_, scale_factor=2, mode='nearest')


def _unit_range(values: Tensor, batch: bool) -> Tensor:
    """Scale numbers of each image, or of the whole batch, to 0-1; equal numbers become 0."""
    axes = tuple(range(0 if batch else 1, values.ndim))
    low, high = values.amin(axes, keepdim=True), values.amax(axes, keepdim=True)
    return (values - low) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)


def _head(file: PublishedFile, role: str) -> dict[str, Tensor]:
    """Tensors of the head."""
    part = file.part(role)
    return {} if part is None else part.state


def _shape(file: PublishedFile, role: str, name: str, axes: int) -> tuple[int, ...]:
    """Shape of a tensor of the head."""
    tensor = _head(file, role).get(name)
    if tensor is None or tensor.ndim != axes:
        raise CheckpointError(
            f'{file.path} lacks {name} of its {role.rstrip(".")}, or it has not {axes} axes; it '
            'may be incomplete: fetch it again'
        )
    return tuple(tensor.shape)


def _widths(file: PublishedFile, first: str, second: str) -> list[tuple[int, int]]:
    """Channels after both convolutions of each of four levels of a decoder."""
    return [
        (
            _shape(file, 'decoder.', f'{level}.{first}.weight', 4)[0],
            _shape(file, 'decoder.', f'{level}.{second}.weight', 4)[0],
        )
        for level in range(4)
    ]


def _below(prefix: str, encoder: PublishedEncoder) -> dict[str, Tensor]:
    """Tensors of an encoder with a prefix before their names."""
    return {f'{prefix}{name}': tensor for name, tensor in encoder.state.items()}


def _filled(
    file: PublishedFile, module: nn.Module, state: dict[str, Tensor], role: str
) -> nn.Module:
    """Load the tensors of the encoders and of the head."""
    head = {f'{role}{name}': tensor for name, tensor in _head(file, role).items()}
    return _fill(file, module, state | head, role.rstrip('.'))


def _fill(file: PublishedFile, module: nn.Module, state: dict[str, Tensor], what: str) -> nn.Module:
    """Load all tensors, or refuse."""
    wanted = module.state_dict()
    wrong = [
        name for name in wanted if name not in state or state[name].shape != wanted[name].shape
    ]
    wrong += [name for name in state if name not in wanted]
    if wrong:
        raise CheckpointError(
            f'{file.path}: the {what} is another net ({len(wrong)} tensors are missing, spare or '
            f'of another shape, such as {wrong[0]}); give the file of the published layout'
        )
    module.load_state_dict(state)
    return module
