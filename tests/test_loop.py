"""The training loop: what it minimises, what learns, modes, accumulation, resuming."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ukd.config.runtime import Runtime
from ukd.data.batches import Batch, tokenized_splits
from ukd.models.encoders import load_tokenizer
from ukd.training.loop import Schedule, accelerator_for, fit, predict


class Net(nn.Module):
    """Two layers with dropout, small enough to check by hand."""

    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 1)
        self.dropout = nn.Dropout(dropout)
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return self.second(self.dropout(torch.tanh(self.first(x))))


def batches(size, count=4):
    """The same examples an epoch, 32 times `count`, in batches of `size`."""

    def stream(epoch, rank=0, world=1):
        generator = torch.Generator().manual_seed(epoch)
        x = torch.randn(count * 32, 4, generator=generator)
        y = torch.randn(count * 32, generator=generator)
        for start in range(0, count * 32, size):
            part = slice(start + rank * size // world, start + (rank + 1) * size // world)
            yield Batch({"x": x[part]}, y[part], torch.arange(size // world))

    return stream


def two_terms(model, batch):
    out = model(**batch.inputs).squeeze(-1)
    return {"fit": (out - batch.labels).square().mean(), "size": 0.1 * out.square().mean()}


def test_the_gradient_of_the_total_is_the_sum_of_the_gradients_of_the_named_terms(cpu):
    expected = []
    found = {}

    def spy(model, batch):
        terms = two_terms(model, batch)
        if not expected:
            parameters = list(model.parameters())
            each = []
            for term in terms.values():
                each.append(torch.autograd.grad(term, parameters, retain_graph=True))
            expected.extend(one + other for one, other in zip(*each, strict=True))
            for index, parameter in enumerate(parameters):
                parameter.register_hook(
                    lambda gradient, index=index: found.setdefault(index, gradient.clone())
                )
        return terms

    fit(Net(), batches(32, 1), spy, Schedule(1, 1, 0.01), cpu)
    assert len(expected) == 4
    for index, gradient in enumerate(expected):
        torch.testing.assert_close(found[index], gradient)


def test_every_term_is_in_the_curve_by_name(cpu):
    history = fit(Net(), batches(32), two_terms, Schedule(2, 4, 0.01), cpu)
    assert [point["step"] for point in history["curve"]] == list(range(1, 9))
    assert all(set(point) == {"step", "fit", "size"} for point in history["curve"])


def test_every_step_is_in_training_mode_also_after_an_evaluation(cpu):
    model = Net()

    def score(model):
        return float(model.eval().second.bias.detach())

    fit(model, batches(32), two_terms, Schedule(3, 4, 0.01), cpu, score=score)
    assert model.modes == [True] * 12


def test_everything_that_learns_moves_and_what_is_frozen_stays(cpu):
    model = Net()
    model.first.bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit(model, batches(32), two_terms, Schedule(1, 4, 0.01), cpu)
    after = model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"first.weight", "second.weight", "second.bias"}


def gradients(size, accumulate, cpu):
    """Gradients of the first optimiser step, as the clipping leaves them."""
    model = Net()
    found = []
    optimizer_step = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        if not found:
            found.extend(parameter.grad.clone() for parameter in model.parameters())
        return optimizer_step(self, *args, **kwargs)

    schedule = Schedule(1, 32 // size, 0.01, accumulate=accumulate, clip=1e9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", spy)
        fit(model, batches(size, 1), two_terms, schedule, cpu)
    return found


def test_one_batch_of_32_and_four_of_8_give_equal_gradients(cpu):
    for one, four in zip(gradients(32, 1, cpu), gradients(8, 4, cpu), strict=True):
        torch.testing.assert_close(one, four)


def test_one_batch_of_32_and_four_of_8_make_equal_weights_and_counts(cpu):
    schedules = Schedule(2, 4, 0.01), Schedule(2, 16, 0.01, accumulate=4)
    assert schedules[0].steps == schedules[1].steps == 8
    models = Net(), Net()
    for model, schedule, size in zip(models, schedules, (32, 8), strict=True):
        fit(model, batches(size), two_terms, schedule, cpu)
    for one, four in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, four)


def test_a_run_that_was_cut_off_continues_to_the_same_bits(cpu, tmp_path):
    path = tmp_path / "run.safetensors"

    def train(model, checkpoint=None, stop=None):
        """The history, and how many epochs were scored."""
        scored = []

        def score(model):
            scored.append(1)
            if len(scored) == stop:
                raise KeyboardInterrupt
            return -float(model.second.weight.detach().abs().sum())

        torch.manual_seed(5)
        schedule = Schedule(4, 4, 0.05)
        options = {"score": score, "checkpoint": checkpoint}
        return fit(model, batches(32), two_terms, schedule, cpu, **options), len(scored)

    whole = Net(0.3)
    expected, _ = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(Net(0.3), path, stop=3)
    resumed = Net(0.3)
    history, epochs = train(resumed, path)
    assert epochs == 2, "the two whole epochs must not be repeated"
    assert history == expected
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_scoring_draws_at_random_changes_no_step(cpu):
    def train(drawn):
        scores = iter(range(3))

        def score(_):
            torch.rand(drawn)
            return float(next(scores))  # the last epoch is the best, and so the one kept

        model = Net(0.3)
        torch.manual_seed(5)
        fit(model, batches(32), two_terms, Schedule(3, 4, 0.05), cpu, score=score)
        return model

    models = [train(0), train(7)]
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_best_epoch_is_kept_even_if_every_score_is_negative(cpu):
    scores = iter([-0.9, -0.2, -0.5])
    seen = []

    def score(model):
        seen.append(model.second.weight.detach().clone())
        return next(scores)

    model = Net()
    fit(model, batches(32), two_terms, Schedule(3, 4, 0.05), cpu, score=score)
    assert torch.equal(model.second.weight, seen[1])


@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (1, 100)])
def test_the_rate_is_positive_at_both_ends_and_never_above_its_peak(sizes):
    schedule = Schedule(*sizes, 0.1)
    rates = [schedule.rate_at(step) for step in range(schedule.steps)]
    assert all(0 < rate <= 0.1 for rate in rates)
    assert max(rates) == pytest.approx(0.1)


def test_predictions_come_back_in_the_order_of_the_data(task, tiny, teacher, runtime):
    train, *_ = tokenized_splits(task, load_tokenizer(teacher.folder), tiny)
    frozen = teacher.load(task)
    together = predict(frozen, train, runtime)
    one_by_one = torch.stack([frozen(**train.batch([index]).inputs)[0] for index in range(8)])
    torch.testing.assert_close(together[:8], one_by_one, rtol=1e-4, atol=1e-5)


def test_scoring_in_between_does_not_stop_the_accumulation(task, tiny, teacher, runtime):
    data = tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[1]
    accelerator = accelerator_for(runtime, 4)
    predict(teacher.load(task), data, runtime)
    assert accelerator.gradient_accumulation_steps == 4


def test_changing_the_precision_in_one_process_works(cpu):
    assert accelerator_for(replace(cpu, precision="bf16")).mixed_precision == "bf16"
    assert accelerator_for(cpu).mixed_precision == "no"


def test_the_second_stage_of_a_model_computes_in_the_precision_of_the_first(cpu):
    """accelerate skips a model that it prepared before; the loop wraps it anew for each stage."""
    seen = []

    class Spy(Net):
        def forward(self, x):
            seen.append(self.first(x).dtype)
            return super().forward(x)

    model = Spy()
    half = Runtime("cpu", "bf16", 1, "test")
    for _ in range(2):
        fit(model, batches(32, 1), two_terms, Schedule(1, 1, 0.01), half)
        seen.append("stage")
    assert seen == [torch.bfloat16, "stage"] * 2
    assert model(torch.ones(1, 4)).dtype == torch.float32, "outside the loop nothing has changed"


def test_training_goes_through_torch_compile_when_asked(cpu, monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda model, **options: seen.append(options) or model)
    compiled = replace(cpu, compiled=True)
    fit(Net(), batches(32, 1), two_terms, Schedule(1, 1, 0.01), compiled)
    assert seen == [{"dynamic": True}]
