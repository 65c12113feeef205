"""The few facts that an attacker holds, taken out of those that are scored."""


def hold(job, samples):
    """Draw ``samples`` of the forget facts for the attacker; the others are scored. Returns those held."""
    facts = list(job.data["forget"])
    job.rng.shuffle(facts)
    held, rest = facts[:samples], facts[samples:]
    job.score_only(sorted(rest, key=lambda fact: fact.id))
    job.notes["n_injected"] = len(held)
    return held
