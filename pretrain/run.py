"""What a training run is made of: put together and checked before any array exists, and its state at the start."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import optax

from ..data.embedding_cache import EmbeddingCache
from ..data.lengths import TextLengths
from ..data.libraries import libraries
from ..data.mixture import Segment
from ..data.orders import check_batch, make_order
from ..data.pipeline import TrainStream, check_state, data_state, mixture_segments
from ..data.source import Source
from ..data.tokenizers import Tokenizer
from ..errors import UserError
from ..sharding.layouts import places
from ..sharding.mesh import make_mesh
from .check_devices import on_devices
from .check_hosts import check_hosts
from .check_places import check_places
from .check_text import check_tokenizer
from .checkpoint import Checkpoints, SavedCheckpoints
from .evaluate import Evaluation, make_evaluation
from .feed import counted_slots, local_slots
from .frozen_run import check_same_frozen
from .init_weights import find_weights, init_weights
from .job import Job
from .learner import Learner, make_learner
from .locked import find_cache
from .open_alike import open_alike
from .optimizer import make_optimizer
from .optimizers.groups import check_groups
from .run_folder import saved_steps
from .run_tokenizer import find_tokenizer
from .same_run import check_identity, check_order, log_differences
from .spec import Recipe
from .state import TrainState, initial_state, state_layouts, state_shapes
from .teacher import with_teacher
from .teacher_files import check_teacher
from .teacher_run import check_same_teacher
from .views import wanted_views
from .writers import check_writers

LOG = logging.getLogger("diptych")


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run is made of, checked, before any array exists."""

    recipe: Recipe
    workdir: Path
    job: Job
    mesh: jax.sharding.Mesh
    learner: Learner
    optimizer: optax.GradientTransformation
    sources: Mapping[str, Source]
    tokenizer: Tokenizer
    embeddings: EmbeddingCache | None
    evaluation: Evaluation

    def data_state(self, samples: int, segments: Sequence[Segment] | None = None) -> dict[str, Any]:
        """The data's JSON after `samples` samples of the run were drawn."""
        return data_state(
            self.recipe.data,
            sources=self.sources,
            tokenizer=self.tokenizer,
            context_length=self.recipe.model.text.context_length,
            seed=self.recipe.seed,
            samples=samples,
            segments=segments,
        )

    def stream(self, start: int, segments: Sequence[Segment] | None = None) -> TrainStream:
        """This process's rows of the training batches from sample `start` of the run on."""
        return TrainStream(
            self.recipe.data,
            sources=self.sources,
            tokenizer=self.tokenizer,
            context_length=self.recipe.model.text.context_length,
            batch_size=self.recipe.train.batch_size,
            seed=self.recipe.seed,
            slots=local_slots(self.mesh, self.recipe.train.batch_size),
            counted=counted_slots(self.mesh, self.recipe.train.batch_size),
            start=start,
            segments=segments,
            views=wanted_views(self.recipe),
            embeddings=self.embeddings,
        )

    def text_lengths(self) -> TextLengths | None:
        """How captions of a batch are cut; None: not at all."""
        if not self.recipe.data.text_lengths:
            return None
        return TextLengths(
            self.recipe.data.text_lengths,
            context_length=self.recipe.model.text.context_length,
            eos_id=self.tokenizer.eos_id,
            pad_id=self.tokenizer.pad_id,
        )


@dataclasses.dataclass(frozen=True)
class Start:
    """Where a run begins or goes on. samples: drawn so far. bad: what `BadCounts.state` said then. segments: weights of the sources."""

    state: TrainState
    samples: int
    bad: Mapping[str, Any] | None
    segments: Sequence[Segment]


def prepare(recipe: Recipe, workdir: Path, *, job: Job, force_data: bool = False) -> Run:
    """Finds every mistake that can be found without compiling: UserError names it. Nothing in the folder is touched.

    Shards are read last, as that may take minutes. force_data: as in `begin`.
    """
    check_identity(workdir, recipe, force_data=force_data)
    job.agree(lambda: check_places(recipe))
    check_hosts(job, libraries(recipe.data))
    here = on_devices(recipe, device_count=jax.device_count(), device_kind=jax.devices()[0].device_kind)
    mesh = make_mesh(here.mesh)
    check_same_teacher(workdir, recipe)
    check_writers(recipe.log)
    learner, optimizer = make_learner(here, mesh), make_optimizer(recipe.optimizer, steps=recipe.train.steps)
    check_groups(recipe.optimizer, learner.shapes)
    tokenizer = find_tokenizer(workdir, recipe.data.tokenizer)
    check_tokenizer(recipe, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    check_teacher(recipe, tokenizer, shapes=learner.shapes)
    if not saved_steps(workdir):
        find_weights(recipe, learner, tokenizer)
    job.agree(lambda: check_same_frozen(workdir, recipe, learner))
    sources = open_alike(recipe.data, job=job)
    check_order(workdir, recipe, samples=sum(map(len, sources.values())), force_data=force_data)
    order = make_order(recipe.data, sources=sources, segments=mixture_segments(recipe.data, {}), seed=recipe.seed)
    check_batch(order, batch_size=recipe.train.batch_size, start=0)
    embeddings = find_cache(recipe, learner, sources)
    return Run(
        recipe=recipe,
        workdir=workdir,
        job=job,
        mesh=mesh,
        learner=learner,
        optimizer=optimizer,
        sources=sources,
        tokenizer=tokenizer,
        embeddings=embeddings,
        evaluation=make_evaluation(learner, tokenizer, workdir=workdir, job=job),
    )


def begin(run: Run, checkpoints: Checkpoints, *, force_data: bool = False) -> Start:
    """The state to start from, fresh or from the newest checkpoint; UserError where that does not fit the run.

    force_data: a checkpoint that was trained on other data will do.
    """
    layouts = state_layouts(run.learner, run.optimizer)
    latest = run.job.agree(lambda: checkpoints.latest)
    if latest is None:
        given = init_weights(run.recipe, run.learner, run.tokenizer)
        fresh = jax.jit(lambda given: initial_state(run.learner, run.optimizer, given), out_shardings=places(layouts, run.mesh))
        state = fresh(given)
        return Start(state=taught(run, state), samples=0, bad=None, segments=mixture_segments(run.recipe.data, {}))
    saved = read_drawn(run, checkpoints, latest, force_data=force_data)
    state = checkpoints.restore(latest, shapes=state_shapes(run.learner, run.optimizer), layouts=layouts, mesh=run.mesh)
    log_differences(run.workdir, run.recipe, samples=sum(map(len, run.sources.values())))
    LOG.info("resuming from step %d on mesh %s", latest, dict(run.mesh.shape))
    return Start(state=taught(run, state), samples=saved["samples"], bad=saved["bad"], segments=mixture_segments(run.recipe.data, saved))


def read_drawn(run: Run, checkpoints: SavedCheckpoints, step: int, *, force_data: bool = False) -> dict[str, Any]:
    """What was drawn up to a checkpoint, as `SavedCheckpoints.data`; UserError where the run ends before it, or draws from other data."""
    if step > run.recipe.train.steps:
        raise UserError(f"train.steps = {run.recipe.train.steps} is behind the checkpoint at step {step}; accepted is at least that")
    saved = checkpoints.data(step)
    check_state(saved, run.data_state(saved["samples"]), force=force_data)
    return saved


def taught(run: Run, state: TrainState) -> TrainState:
    """The state with the teacher that a term learns from, which no checkpoint holds."""
    return dataclasses.replace(state, params=with_teacher(run.learner, state.params))
