# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoders for other bands and tasks than they were trained on, matched by band name."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor, nn
from torchvision.models._api import WeightsEnum

from ..bands import SENSORS, SkippedGroup, available_groups, known_sensor, nearest_bands
from ..io.checkpoint import CheckpointError, part, read_checkpoint
from .encoder import Encoder
from .inputs import BandInputs, GroupInputs
from .scaling import WeightScaling, weight_scaling
from .texture import TextureFeatures
from .weights import Weights, create_backbone, known_weights, load_exactly, published_state

Groups = Sequence[str] | Mapping[str, Sequence[str]]

#: Beginning of the names of what belongs to the second encoder of a checkpoint of two modalities.
SECOND = 'second_'


@dataclass(frozen=True)
class EncoderConfig:
    """Configuration of an encoder: all that makes it again but its weights, as plain types."""

    #: Name of the timm model.
    model: str

    #: Channels of the images.
    bands: list[str]

    #: Sensor of the bands.
    sensor: str

    #: Three bands of each group, or None for a backbone that takes *input_bands*.
    groups: dict[str, list[str]] | None = None

    #: Names of the groups that have a texture too.
    texture: list[str] | None = None

    #: Neighbors on the circle of the local binary pattern.
    texture_points: int = 16

    #: Its radius, in pixels.
    texture_radius: float = 2.0

    #: Whether textures are histograms of codes, in place of images.
    texture_histograms: bool = False

    #: Bands that a backbone takes in place of groups, in its order.
    input_bands: list[str] | None = None

    #: Scaling that its weights were trained with, or None for the statistics of images.
    scaling: dict[str, list[float]] | None = None

    @classmethod
    def from_dict(cls, arguments: Mapping[str, Any]) -> 'EncoderConfig':
        """Read the configuration in a checkpoint, see :meth:`to_dict`."""
        # Checkpoints before version 0.1.0 call the bands inputs.
        names = {'inputs': 'input_bands'}
        return cls(**{names.get(name, name): value for name, value in arguments.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain types for a checkpoint."""
        return asdict(self)

    def inputs(self) -> GroupInputs | BandInputs:
        """Make the inputs of the backbone."""
        scaling = None if self.scaling is None else WeightScaling(**self.scaling)
        if self.groups is None:
            return BandInputs(self.bands, self.input_bands or self.bands, self.sensor, scaling)
        return GroupInputs(
            self.bands,
            self.groups,
            self.sensor,
            [] if self.texture_histograms else self.texture or [],
            self.texture_points,
            self.texture_radius,
            scaling=scaling,
        )

    def texture_features(self, width: int) -> TextureFeatures | None:
        """Make the features of textures from histograms, of this length; None without them."""
        if not self.texture_histograms or not self.texture:
            return None
        groups = {name: (self.groups or {})[name] for name in self.texture}
        return TextureFeatures(
            self.bands, groups, width, self.sensor, self.texture_points, self.texture_radius
        )

    def encoder(self, weights: Weights = None) -> Encoder:
        """Make the encoder, its backbone with these weights."""
        channels = 3 if self.groups is not None else len(self.input_bands or self.bands)
        backbone = create_backbone(self.model, weights, channels)
        texture = self.texture_features(int(backbone.num_features))  # type: ignore[arg-type]
        return Encoder(self.inputs(), backbone, texture=texture)


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder and how it was loaded."""

    #: The encoder.
    encoder: Encoder

    #: Its configuration.
    config: EncoderConfig

    #: Whether the weights are random.
    random: bool

    #: Groups that it was trained on or that were asked for, but that the bands cannot form.
    skipped: list[SkippedGroup] = field(default_factory=list)

    #: Groups and textures whose statistics the weights do not bring.
    unfitted: list[str] = field(default_factory=list)

    #: Configuration that the weights were trained with, of a checkpoint of ours.
    trained: EncoderConfig | None = None

    def substitutions(self) -> list[str]:
        """Say which bands of another sensor stand in for those of training."""
        trained, here = self.trained, self.config
        if trained is None or _share_bands(trained.sensor, here.sensor):
            return []
        theirs_of, ours_of = trained.groups or {}, here.groups or {}
        pairs = {name: (ours_of[name], theirs_of[name]) for name in ours_of}
        if here.input_bands and trained.input_bands:
            pairs['bands'] = here.input_bands, trained.input_bands
        names = known_sensor(here.sensor).name, known_sensor(trained.sensor).name
        return [
            f'{group}: {" ".join(ours)} of {names[0]} in place of {" ".join(theirs)} of {names[1]}'
            for group, (ours, theirs) in pairs.items()
        ]


def load_encoder(
    bands: Sequence[str],
    sensor: str = 'sentinel2_l1c',
    model: str | None = None,
    weights: Weights | os.PathLike[str] = None,
    groups: Groups | None = None,
    texture: bool | Sequence[str] | None = None,
    texture_points: int | None = None,
    texture_radius: float | None = None,
) -> LoadedEncoder:
    """Encoder of images with these bands, from any weights.

    A checkpoint of ours brings its groups, textures and statistics, as do the published weights of
    :mod:`torchgeo_saco.models.published`; what the bands at hand cannot form is skipped. Of two
    modalities, the sensor says which encoder it is. Weights of TorchGeo for other than three bands,
    or without *groups*, see the bands they were trained on, scaled as they were. Anything else sees
    all groups.

    Args:
        bands: Names of the channels of the images.
        sensor: Their sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
        model: Name of the timm model, or None for the one of the weights, else ResNet-18.
        weights: A weight enum or its name, True for ImageNet weights, False or None for random
            ones, or the path of a checkpoint.
        groups: Groups as for :class:`GroupInputs`; of those a checkpoint of ours was trained on,
            some. None for all.
        texture: Textures as for :class:`GroupInputs`, of the groups that there are. None for
            those of the checkpoint, else all.
        texture_points: Neighbours on the circle, or None for those of the checkpoint, else 16.
        texture_radius: Its radius in pixels, or None for that of the checkpoint, else 2.

    Returns:
        The encoder, its configuration, and what was skipped.

    Raises:
        ValueError: If bands and weights have nothing in common, or the model is another one.
        CheckpointError: If a file is no usable checkpoint.
    """
    asked = {'texture_points': texture_points, 'texture_radius': texture_radius}
    circle: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    config = EncoderConfig(model or 'resnet18', list(bands), sensor)
    if isinstance(weights, os.PathLike):
        weights = os.fspath(weights)
    if isinstance(weights, str) and os.path.isfile(weights):
        content = read_checkpoint(weights)
        trained, prefix = _trained_config(content), ''
        second = _trained_config(content, SECOND)
        if trained is not None and second is not None and _share_bands(second.sensor, sensor):
            trained, prefix = second, SECOND
        if trained is not None:
            _require_model(weights, model, trained)
            return _adapt_config(weights, content, trained, config, groups, texture, circle, prefix)
    elif weights and weights is not True:
        enum = known_weights(weights)
        if 'encoder' in enum.meta:
            trained = EncoderConfig.from_dict(enum.meta['encoder'])
            if trained.groups is not None or (groups is None and not texture):
                _require_model(str(enum), model, trained)
                state = {f'model.{name}': part for name, part in published_state(enum).items()}
                content = {'state_dict': state}
                return _adapt_config(str(enum), content, trained, config, groups, texture, circle)
        return _published_config(enum, model, config, groups, texture, circle)
    config, skipped = _set_groups(replace(config, **circle), groups, texture)
    encoder = config.encoder(weights)
    return LoadedEncoder(encoder, config, not weights, skipped, list(encoder.inputs.names))


def stored_config(weights: Weights, sensor: str | None = None) -> EncoderConfig | None:
    """Read the configuration that weights bring.

    Args:
        weights: Path of a checkpoint, or a weight enum or its name.
        sensor: Sensor of the encoder, of a checkpoint of two.

    Returns:
        The configuration; None of weights that are no encoder of ours.

    Raises:
        ValueError: If *weights* is neither a file nor the name of a weight enum.
        CheckpointError: If the file is no usable checkpoint, or of two sensors and none is named.
    """
    if not isinstance(weights, str) or not os.path.isfile(weights):
        enum = known_weights(weights)
        stored = enum.meta.get('encoder')
        return None if stored is None else EncoderConfig.from_dict(stored)
    content = read_checkpoint(weights)
    first, second = _trained_config(content), _trained_config(content, SECOND)
    if first is None or second is None:
        return first
    if sensor is None:
        raise CheckpointError(
            f'{weights} holds encoders of {first.sensor} and {second.sensor}; set sensor to one'
        )
    return second if _share_bands(second.sensor, sensor) else first


def _require_model(name: str, model: str | None, trained: EncoderConfig) -> None:
    """Refuse weights of another net than is asked for."""
    if model not in (None, trained.model):
        raise ValueError(
            f'{name} holds a {trained.model}, but model={model} is asked for; leave model out'
        )


def _set_groups(
    config: EncoderConfig, groups: Groups | None, texture: bool | Sequence[str] | None
) -> tuple[EncoderConfig, list[SkippedGroup]]:
    """Set the groups that its bands form."""
    elsewhere = _elsewhere(groups, config.sensor)
    reason = f'{known_sensor(config.sensor).name} has no such group'
    if elsewhere and groups is not None:
        if len(elsewhere) == len(groups):
            raise ValueError(
                f'no group can be formed of {", ".join(elsewhere)}, for {reason}; name groups of '
                f'{known_sensor(config.sensor).name}: '
                f'{", ".join(known_sensor(config.sensor).groups)}'
            )
        groups = [name for name in groups if name not in elsewhere]
    formed, skipped = available_groups(config.bands, groups, config.sensor)
    texture = True if texture is None else texture
    if not isinstance(texture, bool):
        texture = [name for name in texture if name not in elsewhere]
    # Refuses textures of unknown groups.
    textured = GroupInputs(config.bands, groups, config.sensor, texture).textured
    named = {name: list(of) for name, of in formed}
    skipped = [*skipped, *(SkippedGroup(name, reason) for name in elsewhere)]
    return replace(config, groups=named, texture=textured), skipped


def _elsewhere(groups: Groups | None, sensor: str) -> list[str]:
    """Groups asked for by a name that other sensors have, but this one has not."""
    if groups is None or isinstance(groups, str | Mapping):
        return []
    published = {name for other in SENSORS.values() for name in other.groups}
    return [n for n in groups if n in published and n not in known_sensor(sensor).groups]


def _published_config(
    weights: WeightsEnum,
    model: str | None,
    config: EncoderConfig,
    groups: Groups | None,
    texture: bool | Sequence[str] | None,
    circle: dict[str, Any],
) -> LoadedEncoder:
    """Encoder with weights of TorchGeo."""
    config = replace(config, model=model or weights.meta.get('model') or config.model)
    inputs = weights.meta.get('bands') or known_sensor('rgb').bands
    if groups is None and not texture:
        scaling = weight_scaling(weights)
        config = replace(
            config,
            input_bands=list(inputs),
            scaling=None if scaling is None else scaling.arguments(),
        )
        encoder = config.encoder(weights)
        return LoadedEncoder(encoder, config, False, [], [] if scaling else encoder.inputs.names)
    if weights.meta.get('in_chans') != 3:
        raise ValueError(
            f'{weights} takes {weights.meta.get("in_chans")} bands, not groups of three; leave out '
            'groups and texture'
        )
    groups = {'bands': list(inputs)} if groups is None else groups
    config, skipped = _set_groups(replace(config, **circle), groups, texture or False)
    encoder = config.encoder(weights)
    return LoadedEncoder(encoder, config, False, skipped, encoder.inputs.names)


def _trained_config(content: Mapping[str, Any], prefix: str = '') -> EncoderConfig | None:
    """Read the configuration of an encoder of ours; None if the checkpoint is another's.

    Names of the arguments of a second encoder begin with a prefix.
    """
    if content.get(f'{prefix}encoder'):
        return EncoderConfig.from_dict(content[f'{prefix}encoder'])
    arguments = dict(content.get('hyper_parameters', {}))
    if arguments.get(f'{prefix}encoder'):
        # Of published weights, see write_encoders.
        return EncoderConfig.from_dict(arguments[f'{prefix}encoder'])
    if prefix:
        own = {
            name.removeprefix(prefix): v for name, v in arguments.items() if name.startswith(prefix)
        }
        arguments = (arguments | own) if own else {}
    if not {'model', 'groups', 'texture', 'sensor', 'bands'} <= arguments.keys():
        return None
    if arguments['bands'] is None:
        raise CheckpointError('the checkpoint was written before its bands were known; train first')
    config = EncoderConfig(
        arguments['model'],
        list(arguments['bands']),
        arguments['sensor'] or 'sentinel2_l1c',
        texture_points=arguments['texture_points'],
        texture_radius=arguments['texture_radius'],
        texture_histograms=arguments.get('texture_histograms', False),
    )
    input_bands = arguments.get('input_bands', arguments.get('inputs'))
    if input_bands is not None:
        return replace(config, input_bands=list(input_bands))
    return _set_groups(config, arguments['groups'], arguments['texture'])[0]


def _adapt_config(
    path: str,
    content: Mapping[str, Any],
    trained: EncoderConfig,
    config: EncoderConfig,
    groups: Groups | None,
    texture: bool | Sequence[str] | None,
    circle: dict[str, Any],
    prefix: str = '',
) -> LoadedEncoder:
    """Encoder of a checkpoint of ours, for the bands at hand."""
    if trained.groups is None:
        if groups is not None or texture:
            raise ValueError(f'{path} takes bands, not groups; leave out groups and texture')
        config = replace(
            trained,
            bands=config.bands,
            sensor=config.sensor,
            input_bands=_bands_of_sensor(path, trained, config),
        )
        skipped: list[SkippedGroup] = []
    else:
        matched, skipped = _match_groups(path, trained, config, groups)
        textured = _textures(path, trained, texture)
        config = replace(
            trained,
            bands=config.bands,
            sensor=config.sensor,
            groups=matched,
            texture=[name for name in textured if name in matched],
        )
        differ = {name: value for name, value in circle.items() if getattr(trained, name) != value}
        if differ:
            raise ValueError(f'{path} was trained on other textures than {differ}; leave them out')
    encoder = config.encoder()
    downstream = 'encoder' in content
    above = f'model.{prefix}encoder.' if downstream else prefix
    backbone = f'{above}backbone.' if downstream or prefix else 'model.'
    load_exactly(encoder.backbone, part(content['state_dict'], backbone), config.model, path)
    # Checkpoints before version 0.1.0 call the inputs images.
    statistics = part(content['state_dict'], f'{above}inputs.standardize.') or part(
        content['state_dict'], f'{above}images.standardize.'
    )
    unfitted = _load_statistics(encoder.inputs, statistics, trained, config)
    if encoder.texture is not None:
        # All groups share it.
        encoder.texture.load_state_dict(part(content['state_dict'], f'{above}texture.'))
    return LoadedEncoder(encoder, config, False, skipped, unfitted, trained)


def _share_bands(sensor: str, other: str) -> bool:
    """Whether names of bands mean the same of two sensors."""
    # Sensors that share a table share the meaning of band names.
    return sensor == other or known_sensor(sensor).groups == known_sensor(other).groups != {}


def _bands_of_sensor(path: str, trained: EncoderConfig, config: EncoderConfig) -> list[str] | None:
    """Bands at hand that a backbone trained on bands of another sensor takes in their place."""
    wanted = trained.input_bands
    if wanted is None or _share_bands(trained.sensor, config.sensor):
        return wanted
    found = nearest_bands(wanted, trained.sensor, config.bands, config.sensor)
    matched = [found.get(band) for band in wanted]
    if None in matched or len(set(matched)) < len(matched):
        raise ValueError(
            f'{path} takes the bands {", ".join(wanted)} of {known_sensor(trained.sensor).name}, '
            f'of which {len(set(matched) - {None})} have one of their own among '
            f'{", ".join(config.bands)} of {known_sensor(config.sensor).name} by wavelength; train '
            'on bands that both have, or on groups'
        )
    return [band for band in matched if band]


def _match_groups(
    path: str, trained: EncoderConfig, config: EncoderConfig, groups: Groups | None
) -> tuple[dict[str, list[str]], list[SkippedGroup]]:
    """Groups the encoder was trained on that the bands at hand form, and the others."""
    known = trained.groups or {}
    if isinstance(groups, Mapping):
        raise ValueError(f'{path} brings its groups; list names of them: {", ".join(known)}')
    unknown = [name for name in groups or () if name not in known]
    if unknown:
        raise ValueError(
            f'{path} was not trained on {", ".join(unknown)}; its groups are {", ".join(known)}'
        )
    matched: dict[str, list[str]] = {}
    skipped: list[SkippedGroup] = []
    for name in known if groups is None else groups:
        bands = _bands_here(name, trained, config)
        if bands:
            matched[name] = bands
        else:
            skipped.append(SkippedGroup(name, f'the images lack some of {", ".join(known[name])}'))
    if not matched:
        raise ValueError(
            f'{path} was trained on {", ".join(known)}, and the bands '
            f'{", ".join(config.bands)} form none of these groups; read more bands'
        )
    return matched, skipped


def _bands_here(name: str, trained: EncoderConfig, config: EncoderConfig) -> list[str] | None:
    """Bands of a trained group in the images at hand, or of their sensor's group of that name."""
    bands = list((trained.groups or {})[name])
    if _share_bands(trained.sensor, config.sensor) and set(bands) <= set(config.bands):
        return bands
    # Of other bands, a group is only called like a published one.
    if _published_bands(name, trained) != bands:
        return _nearest_group(bands, trained.sensor, config)
    return _published_bands(name, config)


def _published_bands(name: str, config: EncoderConfig) -> list[str] | None:
    """Bands at hand of the published group of a name, or None."""
    if name not in known_sensor(config.sensor).groups:
        return None
    try:
        (formed,), _ = available_groups(config.bands, [name], config.sensor)
    except ValueError:
        return None
    return list(formed.bands)


def _nearest_group(
    trained: Sequence[str], trained_sensor: str, config: EncoderConfig
) -> list[str] | None:
    """Three bands at hand that are nearest to those of a group by wavelength, or None."""
    if _share_bands(trained_sensor, config.sensor):
        return None
    try:
        found = nearest_bands(trained, trained_sensor, config.bands, config.sensor)
    except ValueError:
        # The wavelengths of one of the sensors are not known.
        return None
    matched = [found[band] for band in trained if band in found]
    return matched if len(set(matched)) == len(trained) else None


def _textures(
    path: str, trained: EncoderConfig, texture: bool | Sequence[str] | None
) -> Sequence[str]:
    """Names of groups with a texture that were trained, and are asked for."""
    known = trained.texture or []
    if texture is None or texture is True:
        return known
    unknown = [name for name in texture or () if name not in known]
    if unknown:
        raise ValueError(
            f'{path} was not trained on textures of {", ".join(unknown)}; it knows those of '
            f'{", ".join(known) or "no group"}'
        )
    return texture or []


def _load_statistics(
    images: GroupInputs | BandInputs,
    statistics: dict[str, Tensor],
    trained: EncoderConfig,
    config: EncoderConfig,
) -> list[str]:
    """Take over the statistics of groups of the same bands; names of the others."""
    if not isinstance(images.standardize, nn.BatchNorm2d):
        return []
    if not statistics:
        return list(images.names)
    if not isinstance(images, GroupInputs):
        images.standardize.load_state_dict(statistics, strict=False)
        return []
    known, here = trained.groups or {}, config.groups or {}
    names = [*known, *(f'{name}_texture' for name in trained.texture or ())]
    unfitted = []
    for position, name in enumerate(images.names):
        group = name.removesuffix('_texture')
        if known[group] != here[group]:
            unfitted.append(name)
            continue
        theirs, ours = (slice(3 * i, 3 * i + 3) for i in (names.index(name), position))
        for buffer in ('running_mean', 'running_var'):
            getattr(images.standardize, buffer)[ours] = statistics[buffer][theirs]
    return unfitted
