"""What decides a result is in its key: one thing after another is changed, and the key with it."""

import importlib
import json
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import ukd
from ukd.config.keys import code_hash
from ukd.config.paths import PACKAGE
from ukd.config.presets import LARGEST_SEED, TrainingConfig, whole_seed
from ukd.methods.registry import METHODS
from ukd.training.teacher import Teacher

# Modules that a function of their package may hide.
distill_module = importlib.import_module("ukd.training.distill")
keys_module = importlib.import_module("ukd.config.keys")
teacher_module = importlib.import_module("ukd.training.teacher")

# Of the fields of a config: those that decide nothing, or decide the other of the two keys alone.
NO_RESULT = {"name", "tasks", "seeds", "enforce_min_teacher_score", "sources"}
TEACHER_ONLY = {"teacher_depth", "teacher_epochs", "teacher_learning_rate", "encoder"}
STUDENT_ONLY = {
    "student_depth",
    "layer_selection",
    "student_init",
    "student_epochs",
    "learning_rate",
    "student",
    "embeddings",
}
OTHER_VALUES = {
    "teacher_depth": 3,
    "student_depth": 1,
    "layer_selection": "last",
    "student_init": "teacher",
    "teacher_epochs": 3,
    "student_epochs": 4,
    "teacher_learning_rate": 1e-5,
    "learning_rate": 1e-5,
    "batch_size": 8,
    "max_length": 32,
    "max_train": 90,
    "max_validation": 60,
    "selection_split": "validation",
    "encoder": "random",
    "student": "bilstm",
}


class Key(Exception):
    """Raised in place of training, with the key of what would be trained."""


@pytest.fixture
def key_of_teacher(monkeypatch):
    """A function from the arguments of `train_teacher` to its key."""

    def stop(folder, *_):
        raise Key(folder.name.rpartition("-")[2])

    monkeypatch.setattr(teacher_module, "build_verified", stop)

    def key(task, **options):
        with pytest.raises(Key) as found:
            ukd.train_teacher(task, **options)
        return str(found.value)

    return key


@pytest.fixture
def key_of_run(monkeypatch, tmp_path):
    """A function from the arguments of `distill` to its key."""

    def stop(run, settings, place, key):
        raise Key(key)

    monkeypatch.setattr(distill_module, "_train", stop)

    def key(task, method, teacher, **options):
        with pytest.raises(Key) as found:
            ukd.distill(task, method, teacher, folder=tmp_path / "none", **options)
        return str(found.value)

    return key


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """A teacher of the bundled encoder and of any task, as far as keys ask."""
    monkeypatch.setattr(Teacher, "check_task", lambda teacher, task: None)
    name = ukd.models.bundled.resolve_encoder("bundled")[1]
    return Teacher(tmp_path, "a" * 12, "b" * 64, "bundled", {"encoder": name, "layers": 4})


def rows(end="", count=60):
    """Two classes of short texts."""
    texts = [f"the room {i} was {'clean' if i % 2 else 'dirty'}{end}" for i in range(count)]
    return {"text": texts, "label": [i % 2 for i in range(count)]}


def with_classes(*names):
    """The same rows with named classes."""
    kind = Features({"text": Value("string"), "label": ClassLabel(names=list(names))})
    return Dataset.from_dict(rows(), features=kind)


def test_every_field_of_a_config_is_in_a_key_or_decides_nothing(
    task, tiny, runtime, key_of_teacher, key_of_run, pretended
):
    of_teacher = key_of_teacher(task, config=tiny, runtime=runtime)
    method = METHODS["kd"]
    options = {"seed": 1, "runtime": runtime}
    of_run = key_of_run(task, method, pretended, config=tiny, **options)
    assert of_teacher == key_of_teacher(task, config=tiny, runtime=runtime)
    assert of_run == key_of_run(task, method, pretended, config=tiny, **options)
    decisive = {field.name for field in fields(TrainingConfig)} - NO_RESULT
    for name in sorted(decisive - {"embeddings"}):
        config = replace(tiny, **{name: OTHER_VALUES[name]})
        changed = key_of_teacher(task, config=config, runtime=runtime) != of_teacher
        assert changed == (name not in STUDENT_ONLY), name
        changed = key_of_run(task, method, pretended, config=config, **options) != of_run
        assert changed == (name not in TEACHER_ONLY), name


def test_every_argument_of_a_run_is_in_its_key(task, tiny, runtime, key_of_run, pretended):
    method = METHODS["universal-kd"]
    # Enough epochs and layers for every option to have an effect.
    config = replace(tiny, student_epochs=4, student_depth=3)
    options = {"config": config, "seed": 1, "runtime": runtime}
    keys = [
        key_of_run(task, method, pretended, **options),
        key_of_run(task, method, pretended, **options | {"seed": 2}),
        key_of_run(task, method, pretended, **options, learning_rate=1e-5),
        key_of_run(task, method, pretended, **options, online_teacher=True),
        key_of_run(task, method, replace(pretended, key="c" * 12), **options),
        key_of_run(task, method, replace(pretended, weights="c" * 64), **options),
    ]
    for change in ({"precision": "bf16"}, {"compiled": True}):
        changed = replace(runtime, **change)
        keys.append(key_of_run(task, method, pretended, **options | {"runtime": changed}))
    for option, value in (
        ("temperature", 3.0),
        ("attention_temperature", 3.0),
        ("layer_map", "uniform"),
        ("attention_on", "losses"),
        ("detach_attention", False),
        ("student_layers", "last"),
        ("student_layers", "upper"),
        ("teacher_layers", "all"),
        ("intermediate_weight", 0.1),
        ("intermediate_decay", True),
        ("teacher_stage", 0.25),
        ("stages", "one"),
        ("space", "hidden"),
    ):
        other = ukd.get_method("universal-kd", **{option: value})
        keys.append(key_of_run(task, other, pretended, **options))
    # Its name too: two names are two rows of a table.
    renamed = replace(method, name="other")
    keys.append(key_of_run(task, renamed, pretended, **options))
    assert len(set(keys)) == len(keys)


def test_every_argument_of_a_teacher_is_in_its_key(task, tiny, runtime, key_of_teacher):
    options = {"config": tiny, "runtime": runtime}
    keys = [
        key_of_teacher(task, **options),
        key_of_teacher(task, **options, seed=2),
        key_of_teacher(task, **options, learning_rate=1e-5),
        key_of_teacher(task, **options, encoder="random"),
        key_of_teacher(task, **options | {"runtime": replace(runtime, precision="bf16")}),
        key_of_teacher(task, **options | {"runtime": replace(runtime, compiled=True)}),
    ]
    assert len(set(keys)) == len(keys)


def test_data_metrics_classes_and_their_order_are_in_both_keys(
    tiny, runtime, key_of_teacher, key_of_run, pretended, tmp_path
):
    file = tmp_path / "rows.csv"
    Dataset.from_dict(rows()).to_csv(file)
    edited = tmp_path / "edited.csv"
    edited.write_text(file.read_text().replace("room 7 ", "hall 7 "))
    splits = DatasetDict(
        train=Dataset.from_dict(rows()),
        validation=Dataset.from_dict(rows(" now", 20)),
        other=Dataset.from_dict(rows(" then", 20)),
    )
    tasks = [
        ukd.custom_task(file, text="text"),
        ukd.custom_task(edited, text="text"),
        ukd.custom_task(file, text="text", metrics="matthews"),
        ukd.custom_task(file, text="text", metrics=("accuracy", "f1")),
        ukd.custom_task(file, text="text", name="another"),
        ukd.custom_task(file, text="text", held_out=0.3),
        ukd.custom_task(file, text="text", seed=1),
        ukd.custom_task(splits, text="text"),
        ukd.custom_task(splits, text="text", held_out="other"),
        ukd.custom_task(with_classes("bad", "good"), text="text"),
        ukd.custom_task(with_classes("good", "bad"), text="text"),
    ]
    of_teachers = {key_of_teacher(one, config=tiny, runtime=runtime) for one in tasks}
    options = {"config": tiny, "seed": 1, "runtime": runtime}
    of_runs = {key_of_run(one, METHODS["kd"], pretended, **options) for one in tasks}
    assert len(of_teachers) == len(of_runs) == len(tasks)


def test_an_edited_file_of_rows_is_read_anew(tiny, runtime, key_of_teacher, tmp_path):
    file = tmp_path / "rows.jsonl"
    keys = []
    for word in ("old", "new"):
        lines = [json.dumps({"text": f"{word} {i}", "label": i % 2}) for i in range(60)]
        file.write_text("\n".join(lines))
        task = ukd.custom_task(file, text="text")
        assert task.dataset["train"]["text"][0].startswith(word)
        keys.append(key_of_teacher(task, config=tiny, runtime=runtime))
    assert keys[0] != keys[1]


def test_encoder_and_tokenizer_are_in_a_teachers_key(
    task, tiny, runtime, key_of_teacher, tiny_encoder, tmp_path
):
    folder = tiny_encoder(tmp_path / "encoder")

    def key():
        return key_of_teacher(task, config=tiny, runtime=runtime, encoder=str(folder))

    keys = [key()]
    tokenizer = folder / "tokenizer.json"
    content = json.loads(tokenizer.read_text())
    content["normalizer"] = None
    tokenizer.write_text(json.dumps(content))
    keys.append(key())
    config = json.loads((folder / "config.json").read_text())
    config["hidden_dropout_prob"] = 0.3
    (folder / "config.json").write_text(json.dumps(config))
    keys.append(key())
    shutil.copy(
        tiny_encoder(tmp_path / "other", seed=1) / "model.safetensors", folder / "model.safetensors"
    )
    keys.append(key())
    assert len(set(keys)) == len(keys)


def test_a_students_files_are_in_a_runs_key(
    task, tiny, runtime, key_of_run, pretended, tiny_encoder, tmp_path
):
    folder = tiny_encoder(tmp_path / "student")
    vectors = tmp_path / "vectors.txt"

    def key(**changes):
        config = replace(tiny, **changes)
        options = {"config": config, "seed": 1, "runtime": runtime}
        return key_of_run(task, METHODS["kd"], pretended, **options)

    own = [key(student=str(folder))]
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"lowercase": true', '"lowercase": false'))
    own.append(key(student=str(folder)))
    tiny_encoder(folder, seed=1)
    own.append(key(student=str(folder)))
    assert len(set(own)) == 3
    vectors.write_text("the 1 2 3\n")
    embedded = [key(student="bilstm"), key(student="bilstm", embeddings="teacher")]
    embedded.append(key(student="bilstm", embeddings=str(vectors)))
    vectors.write_text("the 1 2 4\n")
    embedded.append(key(student="bilstm", embeddings=str(vectors)))
    assert len(set(embedded)) == 4


def test_the_revision_of_a_hub_id_is_in_the_key(task, tiny, runtime, key_of_teacher, monkeypatch):
    monkeypatch.setattr(teacher_module, "hub_revision", lambda source: "first")
    one = key_of_teacher(task, config=tiny, runtime=runtime)
    monkeypatch.setattr(teacher_module, "hub_revision", lambda source: "second")
    assert key_of_teacher(task, config=tiny, runtime=runtime) != one


# --- code ---


@pytest.fixture
def package(tmp_path):
    """A copy of the package that a test may edit."""
    ignore = shutil.ignore_patterns("__pycache__", "_data")
    return shutil.copytree(PACKAGE, tmp_path / "ukd", ignore=ignore)


def code_key(package, module="ukd.training.distill"):
    """The key of the code as it is now, whatever was read before."""
    return keys_module._code_hash.__wrapped__(module, package)


def edit(package, name, before, after):
    """Replace a text in a file of the package."""
    path = package / name
    content = path.read_text()
    assert before in content
    path.write_text(content.replace(before, after, 1))


def test_texts_of_the_code_change_no_key(package):
    before = code_key(package)
    assert before == code_hash("ukd.training.distill")
    edit(package, "losses.py", '"""The losses:', '"""All losses:')
    edit(package, "heads.py", "# Adding costs less", "# To add costs less")
    edit(
        package,
        "heads.py",
        "    def forward(\n        self, *, states",
        "    # why\n\n    def forward(\n        self, *, states",
    )
    edit(package, "training/distill.py", '"""Distil the teacher', '"""Teach the student')
    assert code_key(package) == before


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("losses.py", "temperature**2 *", "temperature *"),
        ("projection.py", "logits - logits.mean(", "logits + logits.mean("),
        ("heads.py", "std=0.02", "std=0.03"),
        ("config/runtime.py", 'else "eager"', 'else "sdpa"'),
        ("data/metrics.py", "matthews_corrcoef(labels, ", "matthews_corrcoef(1 - labels, "),
        ("methods/hidden_states.py", "10_000 * seed", "20_000 * seed"),
        ("training/distillation_run.py", "1000 * self.seed", "2000 * self.seed"),
        ("training/head_solvers.py", "NEWTON_STEPS = 50", "NEWTON_STEPS = 40"),
    ],
)
def test_code_that_decides_a_result_changes_the_key(name, before, after, package):
    unchanged = code_key(package)
    edit(package, name, before, after)
    assert code_key(package) != unchanged


def test_code_that_no_run_reaches_changes_no_key(package):
    before = code_key(package)
    (package / "cli" / "new.py").write_text("import ukd.training.distill\n")
    (package / "teaching" / "new.py").write_text("answer = 42\n")
    assert code_key(package) == before


def test_code_that_was_edited_since_the_process_began_gets_no_key(monkeypatch):
    """It would keep the old code's result under the new code's key."""
    assert code_hash("ukd.training.distill") == code_hash("ukd.training.distill")
    edited = {stamp for stamp in keys_module.AT_START if stamp[0] != "losses.py"}
    monkeypatch.setattr(keys_module, "AT_START", edited | {("losses.py", 1, 1)})
    with pytest.raises(ValueError, match="losses.py was edited since this process began"):
        code_hash("ukd.training.distill")


@pytest.mark.parametrize("seed", [True, 1.0, "1", -1, 4_294_967])
def test_a_seed_is_a_whole_number_before_anything_is_trained(
    seed, task, tiny, teacher, runtime, tmp_path
):
    with pytest.raises(ValueError, match=f"a seed is a whole number from 0 to .*, got {seed!r}"):
        ukd.distill(
            task, METHODS["kd"], teacher, config=tiny, seed=seed, runtime=runtime, folder=tmp_path
        )
    with pytest.raises(ValueError, match="a seed is a whole number"):
        ukd.train_teacher(task, config=tiny, seed=seed, runtime=runtime)
    assert not list(tmp_path.iterdir())


def test_a_seed_of_numpy_is_that_number(task, tiny, runtime, key_of_teacher):
    assert whole_seed(np.int64(3)) == 3 and type(whole_seed(np.int64(3))) is int
    assert 1000 * LARGEST_SEED + 999 < 2**32


def test_a_hub_student_without_an_owner_has_its_files_in_the_key(monkeypatch):
    monkeypatch.setattr(distill_module, "hub_revision", lambda source: f"commit of {source}")
    assert distill_module._student_files(ukd.preset("distilroberta"))[1] == (
        "commit of distilroberta-base"
    )
    for preset in ("bert-4", "bilstm", "gated-cnn"):
        assert distill_module._student_files(ukd.preset(preset)) is None
