"""The weighted loss terms of one training stage; their sum is minimised and each is logged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ukd.data.batches import Batch
from ukd.losses import intermediate_loss, kd_loss, label_loss, soft_target_loss
from ukd.methods.hidden_states import HiddenStateLoss, layer_map_seed
from ukd.methods.method import Method, Stage
from ukd.methods.own_maps import callable_of
from ukd.projection import upcast

# From a batch to what the teacher gives for its rows: logits (B, T, C) or states (B, T - 1, E).
TeacherLookup = Callable[[Batch], Tensor]


@dataclass
class Objective:
    """The terms of a stage: (model, batch) -> {name: weighted loss}.

    The intermediate term covers the intermediate layers of both sides and is summed over the
    student's; the last layers meet in ordinary KD. Both come from the reading of the paper by the
    author of GLMKD. A student whose last layer alone learns sees all teacher layers.

    Attributes:
        teacher_logits: a batch's teacher logits (B, T, C); None where no term needs them.
        teacher_states: a batch's teacher states (B, T - 1, E), for the hidden term.
        hidden_loss: what compares states.
        epochs, epoch: length of the stage and where it is, for what changes with it.
        seed: of a random layer map.
    """

    method: Method
    stage: Stage
    teacher_logits: TeacherLookup | None
    regression: bool
    teacher_states: TeacherLookup | None = None
    hidden_loss: HiddenStateLoss | None = None
    epochs: int = 1
    seed: int = 0
    epoch: int = 0

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of one batch."""
        stage = self.stage
        states = None
        if stage.hidden:
            # (B, S, C), the network's own classifier last; (B, S - 1, D)
            logits, states = model(**batch.inputs, states=self.method.hidden.pooling)
        else:
            logits = model(**batch.inputs)
        teacher = None
        if stage.kd or stage.intermediate or stage.annealed:
            teacher = self.teacher_logits(batch)  # (B, T, C)
        terms = {}
        if stage.labels:
            loss = label_loss(logits[:, -1], batch.labels, regression=self.regression)
            terms["labels"] = stage.labels * loss
        if stage.kd:
            terms["kd"] = stage.kd * self._kd(logits, teacher)
        if stage.intermediate:
            weight = stage.intermediate
            if stage.intermediate_decay:
                weight *= 1 - self.epoch / self.epochs
            terms["intermediate"] = weight * self._intermediate(logits, teacher)
        if stage.hidden:
            per_layer = self.hidden_loss(states, self.teacher_states(batch), self.epoch, self.seed)
            terms["hidden"] = stage.hidden * per_layer.sum()
        if stage.annealed:
            terms["annealed"] = stage.annealed * self._annealed(logits, teacher)
        return terms

    def _kd(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Vanilla KD between the last layers."""
        temperature = self.method.temperature
        return kd_loss(
            logits[:, -1], teacher[:, -1], temperature=temperature, regression=self.regression
        )

    def _intermediate(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """The intermediate loss, summed over the student's layers that it teaches."""
        lowest = lowest_taught(self.method, logits.shape[1])
        student, teacher = select_layers(self.method, logits, teacher)
        options = loss_options(self.method, self.regression)
        seed = layer_map_seed(self.seed, self.epoch)
        return intermediate_loss(student, teacher, **options, seed=seed).per_layer[lowest:].sum()

    def _annealed(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Squared error to the teacher's last logits, scaled by how far the stage is."""
        target = annealing(self.epoch, self.epochs) * upcast(teacher[:, -1])
        return soft_target_loss(upcast(logits[:, -1]), target, 1.0, True).mean()


def select_layers(method: Method, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """The layers that meet in the output space: student (B, S, C) and teacher (B, T, C), cut.

    They are the intermediate layers of both sides, or the student's last and all of the teacher's.
    With teacher_layers "all" the student's intermediate layers see the teacher's last one too.
    """
    if method.student_layers == "last":
        return student[:, -1:], teacher
    if method.teacher_layers == "all":
        return student[:, :-1], teacher
    return student[:, :-1], teacher[:, :-1]


def lowest_taught(method: Method, depth: int) -> int:
    """Index, from 0, of the lowest student layer that the intermediate term teaches.

    With student_layers "upper" it is the first above a third of `depth`, the layers of the student.
    Those below take part in the layer map, so that it has a row for each, and learn nothing there.
    """
    return depth // 3 if method.student_layers == "upper" else 0


def annealing(epoch: int, epochs: int) -> float:
    """Share of the teacher's logits that Annealing-KD shows in epoch 0 .. epochs - 1.

    It grows from 1 / epochs to 1: 1 - (k - 1) / K for k = K .. 1 (Jafari et al. 2021).
    """
    return min(1.0, (epoch + 1) / epochs)


def loss_options(method: Method, regression: bool) -> dict[str, object]:
    """The method's options as `intermediate_loss` takes them."""
    return {
        "layer_map": callable_of(method.layer_map),
        "attention_on": method.attention_on,
        "temperature": method.temperature,
        "attention_temperature": method.attention_temperature,
        "detach_attention": method.detach_attention,
        "regression": regression,
    }
