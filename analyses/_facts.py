"""Which facts an analysis looks at, and what the model's units do to their answers."""

from harness import attribution

BATCH = 16
"""Texts attributed at a time: it decides memory, not results."""


def drawn(facts, count, rng):
    """``count`` of the facts at random, in their order; all of them for None."""
    if count is None or count >= len(facts):
        return list(facts)
    return [facts[i] for i in sorted(rng.sample(range(len(facts)), count))]


def attributed(job, facts, what):
    """Attribution of the facts' answers in the job's model as it is; ``what`` names it in the progress."""
    data = job.encode(facts)
    return attribution.attribute(job.model, _counted(job, data, what))


def _counted(job, data, what):
    done = 0
    for texts in job.runs(data, BATCH):
        yield texts
        done += len(texts)
        job.progress(f"attribution in {what}", done, len(data))
