# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scores that ``torchgeo-saco evaluate`` has measured of weights."""

import csv
import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from ...io.files import file_sha256


class Score(NamedTuple):
    """A score of an encoder on a benchmark."""

    #: Name of the benchmark.
    benchmark: str

    #: Name of the score, a fraction or a count.
    metric: str

    #: Mean over the seeds, and how many there are.
    mean: float
    seeds: int

    #: Sample standard deviation over them, None of one.
    deviation: float | None


def measured_scores(results: str, weights: str, encoder: str | None = None) -> list[Score]:
    """Read the scores of weights from the table of an evaluation.

    Args:
        results: ``results.csv`` where ``torchgeo-saco evaluate`` wrote it, beside ``run.json``,
            which says which weights were measured.
        weights: Checkpoint or name of the weights.
        encoder: Name of the encoder in the table, or None for the only one of these weights.

    Returns:
        The scores, in the order of the table.

    Raises:
        ValueError: If a file is missing or damaged, or nothing in it was measured of these weights.
    """
    path = Path(results)
    record = path.with_name('run.json')
    try:
        with open(path, newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        settings = json.loads(record.read_text(encoding='utf-8'))['settings']
        encoders: dict[str, Any] = settings['encoders']
        values: dict[tuple[str, str, str], list[float]] = {}
        for row in rows:
            key = row['encoder'], row['benchmark'], row['metric']
            if row['value']:
                values.setdefault(key, []).append(float(row['value']))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} and {record.name} beside it cannot be read as results of an evaluation '
            f'({type(error).__name__}: {error}); give results.csv in the folder where '
            'torchgeo-saco evaluate wrote it'
        ) from error
    same = [name for name, spec in encoders.items() if _uses(spec, weights)]
    if encoder is not None and encoder not in encoders:
        raise ValueError(
            f'{path} has no encoder {encoder!r}; its encoders are {", ".join(encoders)}'
        )
    chosen = same if encoder is None else [name for name in same if name == encoder]
    if not chosen:
        raise ValueError(
            f'{path} was not measured with {weights}'
            + (f' as encoder {encoder!r}' if encoder else '')
            + '; evaluate these weights, or leave out results'
        )
    if len(chosen) > 1:
        raise ValueError(
            f'{path} has several encoders of {weights}; set encoder to one of {", ".join(chosen)}'
        )
    return [
        Score(
            benchmark,
            metric,
            statistics.fmean(numbers),
            len(numbers),
            statistics.stdev(numbers) if len(numbers) > 1 else None,
        )
        for (name, benchmark, metric), numbers in values.items()
        if name == chosen[0]
    ]


def _uses(specification: Any, weights: str) -> bool:
    """Whether weights, by name or by content, are those of an encoder of an evaluation."""
    if isinstance(specification, dict):
        return any(
            _same(value, weights) if key == 'weights' else _uses(value, weights)
            for key, value in specification.items()
        )
    if isinstance(specification, list):
        return any(_uses(value, weights) for value in specification)
    return False


def _same(value: Any, weights: str) -> bool:
    """Whether two weights are the same name, or files of the same content."""
    if not isinstance(value, str):
        return False
    return value == weights or (
        Path(value).is_file()
        and Path(weights).is_file()
        and file_sha256(value) == file_sha256(weights)
    )
