# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Table of speed in docs/benchmarks.md, from the files in benchmarks/results.

``python benchmarks/table.py`` writes it anew between its two marks; ``--check`` only says whether
it is up to date.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reporting import RESULTS, Target, amount

TABLE = Path(__file__).parents[1] / 'docs' / 'benchmarks.md'
BEGIN, END = '<!-- speed: benchmarks/table.py -->', '<!-- end of speed -->'

#: Benchmarks in the order of the table.
NAMES = ('texture', 'step', 'loader', 'scaling', 'import', 'embed', 'export', 'time_to_accuracy')


def documents(results: Path = RESULTS) -> list[Mapping[str, Any]]:
    """Files of all benchmarks and devices, in the order of the table."""
    paths = [path for name in NAMES for path in sorted(results.glob(f'{name}.*.json'))]
    return [json.loads(path.read_text()) for path in paths]


def table(found: list[Mapping[str, Any]]) -> str:
    """Targets of all files as a Markdown table, and what they were measured with."""
    lines = ['| command | what | against | measured | spread | aim | machine |', '|' + '---|' * 7]
    machines: dict[str, str] = {}
    for document in found:
        versions = f'torch {document["torch"]}, commit {document.get("commit", "unknown")}'
        number = machines.setdefault(f'{document["machine"]}; {versions}', str(len(machines) + 1))
        script = document['command'].split('/')[-1]
        for values in document['targets']:
            target = Target(**{name: values[name] for name in Target._fields})
            cells = [script, target.name, target.peer, *_numbers(target), number]
            lines.append(f'| {" | ".join(cells)} |')
    notes = [f'{number}: {machine}.' for machine, number in machines.items()]
    return '\n'.join([*lines, '', *notes])


def _numbers(target: Target) -> tuple[str, str, str]:
    """Measured, spread and aim of a target; what misses its aim is said to."""
    measured = amount(target.measured, target.unit)
    spread = '' if target.spread is None else ' to '.join(amount(n) for n in target.spread)
    wanted = f'{"≥" if target.more else "≤"} {amount(target.wanted, target.unit)}'
    return measured if target.met else f'**{measured}, missed**', spread, wanted


def main() -> None:
    """Write the table, or check it."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument('--check', action='store_true', help='write nothing; fail if it differs')
    check = arguments.parse_args().check
    text = TABLE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f'{before}{BEGIN}\n{table(documents())}\n{END}{after}'
    if not check:
        TABLE.write_text(wanted)
    elif wanted != text:
        sys.exit(
            'the table of speed in docs/benchmarks.md is not that of benchmarks/results; run '
            'this file'
        )


if __name__ == '__main__':
    main()
