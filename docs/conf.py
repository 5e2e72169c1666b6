"""Sphinx: Markdown by MyST, the command reference from the commands themselves."""

from vmstate_tools import __version__

project = "vmstate-tools"
copyright = "the vmstate-tools authors"
release = __version__
extensions = ["myst_parser", "sphinx_click"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"vmstate-tools {release}"
