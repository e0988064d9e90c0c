"""How the documentation is built: `python -m tox run -e docs` writes it to docs/build/html."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils.utils.math import latex2mathml

from tinyml_bench import __version__

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import written

project = "tinyml-bench"
author = "The tinyml-bench authors"
copyright = "The tinyml-bench authors, Apache-2.0"  # noqa: A001 - Sphinx's own name
version = release = __version__
html_title = f"tinyml-bench {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["build"]

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say type, shape and unit
napoleon_google_docstring = False
napoleon_use_rtype = False
# Types in docstrings are words for people ("ndarray, (n,) int64"), and what is inside a module has
# no page; every public name has to be on the site.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(?!tinyml_bench\.).*"),
    ("py:mod", r"tinyml_bench\..*"),
    ("py:.*", r"tinyml_bench\.\w+\..*"),
]


def setup(app: Sphinx) -> None:
    """Add what is written from the code while the site is built, and formulas without scripts."""
    app.connect("source-read", _fill)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))


def _fill(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Put each part that is written from the code where a page has its mark."""
    marks = re.compile(r"^<!-- written: ([a-z_]+) -->$", re.MULTILINE)
    source[0] = marks.sub(lambda mark: written.PARTS[mark[1]](), source[0])


def _inline(translator: Any, node: nodes.Node) -> None:
    _formula(translator, node, block=False)


def _display(translator: Any, node: nodes.Node) -> None:
    _formula(translator, node, block=True)


def _formula(translator: Any, node: nodes.Node, *, block: bool) -> None:
    from docutils.nodes import SkipNode

    markup = latex2mathml.tex2mathml(node.astext(), as_block=block)
    translator.body.append(f'<div class="math">{markup}</div>' if block else markup)
    raise SkipNode
