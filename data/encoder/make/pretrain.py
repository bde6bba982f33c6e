"""Pretraining: a tokenizer, then BERT's two tasks on a text file and on the suite's discourse."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from itertools import chain, islice
from pathlib import Path

import torch
from transformers import BertForPreTraining, PreTrainedTokenizerBase

from data.encoder.make.batches import SegmentBatches
from data.encoder.make.calibration import steps_for_minutes
from data.encoder.make.documents import Corpus, mixture, read_corpus
from data.encoder.make.network import (
    ROUNDS,
    BertPretraining,
    grown,
    held_out_losses,
    losses,
    narrow_bert,
    stages_of,
    unigram_losses,
)
from data.encoder.make.settings import NARROW_12, PretrainingConfig
from data.encoder.make.tokenizer import load_tokenizer, train_tokenizer
from data.synthetic.make import discourse
from ukd.config.files import atomic_folder, write_json
from ukd.config.keys import code_hash, config_hash, files_hash
from ukd.config.paths import cache_folder, data_folder
from ukd.config.provenance import provenance
from ukd.config.runtime import Runtime, logger
from ukd.config.verified import build_verified
from ukd.data.batches import Batch
from ukd.models.encoders import save
from ukd.training.loop import Schedule, fit

RECORD = "pretraining.json"
MAX_SHARD = "15MB"
TOKENIZER_PARAGRAPHS = 100_000  # of discourse
HELD_OUT_SEED = 9_999
UNIGRAM_BATCHES = 400
STEPS_A_ROUND = 1000
WORDS_A_TOKEN = 0.7  # passages are nearly as long as the length in tokens allows
FINE_TUNING_DROPOUT = 0.1  # what a teacher made from the encoder trains with
Stages = list[tuple[int, int]]


def pretrain_encoder(
    file: Path,
    out: Path,
    *,
    config: PretrainingConfig = NARROW_12,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 1,
    runtime: Runtime,
) -> Path:
    """Pretrain an encoder and save it in half precision at `out`.

    A run that was cut off goes on from its last round of about a thousand steps, bit-exactly.

    Args:
        file: one paragraph a line, an empty line between documents; plain, .gz or .xz.
        out: new folder, as `from_pretrained` takes it.
        steps, minutes: one of them. Minutes become steps once, by a calibration.
        seed: of the weights and the text.

    Returns: out.

    Raises: FileExistsError when `out` exists; ValueError for not exactly one of steps and minutes,
        and for a text that can't be read or is too short to hold a batch out.
    """
    if (steps is None) == (minutes is None):
        raise ValueError(f"pass either steps or minutes, got {steps} and {minutes}")
    if out.exists():
        raise FileExistsError(
            f"{out} exists; encoders are never overwritten: remove it or choose another folder"
        )
    corpus = _corpus(file, config, seed)
    # A folder that can't be written is noticed before the training.
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = _settings(config, seed, runtime)
    budget = {"steps": steps, "minutes": minutes}
    made = {"text": corpus.sha256, **budget, "config": asdict(config), **settings}
    work = cache_folder() / "pretraining" / f"{config.name}-{config_hash(made)}"

    tokenizer = _tokenizer(work / "tokenizer", corpus, config, seed, made)
    stream = mixture(corpus.passages, config.text_share)
    text = SegmentBatches(
        tokenizer, config.max_length, config.batch_size, stream, wrong=config.wrong
    )
    # Decided once: a run that goes on must take the steps that it began with.
    plan = work / "stages.json"
    if not plan.is_file():
        steps = steps or steps_for_minutes(minutes, config, text, runtime)
        write_json(plan, {"stages": stages_of(config.layers, steps)})
    stages = json.loads(plan.read_text(encoding="utf-8"))["stages"]
    network, history = pretrain(
        config, stages, text, _held_out(corpus, config), runtime, seed=seed, checkpoints=work
    )
    record = {
        "text": _text_record(file, corpus, config),
        "minutes asked for": minutes,
        "wrong segments": asdict(config.wrong),
        **settings,
        "vocabulary": len(tokenizer),
        **history,
        **provenance(runtime),
    }
    with atomic_folder(out, shared=False) as building:
        save(network.half(), tokenizer, building, max_shard_size=MAX_SHARD)
        write_json(building / RECORD, record)
        _write_checksums(building)
    return out


def pretrain(
    config: PretrainingConfig,
    stages: Stages,
    text: SegmentBatches,
    held_out: dict[str, Iterable[str]],
    runtime: Runtime,
    *,
    seed: int,
    checkpoints: Path,
) -> tuple[BertForPreTraining, dict]:
    """The network after all stages, and what is known of them.

    Args:
        stages: (layers, steps) of each.
        held_out: paragraphs by the name of their text.
        checkpoints: folder where a run that was cut off is found again.

    Returns: (network, {"stages": curves and held-out losses, "unigram": losses, "seconds"}).
    """
    plan = ", ".join(f"{steps} steps of {layers} layers" for layers, steps in stages)
    logger.info(f"pretraining a {config.layers}-layer encoder, {config.width} wide: {plan}")
    judged = {}
    for name, paragraphs in held_out.items():
        batches = text.batches(paragraphs, seed=0)
        judged[name] = list(islice(batches, text.held_out_batches))
    network = None
    history = []
    start = time.perf_counter()
    for stage, (layers, steps) in enumerate(stages):
        network = grown(network, narrow_bert(config, layers, len(text.tokenizer)), seed)
        model = BertPretraining(network)
        rounds = max(ROUNDS, steps // STEPS_A_ROUND)
        steps_a_round = steps // rounds
        curves = fit(
            model,
            partial(text.epoch, text_seed(seed, stage), steps_a_round),
            losses,
            Schedule(rounds, steps_a_round, config.learning_rate, warmup=0.05),
            runtime,
            score=partial(_negative_loss, held_out=judged),
            checkpoint=checkpoints / f"stage-{stage}.safetensors",
            label=f"pretraining {layers} layers",
        )
        after = {name: held_out_losses(model, batches) for name, batches in judged.items()}
        history.append({"layers": layers, "held_out": after, **curves})
        _log_losses(layers, after)
    network.config.hidden_dropout_prob = FINE_TUNING_DROPOUT
    drawn = islice(text.batches(text.stream(text_seed(seed, 0)), seed=0), UNIGRAM_BATCHES)
    return network, {
        "stages": history,
        "unigram": unigram_losses(drawn, judged, len(text.tokenizer)),
        "seconds": round(time.perf_counter() - start),
    }


def _write_checksums(folder: Path) -> None:
    """Write SHA256SUMS of weights, configuration and tokenizer; `bundled_encoder` reads it."""
    lines = []
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")]):
        lines.append(f"{files_hash([path])}  {path.name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def text_seed(seed: int, stage: int) -> int:
    """Where a stage's text starts: no epoch of any stage reads what another or the test reads."""
    return 10_000 * seed + 1_000 * stage


def _corpus(file: Path, config: PretrainingConfig, seed: int) -> Corpus:
    """The text, cut. Raises ValueError where a text that is read holds out less than a batch."""
    words = round(WORDS_A_TOKEN * config.max_length)
    wanted = SegmentBatches.held_out_batches * config.batch_size
    corpus = read_corpus(file, words, wanted, seed)
    if config.text_share > 0 and len(corpus.held_out) < config.batch_size:
        raise ValueError(
            f"the last {corpus.held_out_documents} documents of {file} give "
            f"{len(corpus.held_out)} passages to hold out, of {config.batch_size} needed: pass a "
            "longer text, and put empty lines between documents and not between paragraphs"
        )
    return corpus


def _settings(config: PretrainingConfig, seed: int, runtime: Runtime) -> dict:
    """What decides the weights of an encoder, its text and its stages aside."""
    ours = code_hash("data.encoder.make.pretrain", data_folder())
    package = [code_hash(name) for name in ("ukd.training.loop", "ukd.models.encoders")]
    return {
        "width": config.width,
        "vocabulary": config.vocabulary,
        "batch": config.batch_size,
        "length": config.max_length,
        "rate": config.learning_rate,
        "seed": seed,
        "precision": runtime.precision,
        "torch": torch.__version__,
        "source": config_hash(ours, package),
    }


def _tokenizer(
    folder: Path, corpus: Corpus, config: PretrainingConfig, seed: int, made: dict
) -> PreTrainedTokenizerBase:
    """The tokenizer, made once: two trainings of one text may differ."""

    def make(building: Path) -> None:
        told = islice(discourse(seed), TOKENIZER_PARAGRAPHS)
        lines = chain(chain.from_iterable(corpus.documents), told)
        train_tokenizer(lines, config.vocabulary, config.max_length).save_pretrained(building)

    build_verified(folder, make, made, "tokenizer")
    return load_tokenizer(folder, config.max_length)


def _held_out(corpus: Corpus, config: PretrainingConfig) -> dict[str, Iterable[str]]:
    """Held-out paragraphs of what is read: the text file, the discourse, or both."""
    held_out = {}
    if config.text_share > 0:
        held_out["prose"] = corpus.held_out
    if config.text_share < 1:
        held_out["discourse"] = discourse(HELD_OUT_SEED)
    return held_out


def _negative_loss(model: BertPretraining, held_out: dict[str, list[Batch]]) -> float:
    """Minus the mean loss of the masked words over the held-out texts."""
    total = 0.0
    for batches in held_out.values():
        total += held_out_losses(model, batches)["masked words"]
    return -(total / len(held_out))


def _text_record(file: Path, corpus: Corpus, config: PretrainingConfig) -> dict:
    return {
        "file": file.name,
        "sha256": corpus.sha256,
        "documents": len(corpus.documents),
        "passages": len(corpus.passages),
        "share": config.text_share,
    }


def _log_losses(layers: int, held_out: dict[str, dict[str, float]]) -> None:
    for name, terms in held_out.items():
        shown = ", ".join(f"{term} {value:.3f}" for term, value in terms.items())
        logger.info(f"pretraining {layers} layers, held-out {name}: {shown}")
