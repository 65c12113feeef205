"""Weights: where unlearning changed the model, how much, and in how many directions."""

from functools import partial

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, svds

from harness import Analysis, Finding, losses, outputs

SMALL = 128
"""Rows or columns of a matrix of which all eigenvalues are quick to find."""


class WeightChange(Analysis):
    """The change D = theta' - theta of each linear map, theta before and theta' after unlearning.

    relative = ||D||_F / ||theta||_F
    stable rank = ||D||_F^2 / ||D||_2^2
    attention = sum_{q,k,v,o} ||D||_F^2 / sum_{all seven} ||D||_F^2

    No paper's: a table beside the other analyses, from the weights alone. Figures, by map and layer:
    ``change``, ``relative`` and ``stable-rank`` (from 1, one direction, to the rank of the map). Single
    numbers: ``attention``, the share of the squared change that lies in attention; ``matrices``, the share of
    the squared change of all weights that lies in these maps, the rest being embeddings, norms and biases.

    Open, and chosen here: q, k, v and gate, up that a family keeps in one matrix are parts of it, each with
    its rank. A map that did not change has no rank, and of an unchanged model there is no share.
    """

    name = "weights"

    def analyse(self, job):
        """Compare matrix by matrix, in float64."""
        old, new = job.weights("original"), job.weights("unlearned")
        attention = matrices = 0.0
        for output in outputs.linear_outputs(job.model):
            before = losses.double(output.matrix(old))
            change = losses.double(output.matrix(new)) - before
            of_map = partial(Finding, layer=output.layer, module=output.module)
            squared, size = change.square().sum().item(), before.square().sum().item()
            yield of_map("change", "", squared**0.5)
            if size > 0:
                yield of_map("relative", "", (squared / size) ** 0.5)
            if squared > 0:
                yield of_map("stable-rank", "", squared / largest(change))
            matrices += squared
            attention += squared if output.module in outputs.ATTENTION else 0.0
        total = sum(
            (losses.double(new[name]) - losses.double(old[name])).square().sum().item()
            for name, _ in job.model.named_parameters()
        )
        if matrices > 0:
            yield Finding("attention", "", attention / matrices)
        if total > 0:
            yield Finding("matrices", "", min(1.0, matrices / total))


def largest(matrix):
    """||D||_2^2, by Lanczos' method where it is faster than all eigenvalues of D D^T or of D^T D."""
    if min(matrix.shape) > SMALL:
        begin = np.random.default_rng(0).standard_normal(min(matrix.shape))
        try:
            return svds(matrix.cpu().numpy(), k=1, v0=begin, return_singular_vectors=False)[0] ** 2
        except ArpackError:  # the highest are too near to each other
            pass
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    return torch.linalg.eigvalsh(gram)[-1].item()
