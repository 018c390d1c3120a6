# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco evaluate``."""

import difflib
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning
from lightning_utilities.core import rank_zero
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..io.files import require_folder
from .plan import Run, plan_runs
from .protocol import main as protocol_main
from .protocol import split_protocol
from .report import Report
from .results import Result
from .runs import execute_run
from .settings import Settings, SettingsError, read_settings

# The estimate needs runs that took hours, not those of the last seconds alone.
_MEMORY = 30 * 24 * 3600.0


class RunError(RuntimeError):
    """A run that failed; the message names it."""


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: Arguments after ``evaluate``.

    Raises:
        SettingsError: If the settings are wrong.
        SystemExit: With status 1, if a run fails.
    """
    protocol, others = split_protocol(args)
    if protocol is not None:
        protocol_main(protocol, others)
        return
    try:
        settings = read_settings(args)
        report = evaluate(settings)
    except RunError as error:
        sys.stderr.write(f'torchgeo-saco evaluate: error: {error}\n')
        sys.exit(1)
    console = Console()
    console.print(report.table())
    console.print(f'All tables and figures are in {settings.output}', highlight=False)


def evaluate(settings: Settings, console: Console | None = None) -> Report:
    """Evaluate every encoder on every benchmark with every seed, and write the report.

    Finished runs of an earlier call are not repeated.

    Args:
        settings: What to evaluate.
        console: Where to show progress, or None for standard error.

    Returns:
        The report, which is written.

    Raises:
        SettingsError: If the settings are wrong; nothing has run then. Or if no score has the
            name of a column; the first run of the benchmark is finished then.
        RunError: If a run fails. Finished runs stay.
    """
    console = console or Console(stderr=True)
    runs = plan_runs(settings)
    # Before anything trains for hours.
    require_folder(Path(settings.output) / 'runs')
    results: dict[str, Result] = {}
    for run in runs:
        result = Result.load(_folder(settings, run))
        if result is not None:
            _require_metrics(run, result)
            results[run.key] = result
    # Encoders of other names but equal arguments share a run.
    missing = list({run.key: run for run in runs if run.key not in results}.values())
    if results:
        console.print(f'{len(results)} runs are there already, {len(missing)} are not')
    _prepare(missing)
    with _progress(console) as progress, _messages(console):
        bar = progress.add_task('', total=len(missing), visible=bool(missing))
        for run in missing:
            progress.update(bar, description=_label(run))
            result = results[run.key] = _run(run)
            identity = {'encoder': run.encoder, 'benchmark': run.benchmark, 'seed': run.seed}
            result.save(_folder(settings, run), identity)
            _require_metrics(run, result)
            progress.advance(bar)
            if not console.is_terminal:
                console.print(f'{_label(run)}: {result.seconds:.0f} s', highlight=False)
    report = Report(settings, [(run, results[run.key]) for run in runs])
    report.write()
    return report


def _label(run: Run) -> str:
    """A run in the progress bar."""
    return f'{run.benchmark} · {run.encoder} · seed {run.seed}'


def _folder(settings: Settings, run: Run) -> Path:
    """Folder of the result of a run."""
    return Path(settings.output) / 'runs' / run.key


def _prepare(runs: Sequence[Run]) -> None:
    """Download or generate all data that differ, which may report on their own."""
    for run in {str(run.parts.data): run for run in runs}.values():
        run.make('data').prepare_data()


def _run(run: Run) -> Result:
    """Result of a run, or an error that names it."""
    try:
        return execute_run(run)
    except Exception as error:
        raise RunError(
            f'{run.name} failed: {error}; finished runs are kept, and the same command goes on '
            'with this one'
        ) from error


def _require_metrics(run: Run, result: Result) -> None:
    """Refuse columns that no run will fill."""
    for name in run.metrics:
        if name not in result.metrics:
            close = difflib.get_close_matches(name, result.metrics, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f'benchmark {run.benchmark} has no score {name!r}; did you mean {close!r}?'
            )


def _progress(console: Console) -> Progress:
    """Progress bar over runs."""
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
        console=console,
        speed_estimate_period=_MEMORY,
    )


class _OwnMessagesOnce(logging.Filter):
    """Shows what tasks report above the progress bar, once; Lightning's own is skipped."""

    def __init__(self, console: Console) -> None:
        """Nothing was shown yet."""
        super().__init__()
        self.console = console
        self.shown: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Show a message if it is new; no handler gets any below a warning."""
        if record.levelno >= logging.WARNING:
            return True
        text = record.getMessage()
        if not record.pathname.startswith(str(Path(lightning.__file__).parent)):
            if text not in self.shown:
                self.console.print(text, highlight=False, markup=False)
            self.shown.add(text)
        return False


@contextmanager
def _messages(console: Console) -> Iterator[None]:
    """Within the block, messages of many trainings do not bury the progress bar."""
    once = _OwnMessagesOnce(console)
    # Lightning and the tasks of this package report here.
    logger = rank_zero.log
    logger.addFilter(once)
    with warnings.catch_warnings():
        # Advice on speed is for who wrote the configuration; the other is Lightning's own affair.
        warnings.filterwarnings('ignore', '.*does not have many workers.*')
        warnings.filterwarnings('ignore', '.*LeafSpec.*')
        try:
            yield
        finally:
            logger.removeFilter(once)
