"""A repository of the Hugging Face hub: what is there, and one commit with what is to be there."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError, HarnessError, one_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository, by its ``name`` OWNER/NAME and ``kind``, ``dataset`` or ``model``."""

    name: str
    kind: str = "dataset"

    def __post_init__(self) -> None:
        """Raise ConfigError for what cannot be a name."""
        if not NAME.fullmatch(self.name) or "--" in self.name or ".." in self.name:
            raise ConfigError(
                f"'{self.name}' names no repository of the hub: write OWNER/NAME, of letters, digits, '_' "
                "and single '-' and '.'."
            )

    @property
    def url(self) -> str:
        """Where people look at it."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' * (self.kind == 'dataset')}{self.name}"

    def make(self, private: bool) -> frozenset[str]:
        """Make it unless it is there, and return the files that it has. Raises HarnessError.

        That is one request, never tried again: who may not write, or has no network, knows at once.
        """
        with self._reached() as api:
            api.create_repo(self.name, repo_type=self.kind, private=private or None, exist_ok=True)
            return frozenset(api.list_repo_files(self.name, repo_type=self.kind))

    def read(self, name: str, use: Callable[[Path], None]) -> None:
        """``use`` a file that is there, from a place where it stays for that long. Raises HarnessError."""
        with tempfile.TemporaryDirectory(prefix="harness-") as place:
            with self._reached() as api:
                path = api.hf_hub_download(self.name, name, repo_type=self.kind, local_dir=place)
            use(Path(path))

    def commit(self, files: Mapping[str, bytes | Path], message: str, gone: Collection[str] = ()) -> str:
        """Put files there, and take away what is ``gone``, in one commit, and return where to look at it.

        Raises HarnessError: nothing that was there is changed then.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        with self._reached() as api:
            made = api.create_commit(
                self.name,
                [
                    *(CommitOperationAdd(name, content) for name, content in files.items()),
                    *(CommitOperationDelete(name) for name in sorted(gone)),
                ],
                commit_message=message,
                repo_type=self.kind,
            )
        return str(made.commit_url)

    @contextmanager
    def _reached(self) -> Iterator[HfApi]:
        """The hub's client. Whatever it raises becomes a sentence."""
        from huggingface_hub import HfApi, get_token

        if get_token() is None:
            raise self._refused("there is no token: log in with `hf auth login`, or set HF_TOKEN")
        try:
            yield HfApi(library_name="unlearning-harness")
        except Exception as error:  # the client raises a dozen unrelated classes
            raise self._refused(_why(error)) from error

    def _refused(self, why: str) -> HarnessError:
        return HarnessError(
            f"Not published: {self.kind} {self.name}: {why}. No file there was changed; --out DIR writes the "
            "folder without the hub."
        )


def _why(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "the hub does not know the token: log in again with `hf auth login`, or set another HF_TOKEN"
    if status == 403:
        return "the token may not write there: give it the right to write, or name a repository of your own"
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "HF_HUB_OFFLINE is set: unset it where there is a network"
    says = one_line(error).rstrip(".")
    return f"the hub refused ({says})" if status else f"the hub could not be reached ({says})"
