"""The back ends that run tasks, and which of them a run has. What a back end needs is imported with it."""

from __future__ import annotations

from ..context import WorkerContext
from ..executor import Executor
from ..options import RunOptions
from .local import LocalExecutor, default_jobs


def chosen(options: RunOptions, context: WorkerContext) -> Executor:
    """The back end of a run, ready. Raises HarnessError where it is not installed or cannot be reached."""
    if context.rank:
        from .together import TogetherExecutor

        return TogetherExecutor(context, context.rank)
    if options.executor == "ray":
        from .ray import RayExecutor

        return RayExecutor(context, options.jobs, options.ray_address)
    if options.executor == "slurm":
        from .slurm import SlurmExecutor

        return SlurmExecutor(context, options.jobs, options.slurm or {})
    return LocalExecutor(context, options.jobs or default_jobs(options.device))
