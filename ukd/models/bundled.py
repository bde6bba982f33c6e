"""The encoder a teacher is made from: the bundled one, a folder or a hub id, named by content."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModel, set_seed

from ukd.config.keys import HASH_LENGTH, config_hash, files_hash
from ukd.config.paths import cache_folder, data_folder
from ukd.config.verified import build_verified
from ukd.models.encoders import load_tokenizer, save
from ukd.models.loading import read_config
from ukd.models.students import STUDENTS

BUNDLED = "bundled"
RANDOM_INIT = "random"  # the bundled encoder's network, its weights drawn anew: a control
BUNDLED_RATES = (2e-4, 5e-4)  # peak learning rates of teacher and student
PRETRAINED_RATES = (5e-5, 5e-5)
NEW_STUDENT_RATE = 1e-3  # a BiLSTM or CNN starts from random weights
# In a model's folder, but neither its weights nor its tokenizer.
NOTES = (
    "config.json",
    "pretraining.json",
    "made.json",
    "teacher.json",
    "model.safetensors.index.json",
)


def resolve_encoder(encoder: str) -> tuple[str, str]:
    """Where an encoder is, and a name for it that is no path.

    Args:
        encoder: "bundled", "random" (the same network without its pretraining), a folder, or a
            hub id.

    Returns: (what `from_pretrained` takes, name). A folder's name ends in a hash of its weights.

    Raises: ValueError for a bundled encoder that is damaged and for a folder without a model.
    """
    if encoder == BUNDLED:
        folder = bundled_encoder()
    elif encoder == RANDOM_INIT:
        folder = _randomly_initialised(bundled_encoder())
    elif (folder := Path(encoder).expanduser()).is_dir():
        return str(folder), f"{folder.name}-{weights_hash(folder)}"
    else:
        return encoder, encoder
    return str(folder), f"{encoder}-{weights_hash(folder)}"


def encoder_named(name: str) -> str:
    """What `resolve_encoder` takes for one that it has named: "bundled-0123456789ab" to "bundled".

    Names of folders and hub ids stay as they are.
    """
    kind = name.rpartition("-")[0]
    return kind if kind in (BUNDLED, RANDOM_INIT) else name


def bundled_encoder() -> Path:
    """Folder of the encoder that comes with the kit; `data/encoder/README.md` is its card.

    Raises ValueError that names a missing or damaged file and the remedy.
    """
    folder = data_folder() / "encoder"
    remedy = "restore it with `git checkout data/encoder`, or install the kit again"
    sums = folder / "SHA256SUMS"
    if not sums.is_file() or not sums.read_text(encoding="utf-8").strip():
        raise ValueError(f"the bundled encoder lacks {sums}: {remedy}")
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            raise ValueError(f"the bundled encoder lacks {path}: {remedy}")
        if files_hash([path]) != expected:
            raise ValueError(f"{path} is damaged (its sha256 is not the one in {sums}): {remedy}")
    return folder


def _randomly_initialised(folder: Path, seed: int = 0) -> Path:
    """The same network and tokenizer with weights as initialised: what pretraining adds to."""
    made = {
        "kind": RANDOM_INIT,
        "like": weights_hash(folder),
        "seed": seed,
        "torch": torch.__version__,
    }

    def make(building: Path) -> None:
        set_seed(seed)
        config = read_config(folder)
        save(AutoModel.from_config(config, dtype=torch.float32), load_tokenizer(folder), building)

    name = f"{RANDOM_INIT}-{config_hash(made)}"
    place = cache_folder() / "encoders" / name
    build_verified(place, make, made, "encoder")
    return place


def default_learning_rates(encoder: str, student: str = "layers") -> tuple[float, float]:
    """Peak learning rates of the teacher and of the student, for an encoder as given.

    An encoder pretrained by the kit is narrow and bears higher rates than those of the hub.
    """
    ours = (
        encoder in (BUNDLED, RANDOM_INIT)
        or (Path(encoder).expanduser() / "pretraining.json").is_file()
    )
    teacher, pretrained = BUNDLED_RATES if ours else PRETRAINED_RATES
    if student in STUDENTS:
        return teacher, NEW_STUDENT_RATE
    if student == "layers":
        return teacher, pretrained
    return teacher, default_learning_rates(student)[0]


def weights_hash(folder: Path) -> str:
    """Key of a model folder's weights and configuration, so that a changed one is another encoder.

    Raises ValueError for a folder without a model.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"no model could be loaded from '{folder}': it has no config.json; "
            "pass a folder made by save_pretrained"
        )
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin"), folder / "config.json"])
    return files_hash(files)[:HASH_LENGTH]


def tokenizer_hash(folder: Path) -> str:
    """Key of a model folder's tokenizer, whatever its kind."""
    files = []
    for ending in ("json", "txt", "model"):
        files += [path for path in folder.glob(f"*.{ending}") if path.name not in NOTES]
    return files_hash(sorted(files))[:HASH_LENGTH]
