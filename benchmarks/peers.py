"""Other training code on the same models and batches, each at its best documented setting; for `ukd bench` alone."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable

import torch
from torch import nn
from transformers import DataCollatorWithPadding, PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from benchmarks.timing import RATE, optimizer_of
from ukd.config.runtime import Runtime
from ukd.data.batches import Batch, TokenizedSplit
from ukd.training.loop import autocast

TRAINER = "grouped by length, padding per batch, fused AdamW, clipping at 1, no logging, no saving, precision asked for"
TEXTBREWER = (
    "GeneralDistiller, logits (cross-entropy, temperature 4) and four pairs of hidden states (hidden_mse), our batches, "
    "fused AdamW, clipping at 1, no checkpoint in the timed part"
)


def trainer_run(
    network: PreTrainedModel, data: TokenizedSplit, batch: int, runtime: Runtime
) -> Callable[[], object]:
    """One epoch of Hugging Face's Trainer."""
    rows = data.inputs.add_column("labels", data.labels.tolist())
    arguments = TrainingArguments(
        tempfile.mkdtemp(prefix="ukd-bench-"),
        num_train_epochs=1,
        per_device_train_batch_size=batch,
        learning_rate=RATE,
        weight_decay=0.01,
        optim="adamw_torch_fused",
        bf16=runtime.precision == "bf16",
        fp16=runtime.precision == "fp16",
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        report_to=[],
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_drop_last=True,
        logging_nan_inf_filter=False,
        use_cpu=runtime.device == "cpu",
    )
    trainer = Trainer(
        network,
        arguments,
        data_collator=DataCollatorWithPadding(data.tokenizer),
        train_dataset=rows,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer.train


class TeacherLogits(nn.Module):
    """A network that also gives its hidden states, which TextBrewer's adaptors read."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: torch.Tensor) -> dict:
        """Logits and the states of every layer."""
        said = self.network(**inputs, output_hidden_states=True)
        return {"logits": (said.logits,), "hidden": said.hidden_states}


def textbrewer_run(
    teacher: PreTrainedModel,
    student: PreTrainedModel,
    batches: list[Batch],
    runtime: Runtime,
    *,
    cached: bool,
) -> Callable[[], object] | None:
    """A round of TextBrewer's GeneralDistiller over the batches; with `cached` its `teacher_cache` is filled by hand beforehand.

    None where TextBrewer is not installed.
    """
    try:
        from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
    except ImportError:
        return None
    logging.getLogger("Distillation").setLevel(logging.WARNING)

    class Unsaved(GeneralDistiller):
        """Without the checkpoint at the end of an epoch, which has no part in the cost of a step."""

        def save_and_callback(self, *_: object) -> None:
            pass

    above, below = teacher.config.num_hidden_layers, student.config.num_hidden_layers
    pairs = [
        {
            "layer_T": (number + 1) * above // below,
            "layer_S": number + 1,
            "feature": "hidden",
            "loss": "hidden_mse",
            "weight": 1,
        }
        for number in range(below)
    ]
    teacher, student = (
        TeacherLogits(teacher).to(runtime.device).eval().requires_grad_(False),
        TeacherLogits(student).to(runtime.device),
    )
    ready = [_batch(batch, teacher if cached else None, runtime) for batch in batches]
    adaptor = lambda batch, output: output
    loss = "mse" if student.network.config.num_labels == 1 else "ce"
    settings = TrainingConfig(
        device=runtime.device, output_dir=tempfile.mkdtemp(prefix="ukd-bench-")
    )
    distiller = Unsaved(
        settings,
        DistillationConfig(intermediate_matches=pairs, kd_loss_type=loss),
        teacher,
        student,
        adaptor,
        adaptor,
    )
    optimizer = optimizer_of(student)

    def run() -> None:
        student.train()
        with autocast(runtime):
            distiller.train(optimizer, ready, num_epochs=1, max_grad_norm=1.0, callback=None)

    return run


def _batch(batch: Batch, teacher: nn.Module | None, runtime: Runtime) -> dict:
    both = {"teacher": batch.inputs, "student": batch.inputs}
    if teacher is not None:
        with torch.no_grad(), autocast(runtime):
            both["teacher_cache"] = teacher(**batch.to(runtime.device).inputs)
    return both
