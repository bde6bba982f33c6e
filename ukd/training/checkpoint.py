"""What a training run needs to continue after it was cut off, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ukd.config.disk import check_space
from ukd.config.files import atomic_file
from ukd.config.runtime import logger
from ukd.config.verified import set_aside

MODEL = "model."
BEST = "best."
OPTIMIZER = "optimizer."
RANDOM = "random."
COPIES = 9  # of the weights, at most on the disk at once
METADATA = "notes"  # name of the file's metadata


class Checkpointer:
    """The state of a run: weights, best weights, optimiser moments, random state, and history.

    Attributes:
        curve: [{"step", loss terms}].
        epochs: [{"epoch", "step", "dev", ...}].
        best: weights of the epoch with the best score so far; empty without scores.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, path: Path | None
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.path = path
        self.curve: list[dict] = []
        self.epochs: list[dict] = []
        self.best: dict[str, Tensor] = {}
        self.best_score = -float("inf")

    def check_space(self, what: str) -> None:
        """Raise DiskFull before any work where what is trained will have no room.

        Weights, the best of them and two moments of the optimiser are kept twice while a state
        takes the place of the one before; then the weights are saved.

        what: is trained, for the sentence.
        """
        if self.path is not None:
            size = sum(tensor.nbytes for tensor in self.model.state_dict().values())
            there = self.path.stat().st_size if self.path.is_file() else 0
            check_space(self.path.parent, COPIES * size - there, what)

    def finish_epoch(self, epoch: int, step: int, score: float | None, notes: dict) -> None:
        """Note an epoch and keep its weights if they are the best so far.

        Args:
            epoch: its number, from 0.
            step: optimiser steps until its end.
            score: on the development part; higher is better.
            notes: what else goes into the history.
        """
        self.epochs.append({"epoch": epoch + 1, "step": step, "dev": score, **notes})
        if score is not None and score > self.best_score:
            self.best_score = score
            self.best = {}
            for name, tensor in self.model.state_dict().items():
                self.best[name] = tensor.detach().clone()

    def restore_best(self) -> None:
        """Put the best weights back, if any were kept."""
        if self.best:
            self.model.load_state_dict(self.best)

    def save(self, next_epoch: int) -> None:
        """Write the whole state or nothing."""
        if self.path is None:
            return
        notes = {
            "next_epoch": next_epoch,
            "curve": self.curve,
            "epochs": self.epochs,
            "best_score": self.best_score,
        }
        tensors = {}
        for name, tensor in self._tensors().items():
            tensors[name] = tensor.detach().cpu().clone().contiguous()
        notes["sha256"] = _digest(tensors, notes)
        with atomic_file(self.path) as temporary:
            save_file(tensors, temporary, {METADATA: json.dumps(notes)})

    def _tensors(self) -> dict[str, Tensor]:
        tensors = _prefixed(MODEL, self.model.state_dict())
        tensors |= _prefixed(BEST, self.best)
        tensors |= _prefixed(RANDOM, _random_state())
        for index, moments in self.optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"{OPTIMIZER}{index}.{name}"] = torch.as_tensor(value)
        return tensors

    def load(self) -> int:
        """Continue from a saved state, if there is one; returns the next epoch, from 0."""
        if self.path is None or not self.path.is_file():
            return 0
        try:
            tensors = load_file(self.path)
            with safe_open(self.path, "pt") as file:
                notes = json.loads(file.metadata()[METADATA])
            if notes.pop("sha256") != _digest(tensors, notes):
                raise ValueError("its content is not what was written")
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            set_aside(self.path, f"checkpoint ({error})")
            return 0
        self.model.load_state_dict(_part(tensors, MODEL))
        self.best = _part(tensors, BEST)
        self._load_optimizer(_part(tensors, OPTIMIZER))
        _set_random_state(_part(tensors, RANDOM))
        self.curve = notes["curve"]
        self.epochs = notes["epochs"]
        self.best_score = notes["best_score"]
        logger.info(f"continuing at epoch {notes['next_epoch'] + 1} from {self.path.name}")
        return notes["next_epoch"]

    def _load_optimizer(self, tensors: dict[str, Tensor]) -> None:
        state = self.optimizer.state_dict()
        for name, tensor in tensors.items():
            index, key = name.split(".")
            state["state"].setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict(state)


def _digest(tensors: dict[str, Tensor], notes: dict) -> str:
    """sha256 of the notes, and of all tensors' names and bytes."""
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    part = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            part[name.removeprefix(prefix)] = tensor
    return part


def _random_state() -> dict[str, Tensor]:
    state = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Tensor]) -> None:
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
