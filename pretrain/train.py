"""Training a recipe in a run folder. The parts are made in run.py, the loop is in loop.py."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import jax

from .bad_total import BadTotal
from .checkpoint import Checkpoints
from .failures import Failures
from .feed import Feed
from .frozen_run import keep_frozen
from .interrupts import Interrupts
from .job import Job
from .loop import run_loop
from .plots import draw_run
from .results import drop_result, read_result, write_result
from .run import begin, prepare
from .run_folder import describe, write_recipe
from .run_lock import locked
from .run_tokenizer import keep_tokenizer
from .spec import Recipe
from .state import TrainState
from .teacher_run import keep_teacher
from .tracer import Profile, Tracer
from .writers import make_writers, recorded


def train(
    recipe: Recipe, workdir: Path, *, profile: Profile | None = None, interrupts: Interrupts | None = None, force_data: bool = False
) -> dict[str, float]:
    """Trains to `train.steps`, from the newest checkpoint of `workdir` where there is one; returns the final metrics.

    interrupts: entered by the caller; absent: signals do what they did before. force_data: goes on though the data are others.
    Raises UserError before any step, with the folder as it was (of several processes, where all of them find it); Stopped (with its exit
    code) after a requested stop has been saved.
    """
    began, job, interrupts = time.monotonic(), Job(), interrupts or Interrupts()
    with contextlib.ExitStack() as stack, Failures() as failures:
        stack.callback(interrupts.at_once)
        job.agree(lambda: stack.enter_context(locked(workdir)))
        run = prepare(recipe, workdir, job=job, force_data=force_data)
        stack.enter_context(jax.set_mesh(run.mesh))
        checkpoints = stack.enter_context(Checkpoints(workdir, recipe.checkpoint))
        start = begin(run, checkpoints, force_data=force_data)
        first, state = int(start.state.step), start.state
        stream = run.stream(start.samples, start.segments)
        stack.callback(stream.close)
        if jax.process_index() == 0:
            keep_tokenizer(workdir, run.tokenizer)
            keep_teacher(workdir, recipe)
            keep_frozen(workdir, recipe, run.learner)
            write_recipe(workdir, recipe)
            run.evaluation.forget_after(first)
            if first < recipe.train.steps:
                drop_result(workdir)
        writer = make_writers(recipe.log, workdir, resumed_step=first)
        stack.callback(writer.close)
        failures.before_leaving(writer.flush)
        largest = lambda length: max(job.gather(length))  # noqa: E731
        feed = Feed(stream, run.mesh, batch_size=recipe.train.batch_size, lengths=run.text_lengths(), largest=largest)
        bad = BadTotal(
            stream.bad,
            feed=feed,
            job=job,
            before=start.bad,
            start=start.samples,
            batch_size=recipe.train.batch_size,
            max_fraction=recipe.data.max_bad_fraction,
        )

        def save(step: int, state: TrainState) -> None:
            drawn = start.samples + (step - first) * recipe.train.batch_size
            bad.read()
            data = run.data_state(drawn, start.segments) | {"bad": bad.counts.state()}
            checkpoints.save(step, state, data=data, metadata=describe(recipe))
            writer.flush()

        tracer = Tracer(workdir, profile)
        metrics = run_loop(run, state, feed=feed, bad=bad, writer=writer, save=save, interrupts=interrupts, tracer=tracer)
    if first == recipe.train.steps:  # nothing was left to do: what the last step measured was written by the start that did it
        metrics = recorded(workdir, first) | read_result(workdir) | metrics
    else:
        metrics |= {"seconds": time.monotonic() - began}
    if jax.process_index() == 0:
        write_result(workdir, metrics)
        draw_run(workdir)
    return metrics
