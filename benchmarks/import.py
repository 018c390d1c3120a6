# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What importing this package adds to importing TorchGeo.

``python benchmarks/import.py`` starts Python anew for every repeat, imports TorchGeo, then this
package, and takes the time of each. The first start, which reads files from disk, does not count.
"""

import json
import subprocess
import sys
from statistics import median

from reporting import Target, parser, report

#: What is imported first, and what is added to it.
PAIRS = {
    'package': ('torchgeo', 'torchgeo_saco'),
    'all classes': ('torchgeo.main', 'torchgeo_saco.tasks'),
}
PROGRAM = """
import importlib, json, sys, time
times = []
for name in sys.argv[1:]:
    start = time.perf_counter()
    importlib.import_module(name)
    times.append(time.perf_counter() - start)
print(json.dumps(times))
"""


def import_times(*modules: str) -> list[float]:
    """Seconds that importing some modules takes, one after the other, in a new process."""
    command = [sys.executable, '-W', 'ignore', '-c', PROGRAM, *modules]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return json.loads(answer.stdout.splitlines()[-1])


def main() -> None:
    """Run, print and write."""
    arguments = parser(__doc__).parse_args()
    rows, targets = [], []
    for name, (host, ours) in PAIRS.items():
        times = [import_times(host, ours) for _ in range(2 if arguments.quick else 6)][1:]
        first, added = ([time[i] for time in times] for i in (0, 1))
        rows.append({'import': name, 'TorchGeo, s': median(first), 'added here, s': median(added)})
        spread = min(added), max(added)
        targets.append(
            Target(f'import of {ours}', f'added to {host}', median(added), 0.3, False, 's', spread)
        )
    report('import', arguments, rows, targets)


if __name__ == '__main__':
    main()
