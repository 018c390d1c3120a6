# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco pixel-changes``."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from ..archives.rasters import SceneReader, open_scene
from ..bands import known_sensor, natural_color
from ..embeddings.encoding import NamedWeights
from ..embeddings.provenance import weights_hash
from ..io.lock import exclusive
from ..plots import write_figure
from ..runtime.device import known_device
from .figures import plot_pixel_change
from .pixel_map import PixelMapReport, SceneSeries, ThresholdMethod, write_pixel_map
from .pixels import BandChannels, Channels, FeatureChannels, FeatureGroups, Method, PixelChange


def pixel_changes(
    images: list[str],
    output: str,
    method: Method = 'mad',
    weights: str | None = None,
    levels: list[int] | None = None,
    groups: FeatureGroups = 'each',
    window: int = 3,
    threshold: ThresholdMethod = 'otsu',
    figure: bool = True,
    bands: list[str] | None = None,
    sensor: str | list[str] | None = None,
    unit: float | None = None,
    offset: float | None = None,
    device: str = 'auto',
    progress: bool = True,
) -> None:
    r"""Say which pixels have changed between images of one scene, without labels.

    Writes the magnitude of change as a cloud-optimized GeoTIFF, of float32 with NaN where a date
    has no data; a mask of the pixels above a threshold beside it, ending in _mask.tif (1 changed,
    0 unchanged, 255 no data); and a figure of both, ending in .png. The bands are compared, or with
    weights the feature maps of an encoder. Clouds and snow are changes as others; mask them before.

    For example:

      torchgeo-saco pixel-changes --images '[2019-06-12.tif, 2021-06-21.tif]' --output change.tif

      torchgeo-saco pixel-changes --images '[1990.tif, 2001.tif]' --output change.tif \
          --sensor landsat_4_7 --bands '[B1, B2, B3, B4, B5, B7]' \
          --weights logs/saco/version_0/checkpoints/last.ckpt

    Args:
        images: Scenes of two or more dates in their order, each a SAFE folder, a GeoTIFF of several
            bands, a folder of one file a band, or the name of one of several Landsat scenes in a
            folder. They lie on one grid; what all of them cover is compared. Of more than two
            dates, the largest magnitude of consecutive dates is written.
        output: File to write, ending in .tif.
        method: cva for change vectors, each band standardized by date; mad for multivariate
            alteration detection, which ignores what changes bands linearly over the whole scene,
            such as light and season; irmad for its iteratively reweighted form, which takes its
            statistics from what has not changed.
        weights: Checkpoint, name of a TorchGeo weight, or random, to compare feature maps of an
            encoder; none to compare the bands. Bands of another sensor than that of training stand
            in for its bands by wavelength.
        levels: Feature maps to compare, 0 for the finest, as of [0, 1]; by default the finest.
        groups: each to compare the features of each group of bands, or mean for their mean.
        window: Side in pixels of the window over which magnitudes are averaged, odd; 1 for none.
        threshold: otsu; mixture, where the upper of two Gaussians becomes the likelier one; or none
            for no mask.
        figure: Whether to write the figure.
        bands: Bands to read, or names of the bands of a file in their order.
        sensor: Sensor, if names of files do not tell; of images of several sensors one for each.
        unit: Digital number of reflectance 1; by file and type as default.
        offset: Added to stored numbers before that.
        device: cpu, cuda, or auto, of the encoder.
        progress: Whether to show a progress bar.

    Raises:
        ValueError: If an argument is out of range, or the images do not fit together.
        OSError: If a file cannot be read or written.
    """
    path = Path(output).expanduser().absolute()
    mask = path.with_name(f'{path.stem}_mask.tif')
    picture = path.with_suffix('.png')
    if path.suffix.lower() not in ('.tif', '.tiff'):
        raise ValueError(f'{path} must end in .tif')
    _require_new(path, *([mask] if threshold != 'none' else []), *([picture] if figure else []))
    if weights is None and (levels is not None or groups != 'each'):
        raise ValueError('levels and groups are of feature maps; give weights, or leave them out')
    sensors = [sensor] * len(images) if sensor is None or isinstance(sensor, str) else sensor
    if len(sensors) != len(images):
        raise ValueError(
            f'sensor names {len(sensors)} sensors of {len(images)} images; name one for all, or '
            'one for each'
        )
    say = Console(soft_wrap=True, highlight=False).print
    console = Console(stderr=True) if progress else None
    lock = path.with_name(f'.{path.name}.lock')
    with (
        exclusive(lock, f'another run writes {path}; wait for it, or name another output'),
        ExitStack() as stack,
    ):
        try:
            scenes = [
                stack.enter_context(open_scene(image, bands, own, unit, offset))
                for image, own in zip(images, sensors, strict=True)
            ]
            _require_order(scenes)
            series = SceneSeries(scenes)
            channels, lines, more = _channels(series, weights, levels or [0], groups, device)
            change = PixelChange(channels, method, window)
            for line in [_scene_text(series), *_matches(series), *lines]:
                say(line)
            shown = natural_color(series.bands, known_sensor(series.sensor))
            provenance = {
                'images': [scene.path for scene in scenes],
                'dates': [_day(scene) for scene in scenes],
                'sensors': [scene.sensor for scene in scenes],
                'bands': list(series.bands),
                'method': method,
                'window': window,
            } | more
            report = write_pixel_map(
                series,
                change,
                path,
                None if threshold == 'none' else mask,
                threshold,
                shown or [0],
                provenance,
                console,
            )
            if figure:
                titles = [_day(scene) or f'date {i}' for i, scene in enumerate(scenes, 1)]
                drawn = plot_pixel_change(
                    report.preview.images, report.preview.magnitude, titles, report.threshold
                )
                write_figure(drawn, picture)
        finally:
            lock.unlink()
    for line in [*change.report(), *_report(report, output, mask, threshold)]:
        say(line)


def _require_new(*paths: Path) -> None:
    """Refuse files that are there, or could not be written in the end."""
    for path in paths:
        if path.exists():
            raise FileExistsError(f'{path} exists; name another output or remove it')
    folder = paths[0].parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f'{paths[0]} cannot be written; make the folder {folder} first')


def _require_order(scenes: Sequence[SceneReader]) -> None:
    """Refuse images that are not in order of their dates, where these are known."""
    for first, second in pairwise(scenes):
        if first.date is not None and second.date is not None and first.date > second.date:
            raise ValueError(
                f'{first.path} of {first.date} stands before {second.path} of {second.date}; give '
                'images in order of their dates'
            )


def _channels(
    series: SceneSeries,
    weights: str | None,
    levels: Sequence[int],
    groups: FeatureGroups,
    device: str,
) -> tuple[Channels, list[str], dict[str, object]]:
    """What is compared, what to say of it, and what files say of it."""
    if weights is None:
        return BandChannels(), [], {'weights': None}
    named = NamedWeights.parse(weights)
    series.select(named.needed_bands(series.bands, series.sensor))
    loaded = named.load(series.bands, series.sensor)
    encoder = loaded.encoder.to(known_device(device))
    channels = FeatureChannels(encoder, levels, groups, loaded.random)
    said = (
        f'features of {named.text}, level {", ".join(map(str, channels.levels))} '
        f'(a feature of {", ".join(map(str, channels.ratios))} px); groups: '
        f'{", ".join(encoder.inputs.names)}'
    )
    texts = [said, *loaded.substitutions()]
    if encoder.texture is not None:
        names = ', '.join(encoder.texture.names)
        texts.append(f'skipped: {names}, since histograms of codes give no maps')
    texts += [f'skipped: group {group.name}, since {group.reason}' for group in loaded.skipped]
    return (
        channels,
        texts,
        {
            'weights': named.text,
            'weights_hash': weights_hash(named.name, encoder.backbone),
            'levels': channels.levels,
            'groups': encoder.inputs.names,
            'compared': groups,
        },
    )


def _scene_text(series: SceneSeries) -> str:
    """Say what is compared, and on which ground."""
    named = [
        f'{scene.path} ({_day(scene) or "without date"}, {known_sensor(scene.sensor).name})'
        for scene in series.scenes
    ]
    side = series.scenes[0].metres_per_pixel
    ground = 'not georeferenced' if side is None else f'{side:.4g} m a pixel'
    return (
        f'{", ".join(named)}: {series.shape[1]} x {series.shape[0]} px in common, {ground}, bands '
        f'{", ".join(series.bands)}'
    )


def _matches(series: SceneSeries) -> list[str]:
    """Say which bands of other sensors stand in for ours."""
    name = known_sensor(series.sensor).name
    return [
        f'{series.scenes[number].path}: of {known_sensor(series.scenes[number].sensor).name} '
        + ', '.join(f'{matched[band]} for {band}' for band in series.bands)
        + f' of {name}, by wavelength'
        for number, matched in series.matched.items()
    ]


def _report(
    report: PixelMapReport, output: str, mask: Path, threshold: ThresholdMethod
) -> list[str]:
    """Say what was written and how much has changed."""
    height, width = report.shape
    lines = [f'{output}: magnitude of {width} x {height} px']
    missing = height * width - report.valid
    if missing:
        lines[0] += f', {missing / (height * width):.1%} without data on a date'
    if report.threshold is not None:
        lines.append(
            f'{mask.name}: {report.changed / report.valid:.2%} of {report.valid} pixels changed, '
            f'with a magnitude above {report.threshold:.4g} ({threshold})'
        )
    elif threshold != 'none':
        lines.append(
            f'no mask: {threshold} finds no threshold, since magnitudes are all of one kind'
        )
    return lines


def _day(scene: SceneReader) -> str | None:
    """Date of a scene as text."""
    return None if scene.date is None else scene.date.isoformat()
