"""The training loop on accelerate; teachers, students and the bundled encoder all train by it.

B batch, L layers that have a classifier, C classes (1 for regression).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from ukd.config.runtime import Runtime, logger, progress, shows_bars
from ukd.data.batches import Batch, TokenizedSplit, evaluation_batches
from ukd.training.checkpoint import Checkpointer

ObjectiveFunction = Callable[[nn.Module, Batch], dict[str, Tensor]]
Score = Callable[[nn.Module], float | tuple[float, dict]]
LOGGED_POINTS = 60  # of a whole run, at most about twice as many


class LossNotFiniteError(ValueError):
    """A loss term became nan or infinite."""


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rate: linear warm-up, linear decay to zero, AdamW, clipped gradients.

    Attributes:
        epochs: passes.
        steps_per_epoch: batches of one pass.
        learning_rate: the peak.
        warmup: share of the steps until the peak.
        weight_decay: of matrices; vectors have none.
        clip: largest norm of all gradients together.
        accumulate: batches to one optimiser step.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    accumulate: int = 1

    @property
    def updates_per_epoch(self) -> int:
        """Optimiser steps of one pass."""
        return self.steps_per_epoch // self.accumulate

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * self.updates_per_epoch

    def rate_at(self, step: int) -> float:
        """Learning rate of optimiser step 0 .. steps - 1, positive at both ends.

        transformers' own schedule starts at zero, so its first step would learn nothing.
        """
        warm = max(1, round(self.warmup * self.steps))
        rising = (step + 1) / warm
        falling = (self.steps - step) / max(1, self.steps - warm)
        return self.learning_rate * min(rising, falling, 1.0)


def accelerator_for(runtime: Runtime, accumulate: int = 1) -> Accelerator:
    """An Accelerator with this device and precision.

    accelerate keeps one state per process, so a new precision resets it.
    """
    precision = "no" if runtime.precision == "float32" else runtime.precision
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=accumulate,
        cpu=runtime.device == "cpu",
    )


def fit(  # noqa: PLR0913
    model: nn.Module,
    batches: Callable[[int, int, int], Iterable[Batch]],
    objective: ObjectiveFunction,
    schedule: Schedule,
    runtime: Runtime,
    *,
    score: Score | None = None,
    checkpoint: Path | None = None,
    label: str = "training",
) -> dict:
    """Minimise the sum of the objective's terms.

    The best epoch's weights are kept if there is a `score`, else the last epoch's.

    Args:
        model: trained in place. Parameters that do not require a gradient stay as they are.
        batches: (epoch, rank, world) -> the epoch's batches, in an order that depends on these
            alone.
        objective: (model, batch) -> scalar terms by name, already weighted. Exactly their sum is
            minimised.
        score: of the model on the development part after every epoch; higher is better. With it
            may come a dict of what else to note of the epoch.
        checkpoint: a file. A run that was cut off continues from it at its last whole epoch, equal
            to the last bit, but for fp16's loss scale.
        label: names the run in progress bars and log lines.

    Returns: {"curve": [{"step", loss terms}], "epochs": [{"epoch", "step", "dev"}]}.

    Raises: LossNotFiniteError that names step, term and rows; DiskFull where the checkpoint will
    have no room.
    """
    accelerator = accelerator_for(runtime, schedule.accumulate)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, schedule.weight_decay), lr=schedule.learning_rate, fused=True
    )
    trained = torch.compile(model, dynamic=True) if runtime.compiled else model
    wrapped, optimizer = accelerator.prepare(AcceleratorWrapper(trained), optimizer)
    state = Checkpointer(model, optimizer, checkpoint)
    state.check_space(label)
    for epoch in range(state.load(), schedule.epochs):
        stream = batches(epoch, accelerator.process_index, accelerator.num_processes)
        title = f"{label}, epoch {epoch + 1}/{schedule.epochs}"
        shown = progress(stream, title, schedule.steps_per_epoch)
        try:
            state.curve += train_one_epoch(
                accelerator, wrapped, optimizer, shown, objective, schedule, epoch
            )
        except LossNotFiniteError as error:
            raise LossNotFiniteError(f"{title}: {error}") from None
        dev, notes = _scored(model, score)
        state.finish_epoch(epoch, (epoch + 1) * schedule.updates_per_epoch, dev, notes)
        _log_epoch(title, state.curve, dev)
        if accelerator.is_main_process:
            state.save(epoch + 1)
    state.restore_best()
    accelerator.free_memory()
    return {"curve": state.curve, "epochs": state.epochs}


class AcceleratorWrapper(nn.Module):
    """A new module around the model, for accelerate to prepare.

    `Accelerator.prepare` skips a model that it prepared before, so a second training stage would
    have neither autocast nor gradients shared between processes.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: object, **inputs: object) -> object:
        """The model's outputs."""
        return self.model(*args, **inputs)


def train_one_epoch(  # noqa: PLR0913
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Batch],
    objective: ObjectiveFunction,
    schedule: Schedule,
    epoch: int,
) -> list[dict]:
    """One pass; returns points of the loss curve, means over the batches between them.

    Losses stay on the device until the end, so that no step waits for the host.
    """
    points = []
    window = []
    names: list[str] = []
    step = epoch * schedule.updates_per_epoch
    every = max(1, schedule.steps // LOGGED_POINTS)
    rows = []
    for batch in batches:
        model.train()
        with accelerator.accumulate(model):
            terms = objective(model, batch.to(accelerator.device))
            accelerator.backward(sum(terms.values()))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), schedule.clip)
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate_at(step)
            optimizer.step()
            optimizer.zero_grad()
        names = list(terms)
        window.append(torch.stack([term.detach().float() for term in terms.values()]))
        rows.append(batch.rows)
        step += accelerator.sync_gradients
        if accelerator.sync_gradients and step % every == 0:
            check_finite(window, rows, names, step)
            points.append((step, torch.stack(window).mean(0)))
            window, rows = [], []
    check_finite(window, rows, names, step)
    curve = []
    for at_step, mean in points:
        means = accelerator.reduce(mean, "mean").tolist()
        curve.append({"step": at_step, **dict(zip(names, means, strict=True))})
    return curve


def check_finite(window: list[Tensor], rows: list[Tensor], names: list[str], step: int) -> None:
    """Raise LossNotFiniteError for the first loss term of these batches that is nan or infinite.

    window: a batch's terms (terms,) each. rows: of each batch. step: the last of them.
    """
    if not window or bool(torch.stack(window).isfinite().all()):
        return
    for back, (terms, numbers) in enumerate(zip(window, rows, strict=True)):
        for name, value in zip(names, terms.tolist(), strict=True):
            if not math.isfinite(value):
                at = step - len(window) + back + 1
                shown = ", ".join(str(row) for row in numbers.tolist()[:8])
                raise LossNotFiniteError(
                    f"the loss term {name!r} is {value} at step {at} (rows {shown}, ...): take a "
                    "lower learning rate (--learning-rate, --teacher-learning-rate) or --precision "
                    "float32, and look at these rows. The last whole epoch is kept"
                )


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Everything that learns, heads included; vectors (biases, normalisations) do not decay."""
    matrices = []
    vectors = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (matrices if parameter.dim() > 1 else vectors).append(parameter)
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def _scored(model: nn.Module, score: Score | None) -> tuple[float | None, dict]:
    """The epoch's score, if there is one, and what else to note of it.

    What scoring draws at random changes no step of training. It may load a teacher, which is made
    with random weights first, and only where its answers are not cached yet.
    """
    if score is None:
        return None, {}
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        result = score(model)
    return result if isinstance(result, tuple) else (result, {})


def _log_epoch(title: str, curve: list[dict], dev: float | None) -> None:
    """One line an epoch, where no bars are shown."""
    if shows_bars():
        return
    parts = [title]
    for name, value in (curve[-1] if curve else {}).items():
        if name != "step":
            parts.append(f"{name} {value:.4f}")
    if dev is not None:
        parts.append(f"dev {dev:.1f}")
    logger.info(", ".join(parts))


def autocast(runtime: Runtime) -> torch.autocast:
    """The context in which a network computes in this precision."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(runtime.precision)
    return torch.autocast(torch.device(runtime.device).type, half, enabled=half is not None)


@torch.no_grad()
def evaluate(
    model: nn.Module, data: TokenizedSplit, runtime: Runtime
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows (B,) and logits (B, L, C) of every example once, without graph or dropout.

    Logits are float32, on the CPU.
    """
    model.to(runtime.device).eval()
    for batch in evaluation_batches(data):
        with autocast(runtime):
            logits = model(**batch.to(runtime.device).inputs).float()
        yield batch.rows, logits.cpu()


def predict(model: nn.Module, data: TokenizedSplit, runtime: Runtime) -> Tensor:
    """Logits of all N examples in the order of `data`: (N, L, C), float32, on the CPU."""
    rows, logits = zip(*evaluate(model, data, runtime), strict=True)
    place = {row: index for index, row in enumerate(torch.cat(rows).tolist())}
    return torch.cat(logits)[[place[row] for row in data.rows.tolist()]]
