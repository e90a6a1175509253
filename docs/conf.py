"""The settings of the site: Sphinx with MyST and Furo. The reference is written from the program before each build."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from reference import write_reference  # noqa: E402

from gristmill import __version__  # noqa: E402

project, author, release = "gristmill", "the gristmill authors", __version__
copyright = "the gristmill authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
source_suffix = [".md"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gristmill {release}"
html_show_sourcelink = False
html_static_path, html_css_files, html_js_files = ["_static"], ["site.css"], ["site.js"]
nitpicky = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"

write_reference(HERE / "reference")
