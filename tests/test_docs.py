# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Laws of the pages of the documentation: what they quote, link and tell to run is there."""

import ast
import re
import textwrap
from functools import cache
from pathlib import Path

import pytest

from .data.pages import PAGES, ROOT, blocks, name

SOURCE = sorted((ROOT / 'torchgeo_saco').rglob('*.py'))
LANGUAGES = {'sh', 'python', 'yaml', '{toctree}'}


@cache
def without_code(page: Path) -> str:
    """Text of a page outside of blocks."""
    return re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_blocks_say_their_language(page):
    assert {language for language, _ in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in re.findall(r'\]\(([^)\s]+)\)', without_code(page)):
        path, _, anchor = link.partition('#')
        if '://' in link:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            titles = re.findall(r'^#+ (.*)$', without_code(target), re.MULTILINE)
            assert anchor in {slug(title) for title in titles}, link


def slug(title: str) -> str:
    """Anchor of a heading, as hosts of repositories make it."""
    return re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-')


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_pictures_say_what_they_show(page):
    assert '![](' not in page.read_text()


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_quoted_lines_are_in_the_file(page):
    """Of blocks that begin with the path of a file."""
    for language, text in blocks(page):
        first, _, quoted = text.partition('\n')
        if language == 'python' and (path := re.fullmatch(r'# (\S+\.py)', first)):
            lines = (ROOT / path[1]).read_text().splitlines()
            height = len(quoted.splitlines())
            windows = ('\n'.join(lines[i : i + height]) for i in range(len(lines)))
            assert any(textwrap.dedent(window) == quoted.rstrip() for window in windows), text


def test_formulas_quote_lines():
    quoted = [text for _, text in blocks(ROOT / 'docs/formulas.md') if text.startswith('# torch')]
    assert len(quoted) >= 8


@cache
def literals() -> list[str]:
    """Texts in the package, with a NUL for what is filled in."""
    found = []
    for path in SOURCE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (str(v.value) if isinstance(v, ast.Constant) else '\0' for v in node.values)
                found.append(''.join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def quoted_messages() -> list[str]:
    """Messages at the beginning of the entries of the page."""
    page = (ROOT / 'docs/troubleshooting.md').read_text()
    entries = re.findall(r'^- (.*?)(?=\n- |\n\n|\Z)', page, re.MULTILINE | re.DOTALL)
    heads = [re.match(r'(`[^`]+`(?:,\s+)?)+(?=:)', entry) for entry in entries]
    return [quote for head in heads if head for quote in re.findall(r'`([^`]+)`', head[0])]


def is_said(message: str) -> bool:
    """Whether a text of the package has the parts of a message, in their order."""
    parts = [re.escape(part.strip()) for part in message.split('...') if part.strip()]
    pattern = re.compile(r'[^\n]*?'.join(parts))
    return any(pattern.search(text) for text in literals())


@pytest.mark.parametrize('message', quoted_messages())
def test_messages_are_those_of_the_package(message):
    assert is_said(message)


def test_many_messages_are_looked_for_and_others_are_missed():
    assert len(quoted_messages()) >= 40
    assert not is_said('... is neither a file nor a fish')
