"""Where a model comes from: embedded, a directory, a GGUF file, or the hub."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.frame import DEFAULT, Frame
from ..core.hub import Fetched, Hub
from ..core.keys import key
from ..core.names import SMOLLM2, TINY
from ..core.types import Cost
from ..errors import HarnessError, ModelError
from ..model.embedded import Tiny
from ..model.files import PATTERNS, Snapshot, snapshot_of
from . import note
from .cache import cache_directory
from .protocol import EMBEDDED, Protocol, fitting

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: ``tiny``, ``smollm2``, a directory, a GGUF file, or a hub id."""

    spec: str = TINY
    dtype: str = "float32"
    revision: str | None = None
    trust_remote_code: bool = False
    frame: Frame = DEFAULT
    """How it is asked. The embedded model has the plain one."""
    prepared: tuple[Fetched, ...] = ()
    """What is there of the hub's models and data sets."""
    snapshot: Snapshot | None = None
    """Its files when the run was planned; a worker holds what it loads against them."""
    cache: Path | None = None
    """Where a model is kept that is converted from a GGUF file; None takes the user's cache."""
    parameters: int | None = None
    """How many the model has, once that was counted; the words of its benchmark decide that of the embedded
    one."""

    @property
    def protocol(self) -> Protocol:
        """The budgets that fit the model's size. Raises ModelError where it cannot be counted."""
        if self.spec == TINY:
            return EMBEDDED
        return fitting(self.parameters or _count(self))

    @property
    def file(self) -> Path | None:
        """The GGUF file, where the model comes from one. Raises ModelError where it is not there."""
        if self.spec == SMOLLM2:
            from ..model import gguf

            return gguf.packaged()
        path = Path(self.spec).expanduser()
        if path.suffix != ".gguf" or path.is_dir():
            return None
        if not path.is_file():
            raise ModelError(f"There is no GGUF file {path}.")
        return path

    @property
    def converted(self) -> Path:
        """The directory with the model of a GGUF file, once it is converted. Raises ModelError."""
        return (self.cache or cache_directory()) / "models" / self._content()

    def local(self) -> Path:
        """The directory with the model's files; a hub id is fetched first, and a GGUF file converted.

        Raises ModelError, and HarnessError where the cache cannot be written.
        """
        if file := self.file:
            return self._convert(file)
        directory = Path(self.spec).expanduser()
        if directory.is_dir():
            return directory
        from huggingface_hub.errors import HFValidationError

        kinds = [pattern for pattern in PATTERNS if pattern != "*.bin"]
        hub = Hub(self.prepared)
        try:
            directory = hub.fetch("model", self.spec, kinds, self.revision)
            if not any(directory.glob("*.safetensors")):  # an old upload
                hub.fetch("model", self.spec, ["*.bin"], self.revision)
            return directory
        except HarnessError:
            raise
        except HFValidationError as error:
            raise ModelError(
                f"There is no model directory '{self.spec}', and it is no hub id either."
            ) from error
        except Exception as error:  # the hub client raises a dozen unrelated classes when it is out of reach
            raise ModelError(
                f"'{self.spec}' is neither a directory nor a hub id that can be fetched "
                f"({type(error).__name__}). Check the spelling and the network, or give a directory."
            ) from error

    def fingerprint(self) -> str:
        """What the model answers: content of its files, and how it is asked; of the embedded one its
        definition."""
        if self.spec == TINY:
            return key(asdict(Tiny()))
        files = key([self._content(), self.frame.identity()])
        # Code that comes with a model may make another one of the same files.
        return key([files, "with its code"]) if self.trust_remote_code else files

    def planned(self) -> Source:
        """The same, with its files as they are now, and its size.

        Raises ModelError where they cannot hold a model.
        """
        if self.spec == TINY:
            return self
        from ..model import gguf, loading

        if file := self.file:
            planned = replace(self, snapshot=snapshot_of(file))
            if not planned.is_converted():
                gguf.check(file)
        else:
            directory = self.local()
            loading.check(directory)
            planned = replace(self, snapshot=snapshot_of(directory))
        return replace(planned, parameters=_count(planned))

    def is_converted(self) -> bool:
        """Whether the cache has the model of the GGUF file."""
        return (self.converted / note.DONE).is_file()

    def check(self, directory: Path, model: nn.Module | None = None) -> str | None:
        """Raise ModelError where what was loaded from a directory is not what the run was planned with.

        It costs a look at each file, and reading those that were touched. What was converted is held against
        its note: the files, or the weights of the ``model`` as they are in memory. Their fingerprint is
        returned where it had to be computed.
        """
        if self.file:
            in_memory = model if self.dtype == "float32" else None  # as it is kept
            weights = note.check(directory, in_memory)
            return None if in_memory is None else weights
        if self.snapshot and (name := self.snapshot.changed(directory)):
            raise _changed(directory / name)
        return None

    def _content(self) -> str:
        """The files of a directory; a GGUF file, and what reads it."""
        file = self.file
        files = (self.snapshot or snapshot_of(file or self.local())).fingerprint
        if file is None:
            return files
        from ..model import gguf

        return key([files, gguf.reader_fingerprint()])

    def _convert(self, file: Path) -> Path:
        """The directory with the model of a GGUF file, which is written unless it is there."""
        from ..model import gguf

        if not self.is_converted():
            model, tokenizer = gguf.convert(file)
            if self.snapshot and self.snapshot.changed(file) is not None:
                raise _changed(file)
            note.keep(model, tokenizer, self.converted, "converted", Cost())
        return self.converted


def _count(source: Source) -> int:
    """A model's parameters, from its configuration, or from the header of a GGUF file."""
    from ..model import gguf, loading

    file = source.file
    if file is None:
        return loading.count(source.local(), source.trust_remote_code)
    if source.is_converted():
        with suppress(ModelError):  # what is wrong with it is said where it is loaded
            return loading.count(source.converted)
    return gguf.count(file)


def _changed(path: Path) -> ModelError:
    return ModelError(
        f"{path} was changed while the run went on, and its keys are those of what was "
        "there before: leave the model alone while it is used, and run again."
    )
