# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Settings of the documentation site.

Sphinx reads the pages where they lie, so its source folder is the repository: a relative link then
leads to the same file here, on the site, and where the repository is hosted.
"""

import builtins
import inspect
import pkgutil
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.logging import getLogger
from sphinx.util.nodes import make_refnode

import torchgeo_saco

ROOT = Path(__file__).parents[1]
logger = getLogger(__name__)

project = 'torchgeo_saco'
author = 'torchgeo_saco Contributors'
copyright = author
version = release = torchgeo_saco.__version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.viewcode']
root_doc = 'docs/index'
include_patterns = [
    'docs/**',
    'notebooks/*.ipynb',
    'notebooks/data/README.md',
    'CHANGELOG.md',
    'SECURITY.md',
]
# Folders are not even entered.
exclude_patterns = [
    'docs/_build',
    'docs/_templates',
    '.*',
    'data',
    'logs',
    'mutants',
    'output',
    'build',
    'dist',
]

nitpicky = True
nitpick_ignore_regex = [
    # Names in signatures that are private, or of libraries that are imported for types alone.
    (r'py:(class|obj)', r'.*\._\w+|odc\..*'),
    # Type parameters, and annotations in quotes.
    (r'py:class', r'ArgsType|Choice|Module|Number|Record|dict\[str'),
    (r'py:exc', r'(DatasetNotFound|DependencyNotFound|RGBBandsMissing)Error'),  # TorchGeo's
    # Of base classes in other libraries.
    (r'py:(attr|meth)', r'__getitem__|forward|hparams|setup|training_step'),
]

myst_enable_extensions = ['dollarmath']
myst_heading_anchors = 3
nb_execution_mode = 'off'  # as stored; make test-all runs them
nb_merge_streams = True

autodoc_default_options = {'members': True, 'member-order': 'bysource'}
autodoc_use_type_comments = False  # there are none
toc_object_entries = False  # the table of contents of a page would hold every method

html_math_renderer = 'mathml'
templates_path = ['_templates']
html_theme = 'pydata_sphinx_theme'
html_title = project
html_static_path = ['_static']
html_css_files = ['site.css']
html_additional_pages = {'index': 'redirect.html'}
html_theme_options = {
    'show_prev_next': False,
    'navbar_align': 'left',
    'navbar_end': ['theme-switcher'],
    'secondary_sidebar_items': ['page-toc'],
    'footer_start': ['copyright'],
    'footer_end': ['sphinx-version'],
}
html_show_sourcelink = False
html_copy_source = False


def packages() -> dict[str, list[str]]:
    """Return the modules of every subpackage: one page of the reference each."""
    found: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(torchgeo_saco.__path__, 'torchgeo_saco.'):
        if not any(part.startswith('_') for part in module.name.split('.')):
            found.setdefault(module.name.split('.')[1], []).append(module.name)
    return found


def write_reference(app: Sphinx) -> None:
    """Write the pages of the reference, before Sphinx looks for pages."""
    folder = ROOT / 'docs' / 'api'
    folder.mkdir(exist_ok=True)
    for package, modules in packages().items():
        lines = []
        for name in modules:
            module = import_module(name)
            short = name.removeprefix('torchgeo_saco.')
            lines += [short, ('=' if short == package else '-') * len(short), '']
            lines += [f'.. automodule:: {name}']
            if hasattr(module, '__path__'):
                # What a package exports is described where it is written.
                lines += ['   :ignore-module-all:', '', *exported(module)]
            lines.append('')
        page = folder / f'{package}.rst'
        text = '\n'.join(lines)
        # Sphinx reads again what has changed.
        if not page.is_file() or page.read_text() != text:
            page.write_text(text)


def exported(module: ModuleType) -> list[str]:
    """Return a list of the names that a package exports, but its modules."""
    items = []
    for name in getattr(module, '__all__', []):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            items.append(f'* :py:obj:`{name} <{value.__module__}.{value.__qualname__}>`')
        elif not inspect.ismodule(value):
            items.append(f'* ``{name}``')
    return items


class Docstring(GoogleDocstring):
    """Docstring of this package, where a colon in *Returns* ends no type."""

    def _consume_returns_section(self, preprocess_types: bool = False) -> list[tuple]:
        lines = self._dedent(self._consume_to_next_section())
        return [('', '', lines)] if lines else []


def read_docstring(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Make reStructuredText of a docstring."""
    # The first line of an attribute has no type either.
    what = 'function' if what in ('attribute', 'data', 'property') else what
    # Commands keep their lines, as in the help that is made of the same text.
    lines[:] = [f'{line}:' if line == 'For example:' else line for line in lines]
    config = Config(napoleon_custom_sections=['Shape'])
    lines[:] = Docstring(lines, config, app, what, name, value, options).lines()


def link_source(app: Sphinx, doctree: nodes.document) -> None:
    """Lead links to modules of the package to their place in the reference."""
    for link in list(doctree.findall(addnodes.download_reference)):
        path = (ROOT / app.env.docname).parent.joinpath(link['reftarget']).resolve()
        path = path.relative_to(ROOT)
        if path.parts[0] == 'torchgeo_saco' and path.suffix == '.py':
            target = '.'.join(path.with_suffix('').parts).removesuffix('.__init__')
            attributes = {'refdomain': 'py', 'reftype': 'mod', 'reftarget': target}
            attributes |= {'refdoc': app.env.docname, 'refexplicit': True, 'refwarn': True}
            link.replace_self(addnodes.pending_xref('', *link.children, **attributes))


def unlink_foreign(app: Sphinx, doctree: nodes.document) -> None:
    """Leave what other libraries define without a link, which would need the network to find."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        target = reference.get('reftarget', '')
        library = target.split('.')[0]
        is_type = reference.get('reftype') in ('class', 'data', 'exc', 'obj')
        if (
            reference.get('refdomain') == 'py'
            and library != 'torchgeo_saco'
            and (
                (is_type and hasattr(builtins, target))
                or ('.' in target and library in sys.modules)
            )
        ):
            reference.replace_self(reference.children)


def find_elsewhere(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Node
) -> nodes.Node | None:
    """Find what a docstring names as its readers do: without the module it is written in."""
    if node.get('refdomain') != 'py' or 'reftarget' not in node:
        return None
    parts = node['reftarget'].split('.')
    objects = env.domains.python_domain.objects
    # Of torchgeo_saco.datasets.SeasonalArchive.plot, what is written in a module of that package.
    for start in range(len(parts)):
        found = endings(env).get('.'.join(parts[start:]), [])
        if start and parts[0] == 'torchgeo_saco':
            found = [name for name in found if name.split('.')[:2] == parts[:2]]
        if len(found) == 1:
            entry = objects[found[0]]
            where = (entry.docname, entry.node_id, content, found[0])
            return make_refnode(app.builder, node['refdoc'], *where)
    return None


@cache
def endings(env: BuildEnvironment) -> dict[str, list[str]]:
    """Return the objects of the reference by every ending of their names."""
    found: dict[str, list[str]] = {}
    for name in env.domains.python_domain.objects:
        parts = name.split('.')
        for start in range(1, len(parts)):
            found.setdefault('.'.join(parts[start:]), []).append(name)
    return found


def visit_math(self, node: nodes.math) -> None:  # noqa: ANN001
    """Write a formula as MathML, which browsers show without a script."""
    try:
        formula = tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block))
    except MathError as error:
        logger.warning('%s in the formula %s', error, node.astext(), location=node)
    else:
        self.body.append(formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Connect the functions of this file."""
    app.connect('builder-inited', write_reference)
    app.connect('autodoc-process-docstring', read_docstring)
    app.connect('doctree-read', link_source)
    app.connect('doctree-read', unlink_foreign)
    app.connect('missing-reference', find_elsewhere)
    app.add_html_math_renderer('mathml', (visit_math, None), (visit_math, None))
