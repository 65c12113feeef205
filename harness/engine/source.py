"""Where a model comes from: embedded, a directory, or the hub."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..core.frame import DEFAULT, Frame
from ..core.hub import Fetched, Hub
from ..core.keys import key
from ..core.names import TINY
from ..errors import HarnessError, ModelError
from ..model.embedded import Tiny
from ..model.files import PATTERNS, Snapshot, snapshot_of
from .protocol import EMBEDDED, PUBLISHED, Protocol


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: ``tiny``, a directory, or a hub id."""

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

    @property
    def protocol(self) -> Protocol:
        """The budgets that fit the model's size."""
        return EMBEDDED if self.spec == TINY else PUBLISHED

    def local(self) -> Path:
        """The directory with the model's files; a hub id is fetched first. Raises ModelError."""
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
        files = key([(self.snapshot or snapshot_of(self.local())).fingerprint, self.frame.identity()])
        # Code that comes with a model may make another one of the same files.
        return key([files, "with its code"]) if self.trust_remote_code else files

    def planned(self) -> Source:
        """The same, with its files as they are now."""
        return self if self.spec == TINY else replace(self, snapshot=snapshot_of(self.local()))

    def check(self, directory: Path) -> None:
        """Raise ModelError where a file of the model that was loaded is not what the run was planned with.

        It costs a look at each file, and reading those that were touched.
        """
        if self.snapshot and (name := self.snapshot.changed(directory)):
            raise ModelError(
                f"{directory / name} was changed while the run went on, and its keys are those of what was "
                "there before: leave the model alone while it is used, and run again."
            )
