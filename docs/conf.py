"""How Sphinx builds these pages: `make docs`."""

from lstmcli.version import __version__

project = "lstm"
author = "the lstm authors"
copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # as GitHub makes them, so that links work in both
suppress_warnings = ["config.cache"]
autodoc_typehints = "signature"
napoleon_google_docstring = True

html_theme = "furo"
html_title = f"lstm {release}"
html_show_sphinx = False
html_copy_source = False
