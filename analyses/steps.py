"""Steps: does an attack walk back the way that unlearning came?"""

from harness import Analysis, Finding, losses, outputs


class Steps(Analysis):
    """Cosine between the unlearning step U = theta' - theta and the attack's step V = theta'' - theta'.

    cosine = <U, V> / (||U|| ||V||),   undone = - <U, V> / ||U||^2

    theta before unlearning, theta' after it, theta'' after the attack at its best checkpoint. -1: the attack
    takes unlearning back; 0: it goes elsewhere, as two steps of many weights do that know nothing of each
    other. ``undone`` is the share of U that V takes back (1: all, negative: it goes on), and ``norm`` has the
    lengths of both, series ``unlearning`` and ``attack``. Over all weights, and for each linear map of each
    layer. No paper's: numbers beside `stability`, from the weights alone. Where a step is nothing, it has no
    direction, and there is no cosine.
    """

    name = "steps"
    attacked = True

    def analyse(self, job):
        """Compare the two steps, matrix by matrix, in float64."""
        models = [job.weights(which) for which in ("original", "unlearned", "attacked")]
        sums = [0.0, 0.0, 0.0]
        for name, _ in job.model.named_parameters():
            more = products(*(weights[name] for weights in models))
            sums = [total + part for total, part in zip(sums, more, strict=True)]
        yield from compared(*sums)
        for output in outputs.linear_outputs(job.model):
            of_map = products(*(output.matrix(weights) for weights in models))
            yield from compared(*of_map, layer=output.layer, module=output.module)


def products(original, unlearned, attacked):
    """<U, V>, <U, U> and <V, V>."""
    original, unlearned, attacked = losses.double(original), losses.double(unlearned), losses.double(attacked)
    u, v = unlearned - original, attacked - unlearned
    return [(a * b).sum().item() for a, b in ((u, v), (u, u), (v, v))]


def compared(uv, uu, vv, **where):
    """The numbers of two steps, from their products."""
    yield Finding("norm", "unlearning", uu**0.5, **where)
    yield Finding("norm", "attack", vv**0.5, **where)
    if uu > 0:
        yield Finding("undone", "", -uv / uu, **where)
        if vv > 0:
            yield Finding("cosine", "", max(-1.0, min(1.0, uv / (uu * vv) ** 0.5)), **where)
