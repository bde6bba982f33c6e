"""An encoder from nothing: WordPiece tokenizer, then BERT's two tasks on unlabelled text."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

import torch
from torch import nn
from transformers import AutoModelForPreTraining, BertForPreTraining

from data.encoder.make.cooccurrence import set_words_from
from data.encoder.make.masked import (
    LONG_STACKING,
    ROUNDS,
    Pretraining,
    Shares,
    held_out_losses,
    losses,
    stack,
    stacking,
    unigram_losses,
)
from data.encoder.make.packed import PACKED, PackedText, Running, check_wrong
from data.encoder.make.prose import cut, documents, fingerprint, mixture
from data.encoder.make.text import POOL, USUAL, PairedText, Wrong
from data.encoder.make.tokenizer import for_bert, trained_wordpiece, wordpiece
from data.synthetic.make import discourse
from ukd.config.files import atomic_folder, build_once, write_json
from ukd.config.keys import config_hash, source_digest, sum_of
from ukd.config.paths import cache_folder
from ukd.config.presets import PRESETS, TrainingConfig
from ukd.config.provenance import provenance
from ukd.config.runtime import Runtime, say
from ukd.data.batches import Batch
from ukd.models.encoders import (
    FINE_TUNING_DROPOUT,
    narrow_bert,
    save,
    sources_explained,
    write_checksums,
)
from ukd.training.loop import Schedule, accelerator_for, fit

CODE = (
    "pretrain",
    "cooccurrence",
    "masked",
    "packed",
    "prose",
    "text",
    "tokenizer",
    "models",
    "train",
)
TOKENIZER_PARAGRAPHS, HELD_OUT_SEED, UNIGRAM_BATCHES = 20_000, 9_999, 400
STEPS_A_ROUND, CALIBRATION_STEPS = 1000, (8, 40)
NARROW = {
    "width": 128,
    "teacher_layers": 12,
    "vocabulary": 8192,
    "pretrain_batch": 32,
    "max_length": 128,
}
HUB_PRESETS = {
    "narrow-12": NARROW,
    "small-12": {**NARROW, "width": 224, "pretrain_batch": 256, "pretrain_rate": 7e-4},
}
READ_PACKED = ("small-12",)  # presets for a GPU
WEIGHTS, RECORD, SHARD = "*.safetensors", "pretraining.json", "15MB"
WORDS_A_TOKEN = 0.7  # passages are as long as the length in tokens allows, nearly


def encoder_from_nothing(config: TrainingConfig, runtime: Runtime, *, seed: int = 1) -> Path:
    """Folder of the profile's encoder, pretrained on the synthetic suite's unlabelled discourse; made once, then cached."""
    stages = stacking(config.teacher_depth, config.pretrain_steps)
    made = {"kind": "encoder", **settings(config, stages, seed, runtime)}
    folder = cache_folder() / "encoders" / f"{config.name}-{config_hash(made)}"

    def make(building: Path) -> None:
        tokenizer = wordpiece(
            islice(discourse(seed), TOKENIZER_PARAGRAPHS), config.vocabulary, config.max_length
        )
        text = PairedText(tokenizer, config.max_length, config.pretrain_batch)
        network, found = pretrain(
            config, stages, text, {"discourse": discourse(HELD_OUT_SEED)}, runtime, seed
        )
        save(network, tokenizer, building)
        write_json(
            building / RECORD,
            {**settings(config, stages, seed, runtime), **found, **provenance(runtime)},
        )

    return build_once(folder, make, made)


def settings(
    config: TrainingConfig, stages: list[tuple[int, int]], seed: int, runtime: Runtime
) -> dict:
    """All that decides the weights of an encoder, its text aside."""
    return {
        "width": config.width,
        "vocabulary": config.vocabulary,
        "stages": stages,
        "batch": config.pretrain_batch,
        "length": config.max_length,
        "rate": config.pretrain_rate,
        "seed": seed,
        "precision": runtime.precision,
        "torch": torch.__version__,
        "source": source_digest(*CODE, *(f"grammar/{part}" for part in _grammar_modules())),
    }


def _grammar_modules() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "grammar").glob("*.py"))


def encoder_from_text(
    file: str | Path,
    out: str | Path,
    *,
    preset: str = "narrow-12",
    steps: int | None = None,
    minutes: float | None = None,
    share: float | None = None,
    wrong: Wrong | None = None,
    start: str | Path | None = None,
    new_words: bool = False,
    tokenizer: str | Path | None = None,
    seed: int = 1,
    runtime: Runtime,
    **changes: object,
) -> Path:
    """Pretrain the preset's encoder on a text file, or a mixture with the suite's discourse, and save it in half precision at `out`.

    Args:
        preset: "narrow-12" for a CPU, "small-12" for a GPU, which reads packed text (`ukd.packed`).
        file: one paragraph a line, an empty line between documents; plain, .gz or .xz.
        steps, minutes: one of them; three steps a stage are the least. Minutes become steps once, from a calibration.
        share: probability that an example is a passage of the file, the rest is discourse: a third; packed text is the file alone.
        wrong: how often the second segment is wrong, and how; by default `ukd.text.USUAL`, and `ukd.packed.PACKED` for packed text.
        start: an encoder made by this function to go on from, with its tokenizer, at its whole depth; pass another seed than it
            had, since the seed decides the text.
        new_words: set the start's embeddings to what the words of the file stand next to (`ukd.cooccurrence`) before going on.
        tokenizer: folder of one to use in place of a new one, so that two encoders share theirs.
        changes: fields of the preset's profile to change (width, teacher_layers, vocabulary, pretrain_batch, max_length).

    Returns `out`. A run that was cut off goes on from its last round of about a thousand steps, bit-exactly.

    Raises: FileExistsError when `out` exists; ValueError for an unknown preset, not exactly one of steps and minutes, a width
        that is no multiple of 32, new words without a start, or packed text with discourse.
    """
    file, out, start, tokenizer = (
        Path(file),
        Path(out),
        start and Path(start),
        tokenizer and Path(tokenizer),
    )
    packed = preset in READ_PACKED
    share, wrong = (
        (1.0 if packed else 1 / 3) if share is None else share,
        wrong or (PACKED if packed else USUAL),
    )
    _check(preset, steps, minutes, share, wrong, out)
    budget = _budget(preset, changes)
    first = _start(start, budget, seed, new_words, tokenizer)
    texts = documents(file)
    prose, held_out, last = _cut(texts, budget, seed, file, needed=share > 0, packed=packed)
    out.parent.mkdir(
        parents=True, exist_ok=True
    )  # what can't be written is said before the training
    begun = {
        "text": fingerprint(texts),
        "share": share,
        "layers": budget.teacher_depth,
        "steps": steps,
        "minutes": minutes,
    }
    begun |= {
        **settings(budget, [], seed, runtime),
        "wrong": wrong,
        "new words": new_words,
        "packed": packed,
    }
    begun |= {"device": packed and runtime.device}
    begun |= {
        "start": start and sum_of(_shards(start)),
        "tokenizer": tokenizer and sum_of([tokenizer / "tokenizer.json"]),
    }
    work = cache_folder() / "pretraining" / f"{preset}-{config_hash(begun)}"
    entries = for_bert(
        start or tokenizer or _tokenizer(work / "tokenizer", texts, budget, seed, begun),
        budget.max_length,
    )
    sizes = entries, budget.max_length, budget.pretrain_batch
    if packed:
        text = PackedText(
            *sizes, chain.from_iterable(texts[:-last]), wrong, accelerator_for(runtime).device
        )
        held_out = _enough(text.read(chain.from_iterable(texts[-last:])), text, file, last)
    else:
        text = PairedText(*sizes, mixture(prose, share), wrong)
    apart = ({"prose": held_out} if share else {}) | (
        {"discourse": discourse(HELD_OUT_SEED)} if share < 1 else {}
    )  # what it reads
    stages = _planned(
        work / "stages.json",
        budget,
        steps,
        minutes,
        text,
        runtime,
        LONG_STACKING if not start else ((1, 1.0),),
    )
    if new_words and not (work / "stage-0.safetensors").is_file():
        set_words_from(first, entries, texts[:-last], seed)
    network, found = pretrain(budget, stages, text, apart, runtime, seed, work, first)
    said = {
        "text": {
            "file": file.name,
            "sha256": begun["text"],
            "documents": len(texts),
            "passages": len(prose),
            "share": share,
        },
        "minutes asked for": minutes,
        "wrong segments": wrong._asdict(),
        "new words": new_words,
        "packed": packed,
        "start": start and json.loads((start / RECORD).read_text()),
        **settings(budget, stages, seed, runtime),
        "vocabulary": len(entries),
        **found,
        **provenance(runtime),
    }
    with atomic_folder(out, shared=False) as building:
        save(network.half(), entries, building, max_shard_size=SHARD)
        write_json(building / RECORD, said)
        write_checksums(building)
    return out


def _enough(held_out: Running, text: PackedText, file: Path, last: int) -> Running:
    """The held-out text. Raises ValueError where it is shorter than a batch."""
    if len(held_out.tokens) < (needed := text.batch * text.length):
        raise ValueError(
            f"the last {last} documents of {file} give {len(held_out.tokens)} tokens to hold out, of {needed} needed: pass a "
            "longer text, and put empty lines between documents and not between paragraphs"
        )
    return held_out


def _tokenizer(
    folder: Path, texts: list[list[str]], budget: TrainingConfig, seed: int, made: dict
) -> Path:
    lines = chain(chain.from_iterable(texts), islice(discourse(seed), 5 * TOKENIZER_PARAGRAPHS))
    make = lambda building: trained_wordpiece(
        lines, budget.vocabulary, budget.max_length
    ).save_pretrained(building)
    return build_once(folder, make, made)


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _planned(
    file: Path,
    budget: TrainingConfig,
    steps: int | None,
    minutes: float | None,
    text: PairedText | PackedText,
    runtime: Runtime,
    shares: Shares,
) -> list[tuple[int, int]]:
    """(layers, steps) of each stage, decided once and kept in a file."""
    if not file.is_file():
        steps = steps or _calibrated(budget, minutes, text, runtime, shares)
        write_json(file, {"stages": stacking(budget.teacher_depth, steps, shares)})
    return [tuple(stage) for stage in json.loads(file.read_text(encoding="utf-8"))["stages"]]


def _check(
    preset: str, steps: int | None, minutes: float | None, share: float, wrong: Wrong, out: Path
) -> None:
    """Raise ValueError or FileExistsError for settings that can't be used."""
    if preset not in HUB_PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose one of: {', '.join(HUB_PRESETS)}")
    if (steps is None) == (minutes is None):
        raise ValueError("pass either steps or minutes")
    if not 0 <= share <= 1:
        raise ValueError(f"the share of the file must lie between 0 and 1, got {share}")
    if preset in READ_PACKED and share < 1:
        raise ValueError(
            f"{preset} reads the file alone: leave --share out, got {share}; for a mixture choose narrow-12"
        )
    if preset in READ_PACKED:
        check_wrong(wrong)
    if out.exists():
        raise FileExistsError(
            f"{out} exists; encoders are never overwritten: remove it or choose another folder"
        )


def _budget(preset: str, changes: dict[str, object]) -> TrainingConfig:
    """The preset's profile with the changes. Raises ValueError for a width that heads of 32 units don't divide."""
    budget = replace(PRESETS["cpu"], name=preset, **{**HUB_PRESETS[preset], **changes})
    if budget.width % 32:
        raise ValueError(f"the width must be a multiple of 32, got {budget.width}")
    return budget


def _cut(
    texts: list[list[str]],
    budget: TrainingConfig,
    seed: int,
    file: Path,
    *,
    needed: bool,
    packed: bool,
) -> tuple[list[str], list[str], int]:
    """`ukd.prose.cut` for the budget. Raises ValueError where a text that is needed holds out less than a batch."""
    words, least = (
        round(WORDS_A_TOKEN * budget.max_length),
        NARROW["pretrain_batch"] if packed else budget.pretrain_batch,
    )
    prose, held_out, last = cut(
        texts, words, PairedText.held_out_batches * least, random.Random(seed)
    )
    if needed and not packed and len(held_out) < least:
        raise ValueError(
            f"the last {last} documents of {file} give {len(held_out)} passages to hold out, of {least} needed: pass a longer "
            "text, and put empty lines between documents and not between paragraphs"
        )
    return prose, held_out, last


def _start(
    start: Path | None, budget: TrainingConfig, seed: int, new_words: bool, tokenizer: Path | None
) -> BertForPreTraining | None:
    """The encoder to go on from. Raises ValueError where that can't be done, and for a tokenizer that can't be taken."""
    if tokenizer and start:
        raise ValueError(
            f"an encoder that is gone on from keeps its tokenizer: leave out --start or --tokenizer, got {tokenizer}"
        )
    if tokenizer and not (tokenizer / "tokenizer.json").is_file():
        raise ValueError(
            f"there is no tokenizer.json in {tokenizer}: pass a folder made by save_pretrained"
        )
    if not start:
        if new_words:
            raise ValueError(
                "new words replace those of a trained network: pass the encoder to start from (--start)"
            )
        return None
    if missing := [WEIGHTS] * (not _shards(start)) + [
        name for name in (RECORD, "config.json") if not (start / name).is_file()
    ]:
        raise ValueError(f"{start} lacks {missing[0]}: pass a folder made by `ukd pretrain`")
    config = json.loads((start / "config.json").read_text(encoding="utf-8"))
    asked = narrow_bert(budget, config["vocab_size"], seed)
    for name in ("hidden_size", "num_hidden_layers", "max_position_embeddings"):
        if config[name] != (wanted := getattr(asked, name)):
            raise ValueError(
                f"{start} has {name} {config[name]}, and {wanted} is asked for: pass a preset, width or length that agrees"
            )
    had = json.loads((start / RECORD).read_text(encoding="utf-8")).get("seed")
    if had == seed:
        raise ValueError(
            f"{start} was made with seed {had}, and would read the same text again: pass another (--seed)"
        )
    with sources_explained(start):
        return AutoModelForPreTraining.from_pretrained(start, dtype=torch.float32)


def _calibrated(
    budget: TrainingConfig,
    minutes: float,
    text: PairedText | PackedText,
    runtime: Runtime,
    shares: Shares,
) -> int:
    """Steps that at the speed of this moment take the given minutes in all, the making of the text included."""
    few, many = CALIBRATION_STEPS
    next(text.batches(text.source(0), seed=0))  # what only the first takes
    begun = time.perf_counter()
    batches, seconds = list(islice(text.batches(text.source(0), seed=0), many)), []
    reading = (time.perf_counter() - begun) / max(
        many, POOL / budget.pretrain_batch
    )  # text is made by the pool
    for layers, _ in stacking(budget.teacher_depth, 1000, shares):
        model = Pretraining(
            stack(None, narrow_bert(replace(budget, teacher_depth=layers), len(text.tokenizer), 0))
        )

        def run(count: int, model: nn.Module = model) -> float:
            start = time.perf_counter()
            fit(
                model,
                lambda *_: batches[:count],
                losses,
                Schedule(1, count, budget.pretrain_rate),
                runtime,
                label="calibration",
            )
            return time.perf_counter() - start

        run(few)
        seconds.append((run(many) - run(few)) / (many - few))  # starting up aside
    mean = sum(share * each for (_, share), each in zip(shares, seconds, strict=True)) + reading
    steps = round(60 * minutes / mean)
    said = ", ".join(f"{1000 * each:.0f}" for each in seconds)
    say(
        f"{minutes} minutes are {steps} steps, at {said} ms a step by stage and {1000 * reading:.0f} ms to make its text"
    )
    return steps


def pretrain(
    config: TrainingConfig,
    stages: list[tuple[int, int]],
    text: PairedText | PackedText,
    apart: dict[str, Iterable[str] | Running],
    runtime: Runtime,
    seed: int,
    checkpoints: Path | None = None,
    network: BertForPreTraining | None = None,
) -> tuple[BertForPreTraining, dict]:
    """The network after all stages, and what is known of them: losses by stage on the held-out texts `apart`, by name.

    `network` is what the first stage starts from, if not from nothing.
    """
    say(
        f"pretraining a {config.teacher_depth}-layer encoder, {config.width} wide: "
        + ", ".join(f"{n} steps of {k} layers" for k, n in stages)
    )
    held_out = {
        name: list(islice(text.batches(paragraphs, seed=0), text.held_out_batches))
        for name, paragraphs in apart.items()
    }
    found, begun = [], time.perf_counter()
    for stage, (layers, steps) in enumerate(stages):
        network = stack(
            network, narrow_bert(replace(config, teacher_depth=layers), len(text.tokenizer), seed)
        )
        model, rounds = Pretraining(network), max(ROUNDS, steps // STEPS_A_ROUND)
        history = fit(
            model,
            partial(text.epoch, text_seed(seed, stage), steps // rounds),
            losses,
            Schedule(rounds, steps // rounds, config.pretrain_rate, warmup=0.05),
            runtime,
            score=(lambda model: -_mean(model, held_out)) if checkpoints else None,
            checkpoint=checkpoints and checkpoints / f"stage-{stage}.safetensors",
            label=f"pretraining {layers} layers",
        )
        after = {name: held_out_losses(model, batches) for name, batches in held_out.items()}
        found.append({"layers": layers, "held_out": after, **history})
        for name, terms in after.items():
            say(
                f"pretraining {layers} layers, held-out {name}: "
                + ", ".join(f"{term} {value:.3f}" for term, value in terms.items())
            )
    network.config.hidden_dropout_prob = FINE_TUNING_DROPOUT
    drawn = islice(text.batches(text.source(text_seed(seed, 0)), seed=0), UNIGRAM_BATCHES)
    entropies = unigram_losses(drawn, held_out, len(text.tokenizer))
    return network, {
        "stages": found,
        "unigram": entropies,
        "seconds": round(time.perf_counter() - begun),
    }


def _mean(model: nn.Module, held_out: dict[str, list[Batch]]) -> float:
    return sum(
        held_out_losses(model, batches)["masked words"] for batches in held_out.values()
    ) / len(held_out)


def text_seed(seed: int, stage: int) -> int:
    """Where a stage's discourse starts: every epoch of every stage reads discourse of its own, and none of the held-out text."""
    return 10_000 * seed + 1_000 * stage
