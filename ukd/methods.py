"""The table of methods: each is a name, a source and one or two stages; everything else is shared."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ukd.losses import COMBINE, MAPPINGS
from ukd.projection import check_temperature


@dataclass(frozen=True)
class Stage:
    """What a stage minimises: labels * L_labels + kd * L_KD + intermediate * (sum of L_inter over the student's layers).

    `share` is the stage's part of the epochs, which are the same for every method.
    """

    name: str
    share: float
    labels: float = 0.0
    kd: float = 0.0
    intermediate: float = 0.0


@dataclass(frozen=True)
class Method:
    """A method: its stages and the options of its losses (see `ukd.intermediate_loss`)."""

    name: str
    summary: str
    source: str
    stages: tuple[Stage, ...]
    tau: float = 2.0
    mapping: str = "attention"
    combine: str = "logits"
    kappa: float = 1.0
    attention_grad: bool = True

    def epochs(self, total: int) -> list[int]:
        """The stages' parts of `total` epochs, which add up to it. Raises ValueError if a stage would get none."""
        ends = [round(total * sum(stage.share for stage in self.stages[: number + 1])) for number in range(len(self.stages))]
        parts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        if min(parts) < 1:
            raise ValueError(f"{self.name} has {len(parts)} stages, and {total} epochs leave one without any: give it more")
        return parts

    @property
    def needs_teacher(self) -> bool:
        """Whether any stage learns from the teacher."""
        return any(stage.kd or stage.intermediate for stage in self.stages)

    @property
    def needs_heads(self) -> bool:
        """Whether the student gets pseudo classifiers."""
        return any(stage.intermediate for stage in self.stages)


METHODS = {
    method.name: method
    for method in (
        Method("no-kd", "labels only", "baseline", (Stage("labels", 1.0, labels=1.0),)),
        Method("kd", "labels and the teacher's last layer, half each", "Hinton et al. 2015", (Stage("kd", 1.0, labels=0.5, kd=0.5),)),
        Method(
            "kd-two-stage", "universal-kd without its intermediate term: what the stages alone do", "control",
            (Stage("teacher", 0.5, kd=0.5), Stage("labels", 0.5, labels=1.0)),
        ),
        Method(
            "universal-kd", "attention over the teacher layers' outputs, then labels", "Wu et al. 2021",
            (Stage("teacher", 0.5, kd=0.5, intermediate=0.5), Stage("labels", 0.5, labels=1.0)),
        ),
    )
}  # fmt: skip
OPTIONS = tuple(field.name for field in fields(Method) if field.name in ("tau", "mapping", "combine", "kappa", "attention_grad"))


def method(name: str, **options: object) -> Method:
    """The named method with any of its `OPTIONS` changed. Raises ValueError that lists what is valid."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of: {', '.join(METHODS)}")
    if unknown := set(options) - set(OPTIONS):
        raise ValueError(f"unknown option {sorted(unknown)[0]!r} of {name}; choose among: {', '.join(OPTIONS)}")
    chosen = replace(METHODS[name], **{key: value for key, value in options.items() if value is not None})
    check_temperature("tau", chosen.tau)
    check_temperature("kappa", chosen.kappa)
    for option, valid in (("mapping", MAPPINGS), ("combine", COMBINE)):
        if getattr(chosen, option) not in valid:
            raise ValueError(f"unknown {option} {getattr(chosen, option)!r}; choose one of: {', '.join(valid)}")
    return chosen
