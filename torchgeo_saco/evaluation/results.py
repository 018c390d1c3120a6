# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Results of single runs, on disk."""

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..io.files import write_file


@dataclass(frozen=True)
class PanelSample:
    """A test sample, and what the task made of it."""

    #: Images by title, (3, H, W).
    images: Mapping[str, np.ndarray]

    #: Truth: () or (L,) or (H, W).
    target: np.ndarray

    #: Prediction, in the form of the target.
    prediction: np.ndarray


@dataclass(frozen=True)
class Result:
    """Result of a run."""

    #: Scores by name; NaN where a class is absent.
    metrics: Mapping[str, float]

    #: Wall-clock time of training and all tests.
    seconds: float

    #: Class names.
    classes: tuple[str, ...]

    #: Colour of each class, or None.
    colors: list[Any] | None

    #: Counts, (C, C), rows target, or None.
    confusion: np.ndarray | None

    #: Samples to draw.
    panels: list[PanelSample]

    #: Versions, machine and commit that the run had.
    environment: Mapping[str, str]

    #: Scores of each test image by name, (N), for intervals; empty without features.
    image_scores: Mapping[str, np.ndarray] = field(default_factory=dict)

    #: Number of the location of each test image, (N), or None.
    locations: np.ndarray | None = None

    def save(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Write the result; it exists once its JSON does.

        Args:
            folder: Folder of the run.
            identity: What the run is, for people who look.
        """
        arrays = {} if self.confusion is None else {'confusion': self.confusion}
        if self.locations is not None:
            arrays['locations'] = self.locations
        for name, scores in self.image_scores.items():
            arrays[f'of_images_{name}'] = scores
        for number, panel in enumerate(self.panels):
            arrays[f'truth_{number}'] = panel.target
            arrays[f'prediction_{number}'] = panel.prediction
            for position, image in enumerate(panel.images.values()):
                arrays[f'image_{number}_{position}'] = image
        record = {
            **identity,
            'seconds': self.seconds,
            # JSON has no NaN.
            'metrics': {
                name: None if math.isnan(value) else value for name, value in self.metrics.items()
            },
            'classes': self.classes,
            'colors': self.colors,
            'panels': [list(panel.images) for panel in self.panels],
            'environment': dict(self.environment),
        }
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        write_file(folder / 'arrays.npz', packed.getvalue())
        write_file(folder / 'result.json', (json.dumps(record, indent=2) + '\n').encode())

    @classmethod
    def load(cls, folder: Path) -> 'Result | None':
        """The result in a folder, or None where there is none.

        Args:
            folder: Folder of the run.

        Returns:
            The result.

        Raises:
            ValueError: If its files are damaged.
        """
        if not (folder / 'result.json').is_file():
            return None
        try:
            record = json.loads((folder / 'result.json').read_text(encoding='utf-8'))
            # NumPy leaves a damaged file open that it opened itself.
            with open(folder / 'arrays.npz', 'rb') as file, np.load(file) as arrays:
                panels = [
                    PanelSample(
                        {
                            title: arrays[f'image_{number}_{position}']
                            for position, title in enumerate(titles)
                        },
                        arrays[f'truth_{number}'],
                        arrays[f'prediction_{number}'],
                    )
                    for number, titles in enumerate(record['panels'])
                ]
                confusion = arrays.get('confusion')
                locations = arrays.get('locations')
                image_scores = {
                    name.removeprefix('of_images_'): arrays[name]
                    for name in arrays
                    if name.startswith('of_images_')
                }
            metrics = {
                name: math.nan if value is None else float(value)
                for name, value in record['metrics'].items()
            }
            return cls(
                metrics,
                float(record['seconds']),
                tuple(record['classes']),
                record['colors'],
                confusion,
                panels,
                record['environment'],
                image_scores,
                locations,
            )
        except Exception as error:
            raise ValueError(
                f'the result in {folder} is damaged ({error}); remove the folder to run the '
                'run again'
            ) from error
