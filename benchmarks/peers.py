"""Other people's training code on the same models and batches, at its best documented settings."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from torch import nn
from transformers import DataCollatorWithPadding, PreTrainedModel, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from benchmarks.timing import Contender, Ratio, ratio, take_turns
from benchmarks.workbench import LEARNING_RATE, WEIGHT_DECAY, Steps, Workbench, adamw
from ukd.config.runtime import Runtime
from ukd.data.batches import Batch, TokenizedSplit, training_batches
from ukd.training.loop import autocast

LONG_EPOCH = 60  # steps
SHORT_EPOCH = 10
TRAINER_SETTINGS = (
    "grouped by length, padding per batch, fused AdamW, clipping at 1, no logging, no saving, "
    "precision asked for"
)
TEXTBREWER_SETTINGS = (
    "GeneralDistiller, logits (cross-entropy, temperature 4) and four pairs of hidden states "
    "(hidden_mse), our batches, fused AdamW, clipping at 1, no checkpoint in the timed part"
)


def against_trainer(bench: Workbench) -> Ratio:
    """Fine-tuning with our loop beside Hugging Face's Trainer, batches made on the way.

    A long epoch less a short one is compared: neither pays for what happens once.
    """
    batch_size = bench.config.batch_size
    train = bench.tokenized(replace(bench.config, max_train=None))
    contenders = {}
    for name, count in (("long", LONG_EPOCH), ("short", SHORT_EPOCH)):
        data = train.first(count * batch_size)
        contenders[f"ours {name}"] = _our_epoch(bench, data)
        student = bench.student("layers", heads=False)
        contenders[f"Trainer {name}"] = trainer_epoch(
            student.network, data, batch_size, bench.runtime
        )
    seconds = take_turns(contenders, 3)
    differences = {}
    for who in ("ours", "Trainer"):
        difference = np.subtract(seconds[f"{who} long"], seconds[f"{who} short"])
        differences[who] = list(difference)
    return ratio(
        f"fine-tuning, {bench.runtime.precision}: our loop / Trainer",
        "at most 1.05",
        differences,
        "ours",
        "Trainer",
        parts=LONG_EPOCH - SHORT_EPOCH,
    )


def _our_epoch(bench: Workbench, data: TokenizedSplit) -> Contender:
    """Our loop over an epoch."""
    student = bench.student("layers", heads=False)
    steps = Steps(student, bench.objective(None), [], bench.runtime)

    def run() -> None:
        steps.batches = list(training_batches(data, bench.config.batch_size, 1, 0))
        steps()

    return run


def trainer_epoch(
    network: PreTrainedModel, data: TokenizedSplit, batch_size: int, runtime: Runtime
) -> Contender:
    """One epoch of Hugging Face's Trainer."""
    arguments = TrainingArguments(
        tempfile.mkdtemp(prefix="ukd-benchmarks-"),
        num_train_epochs=1,
        per_device_train_batch_size=batch_size,
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
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
        train_dataset=data.inputs.add_column("labels", data.labels.tolist()),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer.train


def against_textbrewer(bench: Workbench) -> list[Ratio]:
    """Distilling with TextBrewer, online and with its own cache, beside ours; none without it."""
    if not textbrewer_version():
        return []
    contenders = {
        "TextBrewer": textbrewer_round(bench, cached=False),
        "its cache": textbrewer_round(bench, cached=True),
        "ours": bench.distilling("layers", bench.cached()),
    }
    seconds = take_turns(contenders)
    name = f"layers, {bench.runtime.precision}: TextBrewer"
    limit = 1.75 if bench.runtime.precision == "float32" else 1.4
    parts = len(bench.batches)
    return [
        ratio(
            f"{name}, online teacher / ours",
            f"at least {limit}",
            seconds,
            "TextBrewer",
            "ours",
            parts=parts,
        ),
        ratio(
            f"{name}, cache filled by hand / ours",
            "at least 1.0",
            seconds,
            "its cache",
            "ours",
            parts=parts,
        ),
    ]


def textbrewer_version() -> str | None:
    """The version of TextBrewer, None where it is not installed."""
    try:
        return version("textbrewer")
    except PackageNotFoundError:
        return None


def textbrewer_round(bench: Workbench, *, cached: bool) -> Contender:
    """A round of TextBrewer's GeneralDistiller over the batches.

    It matches last logits and hidden states. With `cached` its `teacher_cache` is filled
    beforehand, by hand.
    """
    from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig

    class WithoutCheckpoints(GeneralDistiller):
        """A checkpoint at the end of an epoch has no part in the cost of a step."""

        def save_and_callback(self, *_: object) -> None:
            pass

    logging.getLogger("Distillation").setLevel(logging.WARNING)
    runtime = bench.runtime
    teacher_network = bench.teacher.load(bench.task).module.network
    student_network = bench.student("layers", heads=False).network
    pairs = _hidden_pairs(teacher_network, student_network)
    loss = "mse" if bench.task.spec.regression else "ce"
    teacher = HiddenStates(teacher_network).to(runtime.device).eval().requires_grad_(False)
    student = HiddenStates(student_network).to(runtime.device)
    distiller = WithoutCheckpoints(
        TrainingConfig(
            device=runtime.device, output_dir=tempfile.mkdtemp(prefix="ukd-benchmarks-")
        ),
        DistillationConfig(intermediate_matches=pairs, kd_loss_type=loss),
        teacher,
        student,
        _adaptor,
        _adaptor,
    )
    filling = teacher if cached else None
    batches = [_textbrewer_batch(batch, filling, runtime) for batch in bench.batches]
    optimizer = adamw(student)

    def run() -> None:
        student.train()
        with autocast(runtime):
            distiller.train(optimizer, batches, num_epochs=1, max_grad_norm=1.0, callback=None)

    return run


class HiddenStates(nn.Module):
    """A network that also gives its hidden states, which TextBrewer's adaptors read."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: torch.Tensor) -> dict:
        """Logits and the states of every layer."""
        output = self.network(**inputs, output_hidden_states=True)
        return {"logits": (output.logits,), "hidden": output.hidden_states}


def _hidden_pairs(teacher: PreTrainedModel, student: PreTrainedModel) -> list[dict]:
    """Every student layer with a teacher layer at the same part of the depth."""
    pairs = []
    depth = student.config.num_hidden_layers
    for layer in range(1, depth + 1):
        pairs.append(
            {
                "layer_T": layer * teacher.config.num_hidden_layers // depth,
                "layer_S": layer,
                "feature": "hidden",
                "loss": "hidden_mse",
                "weight": 1,
            }
        )
    return pairs


def _adaptor(batch: dict, output: dict) -> dict:
    """TextBrewer reads what `HiddenStates` gives."""
    return output


def _textbrewer_batch(batch: Batch, teacher: nn.Module | None, runtime: Runtime) -> dict:
    """A batch in TextBrewer's form, with the teacher's output where a teacher is given."""
    both = {"teacher": batch.inputs, "student": batch.inputs}
    if teacher is not None:
        with torch.no_grad(), autocast(runtime):
            both["teacher_cache"] = teacher(**batch.to(runtime.device).inputs)
    return both
