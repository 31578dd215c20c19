"""How Sphinx makes the pages; `docs_build.py` calls it."""

from pathlib import Path

from urbanfm_core import __version__

project = "UrbanFM"
author = "The UrbanFM authors"
release = __version__
extensions = ["myst_parser"]
root_doc = "index"
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "attrs_block"]

# A hyphen or quote of a command stays what it is.
smartquotes = False

html_theme = "furo"
html_title = "UrbanFM"
html_static_path = [str(Path(__file__).parent / "static"), str(Path(__file__).parents[1] / "icons" / "urbanfm.svg")]
html_css_files = ["urbanfm.css"]
html_favicon = html_static_path[1]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_use_index = False
html_theme_options = {
    "light_logo": "urbanfm.svg",
    "dark_logo": "urbanfm.svg",
    "light_css_variables": {"color-brand-primary": "#1f5f8b", "color-brand-content": "#1f5f8b"},
    "dark_css_variables": {"color-brand-primary": "#7cc0ea", "color-brand-content": "#7cc0ea"},
}
