"""What a method is: stages of weighted loss terms, and which layers the intermediate terms compare.

All methods except TAKD and Annealing-KD are configurations of one loss.
"""

from __future__ import annotations

from dataclasses import dataclass

TERMS = ("labels", "kd", "intermediate", "hidden", "annealed")
TEACHER_TERMS = TERMS[1:]
HALF = 0.5  # of all epochs: the first of two stages, unless teacher_stage says otherwise
# What can be changed of a method by name; stages and space are said in words of their own.
OPTIONS = (
    "temperature",
    "layer_map",
    "attention_on",
    "attention_temperature",
    "detach_attention",
    "student_layers",
    "teacher_layers",
)


@dataclass(frozen=True)
class Stage:
    """One training stage: the weights of its loss terms, whose sum is minimised.

    Attributes:
        epoch_fraction: the stage's part of all epochs, which are the same for every method.
        labels, kd: weights of the losses on the last layer.
        intermediate: weight in the output space, summed over the student's layers.
        intermediate_decay: lower that weight epoch by epoch, from the whole in the first to 1/E of
            it in the last of the stage's E epochs.
        hidden: weight in the hidden space, summed over the student's layers.
        annealed: weight of the squared error to the teacher's last logits, which grow to their size
            over the stage's epochs.
    """

    name: str
    epoch_fraction: float
    labels: float = 0.0
    kd: float = 0.0
    intermediate: float = 0.0
    hidden: float = 0.0
    annealed: float = 0.0
    intermediate_decay: bool = False

    @property
    def uses_teacher(self) -> bool:
        """Whether any term compares with the teacher."""
        return any(getattr(self, term) for term in TEACHER_TERMS)


@dataclass(frozen=True)
class HiddenStateConfig:
    """A loss between hidden states; see `ukd.methods.hidden_states.HiddenStateLoss`.

    Attributes:
        layer_map: which teacher layers each student layer sees: one of `LAYER_MAPS`, or "groups".
        pooling: of the tokens' states, "first" or "mean".
        normalise: compare states of unit length.
        width: of a learned projection of both sides; None for none.
        attention_temperature: kappa of layer_map "attention".
        detach_attention: stop the gradient at the attention weights.
    """

    layer_map: str
    pooling: str = "first"
    normalise: bool = True
    width: int | None = None
    attention_temperature: float = 1.0
    detach_attention: bool = False


@dataclass(frozen=True)
class Method:
    """A method: its stages and the options of its losses (see `ukd.intermediate_loss`).

    Attributes:
        temperature: tau of the soft targets.
        layer_map, attention_on, attention_temperature, detach_attention: of `intermediate_loss`; a
            function by its name (see `ukd.methods.own_maps.named`).
        student_layers: which student layers the intermediate term teaches: the "intermediate" ones,
            the "upper" ones of these, above a third of the student's depth, or the "last", which
            sees all of the teacher's layers.
        teacher_layers: which teacher layers the intermediate student layers see: the
            "intermediate" ones, or "all".
        hidden: the loss between hidden states, of methods that have one.
        assistant: learn from a network between teacher and student instead of from the teacher.
    """

    name: str
    summary: str
    source: str
    stages: tuple[Stage, ...]
    temperature: float = 2.0
    layer_map: str = "attention"
    attention_on: str = "logits"
    attention_temperature: float = 1.0
    detach_attention: bool = True
    student_layers: str = "intermediate"
    teacher_layers: str = "intermediate"
    hidden: HiddenStateConfig | None = None
    assistant: bool = False

    def epochs(self, total: int) -> list[int]:
        """The stages' parts of `total` epochs, which add up to it.

        Raises ValueError if a stage would get none, and where so few epochs leave an option of the
        stages without effect.
        """
        parts = []
        fraction = 0.0
        for stage in self.stages:
            fraction += stage.epoch_fraction
            parts.append(round(total * fraction) - sum(parts))
        if min(parts) < 1:
            raise ValueError(
                f"{self.name} has {len(parts)} stages, and {total} epochs leave one without any: "
                "give it more (--student-epochs)"
            )
        first = self.stages[0].epoch_fraction
        if len(parts) == 2 and first != HALF and parts[0] == round(total * HALF):
            raise ValueError(
                f"teacher_stage {first!r} of {total} epochs is {parts[0]}, as it is without the "
                "option: take another value, or more epochs (--student-epochs)"
            )
        for stage, epochs in zip(self.stages, parts, strict=True):
            if stage.intermediate_decay and epochs == 1:
                raise ValueError(
                    f"intermediate_decay lowers a weight from epoch to epoch, and stage "
                    f"{stage.name} of {self.name} has one: give it more (--student-epochs)"
                )
        return parts

    @property
    def needs_teacher(self) -> bool:
        """Whether any stage learns from the teacher."""
        return any(stage.uses_teacher for stage in self.stages)

    @property
    def has_intermediate_loss(self) -> bool:
        """Whether any stage has a term in the output space, so that there is a layer map."""
        return any(stage.intermediate for stage in self.stages)

    @property
    def needs_heads(self) -> bool:
        """Whether the student gets pseudo classifiers."""
        return self.has_intermediate_loss and self.student_layers != "last"


def one_stage(**weights: float) -> tuple[Stage, ...]:
    """All terms at once."""
    return (Stage("all", 1.0, **weights),)


def two_stages(**weights: float) -> tuple[Stage, ...]:
    """From the teacher first, then from labels alone."""
    return (Stage("teacher", HALF, **weights), Stage("labels", 1 - HALF, labels=1.0))
