# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Pages of the documentation, and the blocks of code in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / 'README.md',
    ROOT / 'SECURITY.md',
    *sorted(
        page
        for page in (ROOT / 'docs').rglob('*.md')
        if page.relative_to(ROOT).parts[1] not in ('_build', 'api')
    ),
]

_BLOCK = re.compile(r'^```(\S*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """Path of a page below the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block of code."""
    return _BLOCK.findall(page.read_text())


def commands(page: Path) -> list[list[str]]:
    """Words of every command in the blocks of a shell, without remarks."""
    lines = [
        line
        for language, text in blocks(page)
        if language == 'sh'
        for line in text.replace('\\\n', ' ').splitlines()
    ]
    return [words for line in lines if (words := shlex.split(line, comments=True))]
