"""The documentation as a site: `make docs` builds it, offline, into build/docs. Flows in: the pages of this
folder, README.md, CONTRIBUTING.md and CHANGELOG.md, Markdown that reads on GitHub, too; the docstrings of the
public interface. Flows out: HTML."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from anychip import __version__  # noqa: E402

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Anychip"
author = "The Anychip authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]
"""Generated pages begin sections of a table at the level that reads best."""

default_role = "code"
"""Docstrings put code between single backticks."""
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
nitpick_ignore_regex = [(r"py:.*", r".*")]
"""Types in signatures are shown, and not linked: most are of PyTorch or of rooms that are not public."""

html_theme = "pydata_sphinx_theme"
html_title = "Anychip"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": False,
    "show_nav_level": 1,
    "navbar_persistent": ["search-button"],
}
html_context = {"default_mode": "auto"}
pygments_style = "default"

FIRST = "docs/index.html"
ENTRY = f'<!doctype html><meta http-equiv="refresh" content="0; url={FIRST}"><a href="{FIRST}">Anychip</a>\n'


def _write_entry(application: Sphinx, error: Exception | None) -> None:
    """The pages keep their folder, so that links between them are those of the repository; whoever opens the
    site's folder is sent to the first."""
    if error is None and application.builder.name == "html":
        (Path(application.outdir) / "index.html").write_text(ENTRY, encoding="utf-8")


def setup(application: Sphinx) -> None:
    """Called by Sphinx."""
    application.connect("build-finished", _write_entry)
