"""What a stage minimises: its terms by name, weighted; what is shown is what is minimised."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ukd.data import Batch
from ukd.hidden import HiddenMatch
from ukd.losses import divergence, intermediate_loss, kd_loss, label_loss
from ukd.methods import Method, Stage
from ukd.outputs import Outputs
from ukd.projection import full_precision


@dataclass
class Objective:
    """The terms of a stage: (model, batch) -> {name: weighted loss}.

    The intermediate term covers the layers below the last on both sides and is summed over the student's layers (both from
    the reading of the paper by the author of GLMKD); the last layers meet in ordinary KD. Where the last student layer alone
    learns, it sees all of the teacher's. The hidden term is summed over the student's layers too.

    outputs: the teacher's logits (B, T, C) of a batch; states: its layer states (B, T - 1, E); match: what compares them.
    epoch, epochs: where the stage is, for what changes with it; seed: by which a random map is drawn.
    """

    method: Method
    stage: Stage
    outputs: Outputs | None
    regression: bool
    states: Outputs | None = None
    match: HiddenMatch | None = None
    epochs: int = 1
    seed: int = 0
    epoch: int = 0

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of one batch."""
        method, stage, hidden = self.method, self.stage, self.stage.hidden > 0
        answer = model(**batch.inputs, states=method.hidden.pooling) if hidden else model(**batch.inputs)
        logits, states = answer if hidden else (answer, None)  # (B, S, C), the network's own classifier last; (B, S - 1, D)
        teacher = self.outputs(batch) if stage.kd or stage.intermediate or stage.annealed else None  # (B, T, C)
        found = {}
        if stage.labels:
            found["labels"] = stage.labels * label_loss(logits[:, -1], batch.labels, regression=self.regression)
        if stage.kd:
            found["kd"] = stage.kd * kd_loss(logits[:, -1], teacher[:, -1], tau=method.tau, regression=self.regression)
        if stage.intermediate:
            ours, theirs = sides(method, logits, teacher)
            result = intermediate_loss(ours, theirs, **loss_options(method, self.regression), seed=map_seed(self.seed, self.epoch))
            found["intermediate"] = stage.intermediate * result.per_layer.sum()
        if hidden:
            found["hidden"] = stage.hidden * self.match(states, self.states(batch), self.epoch, self.seed).sum()
        if stage.annealed:
            aim = annealing(self.epoch, self.epochs) * full_precision(teacher[:, -1])
            found["annealed"] = stage.annealed * divergence(full_precision(logits[:, -1]), aim, 1.0, True).mean()
        return found


def map_seed(seed: int, epoch: int) -> int:
    """By which a run's random map is drawn in an epoch of a stage."""
    return 10_000 * seed + epoch


def sides(method: Method, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """The layers that meet in the output space: those below the last on both sides, or the student's last and all of the teacher's.

    With keys "all" those below the student's last see the teacher's last one as well.
    """
    if method.students == "last":
        return student[:, -1:], teacher
    return student[:, :-1], teacher if method.keys == "all" else teacher[:, :-1]


def annealing(epoch: int, epochs: int) -> float:
    """How much of the teacher's logits Annealing-KD shows in epoch 0 .. epochs - 1: 1 / epochs up to 1 (1 - (k - 1) / K, k = K .. 1)."""
    return min(1.0, (epoch + 1) / epochs)


def loss_options(method: Method, regression: bool) -> dict:
    """The method's options as `intermediate_loss` takes them."""
    names = ("mapping", "combine", "tau", "kappa", "attention_grad")
    return {name: getattr(method, name) for name in names} | {"regression": regression}
