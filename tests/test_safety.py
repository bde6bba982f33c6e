"""Nothing from outside runs code, leaves its folder, or becomes a part of a page."""

import json
import pickle
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
import torch
from made_records import made_record

from ukd.data.tasks import load_task
from ukd.models.encoders import load_classifier, load_tokenizer
from ukd.teaching.sentence_widget import LayerPredictions, _answer, draw_sentence

CLASS = """from pathlib import Path
from transformers import {base}
Path({marker!r}).touch()
class Own({base}):
    model_type = "own-kind"
"""


class Bomb:
    """What a pickle may do: call any function when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.fixture
def encoder(tiny_encoder, tmp_path):
    return tiny_encoder(tmp_path / "encoder")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl", "tf_model.h5"])
def test_pickled_weights_are_refused_by_name_and_never_read(name, encoder, tmp_path):
    (encoder / "model.safetensors").unlink()
    marker = tmp_path / "marker"
    (encoder / name).write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises(ValueError, match=f"{name} is a pickle.*safetensors"):
        load_classifier(encoder, load_task("sentiment"), seed=1)
    assert not marker.exists()


def test_a_pickle_beside_safetensors_is_left_alone(encoder, tmp_path):
    marker = tmp_path / "marker"
    (encoder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(marker)))
    load_classifier(encoder, load_task("sentiment"), seed=1)
    assert not marker.exists()


@pytest.mark.parametrize("of", ["network", "tokenizer"])
def test_code_that_comes_with_a_model_never_runs(of, encoder, tmp_path, monkeypatch):
    for name in ("TRUST_REMOTE_CODE", "HF_TRUST_REMOTE_CODE", "TRANSFORMERS_TRUST_REMOTE_CODE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    marker = tmp_path / "marker"
    if of == "network":
        file, base = "config.json", "PreTrainedConfig"
        changes = {"model_type": "own-kind", "auto_map": {"AutoConfig": "own.Own"}}
    else:
        file, base = "tokenizer_config.json", "PreTrainedTokenizer"
        changes = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    path = encoder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (encoder / "own.py").write_text(CLASS.format(base=base, marker=str(marker)))
    try:
        load_tokenizer(encoder)
        load_classifier(encoder, load_task("sentiment"), seed=1)
    except ValueError as error:
        assert "brings code of its own, which the kit never runs" in str(error)
    else:
        assert of == "tokenizer", "a tokenizer of a known kind can be read without its code"
    assert not marker.exists()


@pytest.mark.parametrize("field", ["task", "method"])
@pytest.mark.parametrize("name", ["../../up", "/etc/name", "a\\b", ""])
def test_a_record_can_name_no_path(field, name):
    with pytest.raises(ValueError, match=f"{field} is .* a name without a slash"):
        replace(made_record("kd"), **{field: name})


def test_a_class_name_is_shown_as_text():
    """In the widget's sentence, which is HTML, and in its figure, where dollars are formulas."""
    names = ["<img src=x onerror=alert(1)>", "$x^{$"]
    text = _answer(torch.tensor([2.0, 0.0]), names)
    assert "<" not in text and text.startswith("&lt;img")
    figure, axes = plt.subplots(1, 3)
    logits = torch.zeros(3, 2)
    draw_sentence(axes, LayerPredictions(logits, logits, torch.full((2, 2), 0.5)), names)
    figure.canvas.draw()
    plt.close(figure)
