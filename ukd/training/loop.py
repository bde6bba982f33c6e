"""The training loop, explicit and short, on accelerate; the same loop pretrains, fine-tunes and distils."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ukd.config.runtime import Runtime, bars, progress, say
from ukd.data.batches import Batch, TokenizedSplit, evaluation_batches

Objective = Callable[[nn.Module, Batch], dict[str, Tensor]]
POINTS = 60


@dataclass(frozen=True)
class Schedule:
    """Steps and rate: linear warm-up, linear decay to zero, AdamW, clipping by the norm of all gradients."""

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    accumulate: int = 1

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return self.epochs * (self.steps_per_epoch // self.accumulate)

    def rate_at(self, step: int) -> float:
        """Learning rate of optimiser step 0 .. steps - 1, positive at both ends."""
        warm = max(1, round(self.warmup * self.steps))
        return self.learning_rate * min(
            (step + 1) / warm, (self.steps - step) / max(1, self.steps - warm), 1.0
        )


def accelerator_for(runtime: Runtime, accumulate: int = 1) -> Accelerator:
    """An Accelerator with this device and precision; accelerate keeps one state per process, so a new precision resets it."""
    precision = {"float32": "no"}.get(runtime.precision, runtime.precision)
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != precision:
        AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=accumulate,
        cpu=runtime.device == "cpu",
    )


def fit(
    model: nn.Module,
    batches: Callable[[int, int, int], Iterable[Batch]],
    objective: Objective,
    schedule: Schedule,
    runtime: Runtime,
    *,
    score: Callable[[nn.Module], float | tuple[float, dict]] | None = None,
    checkpoint: Path | None = None,
    label: str = "training",
) -> dict:
    """Minimise the sum of the objective's terms; keep the best epoch if there is a `score`, else the last.

    Args:
        model: trained in place; parameters that do not require a gradient stay as they are.
        batches: (epoch, rank, world) -> the epoch's batches, in an order that depends on these alone.
        objective: (model, batch) -> named scalar terms, already weighted; exactly their sum is minimised.
        score: of the model on the development part, after every epoch; higher is better. With it may come a dict of what else is to
            be noted of the epoch.
        checkpoint: a file from which a run that was cut off goes on at the last whole epoch, bit-exactly but for fp16's loss scale.

    Returns: {"curve": [{"step", terms ...}], "epochs": [{"epoch", "step", "dev"}]}.
    """
    accelerator = accelerator_for(runtime, schedule.accumulate)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, schedule.weight_decay), lr=schedule.learning_rate, fused=True
    )
    cover = AcceleratorWrapper(torch.compile(model, dynamic=True) if runtime.compiled else model)
    wrapped, optimizer = accelerator.prepare(cover, optimizer)
    state = Checkpointer(model, optimizer, checkpoint)
    for epoch in range(state.load(), schedule.epochs):
        stream = batches(epoch, accelerator.process_index, accelerator.num_processes)
        shown = progress(
            stream, f"{label}, epoch {epoch + 1}/{schedule.epochs}", schedule.steps_per_epoch
        )
        state.curve += train_one_epoch(
            accelerator, wrapped, optimizer, shown, objective, schedule, epoch
        )
        with (
            warnings.catch_warnings()
        ):  # early epochs often guess one class; the final score says so, if it stays
            warnings.simplefilter("ignore", UserWarning)
            state.finish_epoch(epoch, schedule, score(model) if score else None, label)
        if accelerator.is_main_process:
            state.save(epoch + 1)
    state.restore_best()
    accelerator.free_memory()
    return {"curve": state.curve, "epochs": state.epochs}


class AcceleratorWrapper(nn.Module):
    """A cover for accelerate to wrap. What it has prepared once it leaves alone ever after: a model that is trained in two
    stages would get neither autocast nor gradients shared between processes in the second."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: object, **inputs: object) -> object:
        """What the model answers."""
        return self.model(*args, **inputs)


def train_one_epoch(
    accelerator, model, optimizer, batches, objective, schedule: Schedule, epoch: int
) -> list[dict]:
    """One pass; returns curve points. Losses stay on the device until its end, so that no step waits for the host."""
    points, window, names = [], [], []
    per_epoch = schedule.steps_per_epoch // schedule.accumulate
    step, every = epoch * per_epoch, max(1, schedule.steps // POINTS)
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
        step += accelerator.sync_gradients
        if accelerator.sync_gradients and step % every == 0:
            points.append((step, torch.stack(window).mean(0)))
            window = []
    return [
        {"step": at, **dict(zip(names, accelerator.reduce(mean, "mean").tolist(), strict=True))}
        for at, mean in points
    ]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Everything that learns, heads included; no decay for vectors (biases, normalisations)."""
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed, plain = [p for p in learns if p.dim() > 1], [p for p in learns if p.dim() <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


class Checkpointer:
    """What a run needs to go on: weights, best weights, optimiser moments, random state, curve; one safetensors file."""

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, path: Path | None
    ) -> None:
        self.model, self.optimizer, self.path = model, optimizer, path
        self.curve: list[dict] = []
        self.epochs: list[dict] = []
        self.best: dict[str, Tensor] = {}
        self.best_score = -float("inf")

    def finish_epoch(
        self, epoch: int, schedule: Schedule, judged: float | tuple[float, dict] | None, label: str
    ) -> None:
        """Note the epoch; remember the weights if they are the best so far."""
        dev, noted = judged if isinstance(judged, tuple) else (judged, {})
        step = (epoch + 1) * (schedule.steps_per_epoch // schedule.accumulate)
        self.epochs.append({"epoch": epoch + 1, "step": step, "dev": dev, **noted})
        if dev is not None and dev > self.best_score:
            self.best_score = dev
            self.best = {
                name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()
            }
        if not bars():
            terms = ", ".join(
                f"{name} {value:.4f}"
                for name, value in (self.curve or [{}])[-1].items()
                if name != "step"
            )
            say(
                f"{label}: epoch {epoch + 1}/{schedule.epochs}, {terms}"
                + (f", dev {dev:.1f}" if dev is not None else "")
            )

    def restore_best(self) -> None:
        """Put the best weights back, if any were kept."""
        if self.best:
            self.model.load_state_dict(self.best)

    def save(self, next_epoch: int) -> None:
        """Write the whole state or nothing."""
        if self.path is None:
            return
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for index, values in self.optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{index}.{name}": torch.as_tensor(value)
                for name, value in values.items()
            }
        tensors |= {f"random.{name}": value for name, value in _random_state().items()}
        said = {
            "next_epoch": next_epoch,
            "curve": self.curve,
            "epochs": self.epochs,
            "best_score": self.best_score,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        save_file(
            {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()},
            temporary,
            {"said": json.dumps(said)},
        )
        temporary.replace(self.path)

    def load(self) -> int:
        """Take up a saved state, if there is one; returns the epoch to go on with."""
        if self.path is None or not self.path.is_file():
            return 0
        tensors = load_file(self.path)
        with safe_open(self.path, "pt") as file:
            said = json.loads(file.metadata()["said"])
        part = lambda prefix: {
            n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)
        }
        self.model.load_state_dict(part("model."))
        self.best = part("best.")
        self._load_optimizer(part("optimizer."))
        _set_random_state(part("random."))
        self.curve, self.epochs, self.best_score = said["curve"], said["epochs"], said["best_score"]
        say(f"going on at epoch {said['next_epoch'] + 1} from {self.path.name}")
        return said["next_epoch"]

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state = self.optimizer.state_dict()
        for name, tensor in tensors.items():
            index, key = name.split(".")
            state["state"].setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(state)


def _random_state() -> dict[str, Tensor]:
    state = {"torch": torch.get_rng_state()}
    return state | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _set_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def autocast(runtime: Runtime) -> torch.autocast:
    """The context in which a network answers in this precision."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(runtime.precision)
    return torch.autocast(torch.device(runtime.device).type, half, enabled=half is not None)


@torch.no_grad()
def evaluate(
    model: nn.Module, data: TokenizedSplit, runtime: Runtime
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows (B,) and logits (B, L, C) in float32 on the CPU, in large batches without graph or dropout; every example once."""
    model.to(runtime.device).eval()
    for batch in evaluation_batches(data):
        with autocast(runtime):
            logits = model(**batch.to(runtime.device).inputs).float()
        yield batch.rows, logits.cpu()


def predict(model: nn.Module, data: TokenizedSplit, runtime: Runtime) -> Tensor:
    """Logits of all examples, in the order of `data`: (N, L, C) in float32 on the CPU."""
    order, parts = zip(*evaluate(model, data, runtime), strict=True)
    found = {int(row): position for position, row in enumerate(torch.cat(order))}
    return torch.cat(parts)[[found[int(row)] for row in data.rows]]
