"""Training a recipe in a run folder: everything is put together and checked here; the loop itself is in loop.py."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from pathlib import Path
from typing import Any

import jax
import optax

from ..data.index import Index, index_shards
from ..data.pipeline import TrainStream, check_state, data_state
from ..data.tokenizers import Tokenizer, load_tokenizer
from ..errors import UserError
from ..sharding.mesh import make_mesh
from .checkpoint import Checkpoints
from .evaluate import Evaluation, make_evaluation
from .feed import Feed, local_slots
from .learner import Learner, make_learner
from .loop import Profile, run_loop
from .optimizer import make_optimizer
from .plots import draw_run
from .recipe import check_devices, check_tokenizer
from .run_folder import check_identity, describe, write_atomically, write_recipe
from .spec import Recipe
from .state import TrainState, initial_state, state_layouts, state_shapes
from .writers import check_writers, make_writers

LOG = logging.getLogger("diptych")
RESULT = "result.json"


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run is made of, checked, before any array exists."""

    recipe: Recipe
    workdir: Path
    mesh: jax.sharding.Mesh
    learner: Learner
    optimizer: optax.GradientTransformation
    index: Index
    tokenizer: Tokenizer
    evaluation: Evaluation

    def data_state(self, samples: int) -> dict[str, Any]:
        """The data's JSON after `samples` samples of the run were drawn."""
        return data_state(
            self.recipe.data,
            index=self.index,
            tokenizer=self.tokenizer,
            context_length=self.recipe.model.text.context_length,
            seed=self.recipe.seed,
            samples=samples,
        )

    def stream(self, start: int) -> TrainStream:
        """This process's rows of the training batches from sample `start` of the run on."""
        return TrainStream(
            self.recipe.data,
            index=self.index,
            tokenizer=self.tokenizer,
            context_length=self.recipe.model.text.context_length,
            batch_size=self.recipe.train.batch_size,
            seed=self.recipe.seed,
            slots=local_slots(self.mesh, self.recipe.train.batch_size),
            start=start,
        )


def prepare(recipe: Recipe, workdir: Path) -> Run:
    """Finds every mistake that can be found without compiling: UserError names it."""
    check_identity(workdir, recipe)
    mesh = make_mesh(check_devices(recipe, device_count=jax.device_count()))
    tokenizer = load_tokenizer(recipe.data.tokenizer)
    check_tokenizer(recipe, vocab_size=tokenizer.vocab_size)
    check_writers(recipe.log)
    learner = make_learner(recipe, mesh)
    return Run(
        recipe=recipe,
        workdir=workdir,
        mesh=mesh,
        learner=learner,
        optimizer=make_optimizer(recipe.optimizer, steps=recipe.train.steps),
        index=index_shards(recipe.data.train, setting="data.train"),
        tokenizer=tokenizer,
        evaluation=make_evaluation(learner, tokenizer, workdir=workdir),
    )


def begin(run: Run, checkpoints: Checkpoints) -> tuple[TrainState, int]:
    """The state to start from, fresh or restored, and the samples drawn so far."""
    layouts = state_layouts(run.learner, run.optimizer)
    if checkpoints.latest is None:
        places = jax.tree.map(lambda layout: jax.NamedSharding(run.mesh, layout), layouts, is_leaf=lambda x: isinstance(x, jax.P))
        return jax.jit(lambda: initial_state(run.learner, run.optimizer), out_shardings=places)(), 0
    if checkpoints.latest > run.recipe.train.steps:
        raise UserError(
            f"train.steps = {run.recipe.train.steps} is behind the checkpoint at step {checkpoints.latest}; accepted is at least that"
        )
    state, data = checkpoints.restore(checkpoints.latest, shapes=state_shapes(run.learner, run.optimizer), layouts=layouts, mesh=run.mesh)
    check_state(data, run.data_state(data["samples"]))
    LOG.info("resuming from step %d on mesh %s", checkpoints.latest, dict(run.mesh.shape))
    return state, data["samples"]


def read_result(workdir: Path) -> dict[str, float]:
    """The final metrics of a run that has ended; empty where there are none."""
    path = workdir / RESULT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def train(recipe: Recipe, workdir: Path, *, profile: Profile | None = None) -> dict[str, float]:
    """Trains to `train.steps`, from the newest checkpoint of `workdir` where there is one; returns the final metrics.

    Raises UserError before any compile, Stopped (with its exit code) after a requested stop has been saved.
    """
    start = time.monotonic()
    run = prepare(recipe, workdir)
    if jax.process_index() == 0:
        write_recipe(workdir, recipe)
    with jax.set_mesh(run.mesh), Checkpoints(workdir, recipe.checkpoint) as checkpoints:
        state, samples = begin(run, checkpoints)
        first = int(state.step)
        run.evaluation.forget_after(first)
        writer = make_writers(recipe.log, workdir, resumed_step=first)
        stream = run.stream(samples)
        feed = Feed(stream, run.mesh, batch_size=recipe.train.batch_size)

        def save(step: int, state: TrainState) -> None:
            drawn = samples + (step - first) * recipe.train.batch_size
            checkpoints.save(step, state, data=run.data_state(drawn), metadata=describe(recipe))

        try:
            metrics = run_loop(run, state, feed=feed, writer=writer, save=save, profile=profile)
        finally:
            stream.close()
            writer.close()
            checkpoints.wait()
    if first == recipe.train.steps:  # nothing was left to do: what the last step measured is in the result of the run that did it
        metrics = read_result(workdir) | metrics
    else:
        metrics |= {"seconds": time.monotonic() - start, "bad_samples": stream.bad.count}
    if jax.process_index() == 0:
        write_atomically(workdir / RESULT, json.dumps(metrics, indent=1) + "\n")
        draw_run(workdir)
    return metrics
