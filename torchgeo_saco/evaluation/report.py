# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables and figures of all runs."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.table import Table

from ..io.files import write_file
from ..plots import (
    PredictionRow,
    plot_confusion,
    plot_curves,
    plot_differences,
    plot_predictions,
    write_figure,
)
from .environment import environment
from .intervals import Interval, paired_interval
from .plan import Run
from .results import Result
from .settings import Settings

_COLUMNS = ('encoder', 'benchmark', 'seed', 'metric', 'value', 'seconds', 'key')

# Scores from 0 to 1; losses and strengths are none.
_SHARES = re.compile('Accuracy|Precision|Recall|F1Score|JaccardIndex|_auc')


class Report:
    """Runs with their results, and what is written of them."""

    def __init__(self, settings: Settings, results: Sequence[tuple[Run, Result]]) -> None:
        """Initialize a new Report instance.

        Args:
            settings: What was evaluated.
            results: Runs and their results, in the order of the plan.
        """
        self.settings = settings
        self.results = results

    def write(self) -> list[Path]:
        """Write ``results.csv``, ``results.md``, ``run.json`` and all figures.

        Returns:
            The files.
        """
        folder = Path(self.settings.output)
        texts = {'results.csv': self.csv(), 'results.md': self.markdown(), 'run.json': self.json()}
        for name, text in texts.items():
            write_file(folder / name, text.encode())
        paths = [folder / name for name in texts]
        for name, figure in self.figures():
            paths.append(folder / f'{name}.png')
            write_figure(figure, paths[-1], 130)
        return paths

    def csv(self) -> str:
        """All scores, one a line; a score that a run does not have is empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        writer.writerow(_COLUMNS)
        for run, result in self.results:
            for name, value in result.metrics.items():
                number = '' if math.isnan(value) else repr(value)
                seconds = f'{result.seconds:.1f}'
                line = (run.encoder, run.benchmark, run.seed, name, number, seconds, run.key)
                writer.writerow(line)
        return text.getvalue()

    def markdown(self) -> str:
        """Mean and spread over seeds: one table of all benchmarks, and one for each."""
        lines = ['# Evaluation', '', self._header(), '']
        names = list(self.settings.benchmarks)
        if len(names) > 1:
            heads = [f'{self.title(name)}<br>{_words(self.columns(name)[0])}' for name in names]
            lines += ['## All benchmarks', '', *_table_head(['encoder', *heads])]
            lines += [_table_row(row) for row in self._overview()]
            lines.append('')
        for name in names:
            heads = ['encoder', *(_words(column) for column in self.columns(name))]
            lines += [f'## {self.title(name)}', '', *_table_head([*heads, 'seconds', 'seeds'])]
            lines += [_table_row(row) for row in self._rows(name)]
            lines += self._difference_table(name)
            lines += ['', *(line for text in self._note_uneven_counts(name) for line in (text, ''))]
        return '\n'.join(lines)

    def table(self) -> Table:
        """First column of every benchmark, or all of a single one, for a terminal."""
        title = 'mean ± standard deviation over seeds, in per cent'
        made_up = [name for name in self.settings.benchmarks if self.title(name) != name]
        notes = [f'synthetic samples: {", ".join(made_up)}'] if made_up else []
        names = list(self.settings.benchmarks)
        notes += [f'{name}: {text}' for name in names for text in self._note_uneven_counts(name)]
        table = Table(title=title, caption='\n'.join(notes) or None, min_width=len(title))
        table.add_column('encoder', overflow='fold')
        if len(names) == 1:
            heads = [*map(_words, self.columns(names[0])), 'seconds', 'seeds']
            heads, rows = [head.replace(' ', '\n') for head in heads], self._rows(names[0])
        else:
            heads = [f'{name}\n{_words(self.columns(name)[0])}' for name in names]
            rows = self._overview()
        for head in heads:
            table.add_column(head, justify='right', overflow='fold')
        for row in rows:
            table.add_row(*row)
        return table

    def json(self) -> str:
        """Settings, versions and machine of this run."""
        record = {**environment(), 'settings': asdict(self.settings)}
        return json.dumps(record, indent=2, default=str) + '\n'

    def figures(self) -> Iterable[tuple[str, Figure]]:
        """Names and figures.

        A curve; differences to the reference and confusion matrices, over seeds; panels of the
        first seed.
        """
        if self.settings.curve is not None:
            yield 'curve', self._curve(self.settings.curve)
        for benchmark in self.settings.benchmarks:
            figure = self._difference_figure(benchmark)
            if figure is not None:
                yield _file_name('differences', benchmark), figure
            for encoder in self.settings.encoders:
                figure = self._confusion(benchmark, encoder)
                if figure is not None:
                    yield _file_name('confusion', benchmark, encoder), figure
            figure = self._panels(benchmark)
            if figure is not None:
                yield _file_name('panels', benchmark), figure

    def columns(self, benchmark: str) -> list[str]:
        """Scores that the table of a benchmark shows: those asked for, or all overall ones."""
        run, result = next(pair for pair in self.results if pair[0].benchmark == benchmark)
        if run.metrics:
            return list(run.metrics)
        classwise = tuple(f'_{label}' for label in result.classes)
        shares = [name for name in result.metrics if _SHARES.search(name)]
        return [name for name in shares if not name.endswith(classwise)] or list(result.metrics)

    def summary(self, encoder: str, benchmark: str, metric: str) -> str:
        """Mean and sample standard deviation over seeds, shares in per cent; '-' for none."""
        results = (result for _, result in self._of(benchmark, encoder))
        values = [result.metrics.get(metric, math.nan) for result in results]
        values = [value for value in values if not math.isnan(value)]
        if not values:
            return '-'
        digits = '.1f' if _SHARES.search(metric) else '.3g'
        scale = 100 if _SHARES.search(metric) else 1
        center = f'{scale * mean(values):{digits}}'
        return center if len(values) < 2 else f'{center} ± {scale * stdev(values):{digits}}'

    def title(self, benchmark: str) -> str:
        """Name of a benchmark, and whether its data are made up."""
        synthetic = any(run.synthetic for run, _ in self.results if run.benchmark == benchmark)
        return f'{benchmark} (synthetic sample)' if synthetic else benchmark

    def _overview(self) -> Iterable[list[str]]:
        """Every encoder, and its first score on every benchmark."""
        for encoder in self.settings.encoders:
            scores = [
                self.summary(encoder, name, self.columns(name)[0])
                for name in self.settings.benchmarks
            ]
            yield [encoder, *scores]

    def _rows(self, benchmark: str) -> Iterable[list[str]]:
        """Every encoder with all its columns, the mean time of a run, and the number of seeds."""
        for encoder in self.settings.encoders:
            scores = [self.summary(encoder, benchmark, name) for name in self.columns(benchmark)]
            times = [result.seconds for _, result in self._of(benchmark, encoder)]
            yield [encoder, *scores, f'{mean(times):.0f}', str(len(times))]

    def _differences(self, benchmark: str) -> dict[str, dict[str, Interval | None]]:
        """By score and encoder, its paired difference to the reference; nothing without one.

        None stands where the images are not the same.
        """
        reference = self.settings.reference
        if reference is None:
            return {}
        base = [result for _, result in self._of(benchmark, reference)]
        others = {
            encoder: [result for _, result in self._of(benchmark, encoder)]
            for encoder in self.settings.encoders
            if encoder != reference
        }
        return {
            name: {encoder: _interval(results, base, name) for encoder, results in others.items()}
            for name in self.columns(benchmark)
            if name in base[0].image_scores
        }

    def _difference_table(self, benchmark: str) -> list[str]:
        """Table of the paired differences to the reference, or nothing without one."""
        found = self._differences(benchmark)
        if not found:
            return []
        heads = [f'{_words(name)} - {self.settings.reference}' for name in found]
        lines = ['', *_table_head(['encoder', *heads])]
        for encoder in next(iter(found.values())):
            lines.append(_table_row([encoder, *(_signed(found[name][encoder]) for name in found)]))
        return [
            *lines,
            '',
            (
                'Paired differences in percentage points, with 95 % intervals over seeds and '
                'locations (of one seed, over locations alone); † where the interval holds 0.'
            ),
        ]

    def _difference_figure(self, benchmark: str) -> Figure | None:
        """The same as a figure."""
        found = self._differences(benchmark)
        known = {
            _words(name): {encoder: each for encoder, each in values.items() if each is not None}
            for name, values in found.items()
        }
        if not any(known.values()):
            return None
        count = len(self.settings.seeds)
        title = f'{self.title(benchmark)} · {count} seed{"s" if count > 1 else ""}'
        return plot_differences(known, str(self.settings.reference), title)

    def _note_uneven_counts(self, benchmark: str) -> list[str]:
        """A sentence if encoders were not judged on equally many images, else nothing."""
        counts: dict[str, list[str]] = {}
        for encoder in self.settings.encoders:
            metrics = self._of(benchmark, encoder)[0][1].metrics
            if 'images_test' in metrics:
                images = f'{metrics["images_train"]:.0f} and {metrics["images_test"]:.0f}'
                counts.setdefault(images, []).append(encoder)
        if len(counts) < 2:
            return []
        parts = [f'{images} ({", ".join(names)})' for images, names in counts.items()]
        text = 'Not comparable, for the probes learned from and were judged on different numbers of'
        return [f'{text} images: {"; ".join(parts)}.']

    def _of(self, benchmark: str, encoder: str) -> list[tuple[Run, Result]]:
        """Runs of one entry of the table."""
        return [
            (run, result)
            for run, result in self.results
            if (run.benchmark, run.encoder) == (benchmark, encoder)
        ]

    def _header(self) -> str:
        """Describe how and on which machine the numbers were measured."""
        environments = [result.environment for _, result in self.results]
        # Runs of earlier runs may come from elsewhere.
        used = {
            name: ' or '.join(dict.fromkeys(each[name] for each in environments if name in each))
            for name in dict.fromkeys(name for each in environments for name in each)
        }
        machine = used.pop('machine', '')
        spread = 'Mean ± sample standard deviation over seeds, in per cent.'
        if any(run.synthetic for run, _ in self.results):
            spread += ' Synthetic samples are generated; their numbers say nothing of real data.'
        versions = ', '.join(f'{name} {number}' for name, number in used.items())
        return f'{spread}\n\nMeasured on {machine}, with {versions}.'

    def _curve(self, curve: Mapping[str, Any]) -> Figure:
        """First column of every benchmark of a curve, with all seeds of all encoders."""
        at: Mapping[str, float] = curve['at']
        metric = self.columns(next(iter(at)))[0]
        lines = {
            encoder: {
                number: [
                    result.metrics.get(self.columns(name)[0], math.nan)
                    for _, result in self._of(name, encoder)
                ]
                for name, number in at.items()
            }
            for encoder in self.settings.encoders
        }
        count = len(self.settings.seeds)
        spread = f' · {count} seeds' if count > 1 else ''
        synthetic = any(run.synthetic for run, _ in self.results if run.benchmark in at)
        title = f'{"synthetic sample" if synthetic else ""}{spread}'.strip(' ·')
        return plot_curves(lines, str(curve.get('label', '')), _words(metric), title)

    def _confusion(self, benchmark: str, encoder: str) -> Figure | None:
        """Confusion matrix over all seeds."""
        results = [result for _, result in self._of(benchmark, encoder)]
        matrices = [result.confusion for result in results if result.confusion is not None]
        if not matrices:
            return None
        seeds = f'{len(matrices)} seed{"s" if len(matrices) > 1 else ""}'
        title = f'{self.title(benchmark)} · {encoder} · {seeds}'
        return plot_confusion(torch.from_numpy(np.sum(matrices, 0)), results[0].classes, title)

    def _panels(self, benchmark: str) -> Figure | None:
        """Samples with the predictions of all encoders, of the first seed."""
        seed = self.settings.seeds[0]
        chosen = {
            run.encoder: result
            for run, result in self.results
            if (run.benchmark, run.seed) == (benchmark, seed)
        }
        first = next(iter(chosen.values()))
        rows = [
            PredictionRow(
                {title: torch.from_numpy(image) for title, image in panel.images.items()},
                torch.from_numpy(panel.target),
                {
                    encoder: torch.from_numpy(result.panels[number].prediction)
                    for encoder, result in chosen.items()
                },
            )
            for number, panel in enumerate(first.panels)
        ]
        title = f'{self.title(benchmark)} · seed {seed}'
        return plot_predictions(rows, first.classes, first.colors, title) if rows else None


def _interval(results: Sequence[Result], base: Sequence[Result], name: str) -> Interval | None:
    """Difference to the reference; None where the images are not the same."""
    ours, theirs = ([each.image_scores.get(name) for each in side] for side in (results, base))
    places = base[0].locations
    if places is None or any(
        each.locations is None or not np.array_equal(each.locations, places)
        for each in (*results, *base)
    ):
        return None
    return paired_interval(
        [array for array in ours if array is not None],
        [array for array in theirs if array is not None],
        places,
    )


def _signed(interval: Interval | None) -> str:
    """A difference in percentage points."""
    if interval is None:
        return '-'
    mark = ' †' if interval.low <= 0 <= interval.high else ''
    center, low, high = (100 * number for number in interval)
    return f'{center:+.1f} [{low:+.1f}, {high:+.1f}]{mark}'


def _file_name(*parts: str) -> str:
    """Name of a figure, without spaces."""
    return '_'.join(parts).replace(' ', '_')


def _words(metric: str) -> str:
    """Name of a metric as the head of a column."""
    return metric.replace('_', ' ', 1)


def _table_head(texts: Sequence[str]) -> list[str]:
    """Head of a Markdown table, numbers to the right."""
    return [_table_row(texts), _table_row([':--', *['--:'] * (len(texts) - 1)])]


def _table_row(texts: Sequence[str]) -> str:
    """Line of a Markdown table."""
    return f'| {" | ".join(texts)} |'
