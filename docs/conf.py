"""Settings of Sphinx. Nothing is fetched from elsewhere, neither to build the site nor to read it."""

from importlib import metadata

project = "unlearning-harness"
release = metadata.version(project)
html_title = f"{project} {release}"
extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = [".doctrees"]

myst_heading_anchors = 4  # equations are MathML already, so no extension of MyST is needed
smartquotes = False  # two hyphens begin an option
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 80

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_js_files = ["published.js", "versions.js"]
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
html_domain_indices = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
