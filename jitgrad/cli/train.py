"""Train the three models with every sweep."""

from __future__ import annotations

from typing import Any

import jitgrad as jg
from jitgrad.cli.data import Data, Split, batches
from jitgrad.cli.measure import SWEEPS, Comparison, Run, differences_of_sweeps, median, timed
from jitgrad.cli.models import MODELS, Model, training_step
from jitgrad.cli.progress import Progress


def compare_models(data: Data, steps: int, seed: int) -> list[Comparison]:
    """All models with all sweeps, one after the other."""
    with Progress(steps * len(MODELS) * len(SWEEPS)) as progress:
        return [_compare(model, data.tables[model.data], steps, seed, progress) for model in MODELS]


def _compare(model: Model, split: Split, steps: int, seed: int, progress: Progress) -> Comparison:
    parts = batches(split, model.batch, seed)
    start = _start(model, seed)
    runs = {}
    for sweep in SWEEPS:
        step = jg.jit(training_step(model))
        with jg.sweep(sweep):
            runs[sweep], trained = train(model, step, start, split, parts, steps, progress)
        runs[sweep].sweep = sweep
    # The same step serves all sweeps; at the start and at the end, gradients are large and small.
    gaps = [differences_of_sweeps(lambda at: step(at, *parts[0])[1], point) for point in (start, trained)]
    return Comparison(model.name, runs, {sweep: max(gap[sweep] for gap in gaps) for sweep in SWEEPS})


def _start(model: Model, seed: int) -> tuple:
    jg.manual_seed(seed)
    return model.start()


def train(
    model: Model, step: Any, parameters: tuple, split: Split, parts: list, steps: int, progress: Progress
) -> tuple[Run, tuple]:
    """Descend for `steps` steps with whatever sweep is chosen; only the steps themselves are timed."""
    times, losses = [], []
    for i in range(steps):
        seconds, (loss, _, parameters) = timed(step, parameters, *parts[i % len(parts)])
        times.append(seconds)
        losses.append(loss.item())
        progress.step(model.name)
    loss, accuracy = evaluate(model, parameters, split)
    return Run("", loss, times[0], median(times), accuracy, losses, str(step.report())), parameters


def evaluate(model: Model, parameters: tuple, split: Split) -> tuple[float, float]:
    """Loss and accuracy on the part that was held out."""
    loss = model.loss(*parameters, split.x_held, split.y_held).item()
    classes: Any = model.predict(*parameters, split.x_held).numpy()
    return loss, float((classes == split.y_held.numpy()).mean())
