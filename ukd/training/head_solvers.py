"""Two solvers of one convex problem: linear heads on fixed states, mean loss + l2 |weights|^2.

N examples, E entries of a state, the last one 1, whose weights (the bias) are not in the norm, C
classes (1 for regression).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEWTON_STEPS = 50
NEWTON_TOLERANCE = 1e-5  # of the largest entry of the gradient
QUASI_NEWTON_STEPS = 500
QUASI_NEWTON_TOLERANCE = 1e-6


@torch.no_grad()
def fit_newton(x: Tensor, target: Tensor, l2: float, regression: bool) -> Tensor:
    """Weights (E, C) by Newton's method with a halved step where the full one is too long.

    x: (N, E). target: (N, C), one-hot classes or values.
    """
    count, entries = x.shape
    weights = torch.zeros(entries, target.shape[1])
    penalty = _penalty(entries, l2)

    def loss(weights: Tensor) -> Tensor:
        logits = x @ weights
        fit = (logits - target).square() if regression else -target * logits.log_softmax(-1)
        return fit.sum(1).mean() + (penalty * weights.square()).sum()

    scale = (2 if regression else 1) / count
    for _ in range(NEWTON_STEPS):
        predicted = x @ weights if regression else (x @ weights).softmax(-1)
        gradient = x.T @ (predicted - target) * scale + 2 * penalty * weights
        if gradient.abs().max() < NEWTON_TOLERANCE:
            break
        step = _newton_step(x, predicted, gradient, penalty, regression)
        size = 1.0
        before = loss(weights)
        descent = (gradient * step).sum()
        while loss(weights - size * step) > before - 1e-4 * size * descent and size > 1e-6:
            size /= 2
        weights = weights - size * step
    return weights


def _penalty(entries: int, l2: float) -> Tensor:
    """Weight of each entry's square, (E, 1): a bias may be as large as it likes."""
    penalty = torch.full((entries, 1), l2)
    penalty[-1] = 0.0
    return penalty


def _newton_step(
    x: Tensor, predicted: Tensor, gradient: Tensor, penalty: Tensor, regression: bool
) -> Tensor:
    """The inverse of the second derivative (C E, C E), applied to the gradient (E, C): (E, C)."""
    entries, classes = gradient.shape
    hessian = torch.zeros(classes, entries, classes, entries)
    # Probabilities add up to 1, so that the last class's part follows from the others'.
    free = max(1, classes - 1)
    for c in range(free):
        for k in range(c + 1):
            if regression:
                curvature = torch.full_like(predicted[:, c], 2.0)
            else:
                curvature = predicted[:, c] * (float(c == k) - predicted[:, k])
            block = x.T @ (x * curvature.unsqueeze(1)) / len(x)
            hessian[k, :, c] = block
            hessian[c, :, k] = block
    if classes > 1:
        hessian[:free, :, free] = -hessian[:free, :, :free].sum(2)
        hessian[free] = -hessian[:free].sum(0)
    # The small part makes it invertible: equal biases for all classes change nothing.
    ridge = (2 * penalty + 1e-7).expand(entries, classes).T.reshape(-1)
    matrix = hessian.reshape(classes * entries, -1) + ridge.diag()
    step = torch.linalg.solve(matrix.double(), gradient.T.reshape(-1).double())
    return step.reshape(classes, entries).T.float()


def fit_quasi_newton(x: Tensor, labels: Tensor, num_labels: int, l2: float) -> Tensor:
    """Weights (E, C) by L-BFGS, in memory that is linear in E and C.

    It steps in whitened states, whose metric is the second derivative at equal probabilities: the
    same for every class, and far fewer steps are needed. In float32 the line search would stop
    early, where two losses are too close to be told from one another.

    x: (N, E). labels: (N,) class indices.
    """
    count, entries = x.shape
    x = x.double()
    penalty = _penalty(entries, l2).double()
    metric = x.T @ x / (count * num_labels) + (2 * penalty + 1e-7).squeeze(1).diag()
    root = torch.linalg.cholesky(metric)  # metric = root root'
    whitened = torch.zeros(entries, num_labels, dtype=x.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [whitened],
        max_iter=QUASI_NEWTON_STEPS,
        history_size=20,
        tolerance_grad=QUASI_NEWTON_TOLERANCE,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def unwhiten(values: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(root.T, values, upper=True)

    def closure() -> Tensor:
        solver.zero_grad()
        weights = unwhiten(whitened)
        loss = F.cross_entropy(x @ weights, labels) + (penalty * weights.square()).sum()
        loss.backward()
        return loss

    solver.step(closure)
    return unwhiten(whitened.detach()).float()
