"""Sites of several versions stand beside each other, and each knows of the others."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("docgen", reason="no checkout: its docs/ is not installed")
for needed in ("sphinx", "myst_parser", "furo", "sphinx_copybutton", "latex2mathml"):
    pytest.importorskip(needed, reason="the extra 'docs' is not installed")

from docgen import versions  # noqa: E402
from docgen.text import DocsError  # noqa: E402


def site(folder, *pages):
    """What of a site counts here."""
    for name in (versions.MARK, versions.PUBLISHED, *pages):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def known(site):
    """The pages of each version, as a browser would read them."""
    text = (site / versions.PUBLISHED).read_text()
    return json.loads(text.removeprefix("const PUBLISHED = ").removesuffix(";\n"))


def test_each_site_knows_the_pages_of_all_the_newest_first(tmp_path):
    old = site(tmp_path / "old", "index.html")
    new = site(tmp_path / "new", "index.html", "methods/npo.html")
    root = tmp_path / "root"
    for made, name in ((new, "0.10.0"), (old, "0.9.0"), (new, "1.0.0rc1")):
        versions.publish(made, root, name)
    both = ["index.html", "methods/npo.html"]
    expected = {"1.0.0rc1": both, "0.10.0": both, "0.9.0": ["index.html"]}
    for name in expected:
        assert list(known(root / name).items()) == list(expected.items())
    home = (root / "index.html").read_text()
    assert 'url=0.10.0/index.html"' in home, "the newest that is no pre-release"
    assert [f'href="{name}/index.html"' in home for name in expected] == [True] * 3


def test_a_version_is_replaced_and_nothing_else_is(tmp_path):
    made, root = site(tmp_path / "made", "index.html"), tmp_path / "root"
    versions.publish(site(tmp_path / "first", "gone.html"), root, "0.2.0")
    versions.publish(made, root, "0.2.0")
    assert not (root / "0.2.0" / "gone.html").exists()
    (root / "0.3.0").mkdir()
    (root / "0.3.0" / "thesis.tex").touch()
    with pytest.raises(DocsError, match="something else than a site"):
        versions.publish(made, root, "0.3.0")
    assert (root / "0.3.0" / "thesis.tex").is_file()
    assert list(known(root / "0.2.0")) == ["0.2.0"]


def test_a_site_alone_knows_of_no_other(tmp_path):
    (tmp_path / "_static").mkdir()
    versions.alone(tmp_path)
    assert known(tmp_path) == {}
