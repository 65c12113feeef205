"""A stream that takes any text: what its encoding has no sign for becomes a question mark."""

from __future__ import annotations

from typing import Any


class Lenient:
    """A text stream, and all that it can, without UnicodeEncodeError.

    Results that took hours are not lost to a terminal or log in ASCII, or to a file name that is no text.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> Any:
        """Write the text. Raises OSError, for the output, where a device is full or gone."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return self._named(self._stream.write, text.encode(encoding, "replace").decode(encoding))

    def flush(self) -> None:
        """Hand on what was written. Raises OSError as :meth:`write` does."""
        self._named(self._stream.flush)

    @staticmethod
    def _named(function: Any, *arguments: str) -> Any:
        try:
            return function(*arguments)
        except OSError as error:
            error.filename = "the output"
            raise
