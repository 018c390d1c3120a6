# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Change the parts that compute in small ways, and count the changes that tests notice.

``python -m tests.mutants [--sample N] [PATTERN...]`` runs mutmut with what pyproject.toml says
under ``tool.mutmut``, on all changes, those whose names match, or so many of them at random, and
fails where tests notice too few; of changes drawn at random, where that is beyond chance.
"""

import argparse
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from scipy.stats import binomtest

_MUTMUT = str(Path(sys.executable).with_name('mutmut'))

# Share of the changes that is to be noticed. One in twenty of those that were read changes nothing
# but time, so that these are 19 of 20 that matter.
_LEAST = 0.9

# To run one change makes mutmut list them all.
_ONE = 'torchgeo_saco.bands.x_band_index__mutmut_1'


def run_changes(names: Sequence[str], processes: int) -> None:
    """Run the tests on changes.

    Args:
        names: Names or patterns of names; all changes if empty.
        processes: Changes that are tried at a time.
    """
    command = [_MUTMUT, 'run', '--max-children', str(processes), *names]
    if subprocess.run(command, check=False).returncode:  # noqa: S603
        raise SystemExit('mutmut did not run to its end')


def read_states() -> dict[str, str]:
    """Return what became of every change, by name: 'killed', 'survived', 'not checked', ..."""
    listed = subprocess.run(  # noqa: S603
        [_MUTMUT, 'results', '--all', 'true'], check=True, capture_output=True, text=True
    ).stdout
    return dict(line.strip().rsplit(': ', 1) for line in listed.splitlines() if ': ' in line)


def main() -> None:
    """Choose changes, try them, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('patterns', nargs='*', metavar='PATTERN', help='of names of changes')
    parser.add_argument('--sample', type=int, help='try so many, drawn at random')
    parser.add_argument('--seed', type=int, default=0, help='of the draw')
    parser.add_argument('--processes', type=int, default=2, help='changes that are tried at a time')
    arguments = parser.parse_args()
    chosen = arguments.patterns
    if arguments.sample:
        run_changes([_ONE], arguments.processes)
        names = sorted(
            name
            for name in read_states()
            if not chosen or any(fnmatch(name, pattern) for pattern in chosen)
        )
        chosen = random.Random(arguments.seed).sample(names, min(arguments.sample, len(names)))
    run_changes(chosen, arguments.processes)
    tried = {
        name: state
        for name, state in read_states().items()
        if state != 'not checked' and (not arguments.sample or name in chosen)
    }
    counts = Counter(tried.values())
    noticed = counts['killed'] + counts['timeout']
    for name, state in tried.items():
        if state not in {'killed', 'timeout'}:
            print(f'{state}: {name}')
    share = judged = noticed / len(tried)
    interval = ''
    if arguments.sample:
        low, judged = binomtest(noticed, len(tried)).proportion_ci()
        interval = f', 95 % interval {low:.1%} to {judged:.1%}'
    print(f'{noticed} of {len(tried)} changes fail a test ({share:.1%}{interval})')
    if judged < _LEAST:
        raise SystemExit(f'fewer than {_LEAST:.0%} do; see mutmut show NAME, and add tests')


if __name__ == '__main__':
    main()
