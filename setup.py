"""What pyproject.toml cannot say: the addresses of the project, which follow from where it lives.

``HARNESS_URL`` is that place, e.g. ``https://git.example/group/unlearning-harness``. A wheel that is built
without it has no addresses, and a README with links as they are in the checkout.
"""

import os
import re
import tomllib
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
VERSION = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
URL = os.environ.get("HARNESS_URL", "").rstrip("/")
LINK = re.compile(r"""(\]\(|(?P<picture>(?:src|srcset)="))(?![a-z]+:|#)""")
"""Where a link to a file of the checkout begins, in Markdown or HTML."""


def readme() -> str:
    """The README, with links that lead to the files of this release."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    where = {True: f"{URL}/raw/v{VERSION}/", False: f"{URL}/blob/v{VERSION}/"}
    return LINK.sub(lambda link: link[0] + where[bool(link["picture"])], text) if URL else text


setup(
    long_description=readme(),
    long_description_content_type="text/markdown",
    project_urls={
        "Homepage": URL,
        "Documentation": f"{URL}/blob/v{VERSION}/docs/index.md",
        "Leaderboard": f"{URL}/blob/v{VERSION}/leaderboard/README.md",
        "Changelog": f"{URL}/blob/v{VERSION}/CHANGELOG.md",
        "Issues": f"{URL}/issues",
    }
    if URL
    else {},
)
