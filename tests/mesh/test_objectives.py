"""Every term in every form on every mesh equals its definition: the same float32 embeddings, the paper's formula dense in float64.

A term is one entry of CASES: what it reads, its settings, and its definition. `DIPTYCH_GRID=1 pytest tests/mesh/test_objectives.py` runs
each of them in all of its forms on all meshes; else those run that a case calls usual.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.pretrain.objectives.m2mix import shares
from diptych.pretrain.objectives.mochi import drawn
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.randomness import step_randomness
from diptych.pretrain.spec import ImageTowerSpec, ModelSpec, ObjectiveSpec, TextTowerSpec
from diptych.pretrain.spec_objective import (
    CaptioningSpec,
    CyclipSpec,
    DistillationSpec,
    M2MixSpec,
    MatryoshkaSpec,
    MochiSpec,
    SelfSupervisedSpec,
)
from diptych.sharding.axes import mesh_axes
from diptych.sharding.layouts import batch_layout, layouts_of, on_mesh, places
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec

P = jax.P
MESHES = [(1, 1, 1), (8, 1, 1), (2, 4, 1), (1, 4, 2), (2, 2, 2)]
FORMS = ("gather", "chunked", "ring")
SCALES = (1 / 0.07, 100.0)
B, E, T, D, V = 48, 24, 6, 8, 24
TEACHER = 16  # numbers of its embedding
CHUNK = 5  # leaves a rest, of the 6 rows of a device as of the 48 of all
EOS = 23
MODEL = ModelSpec(image=ImageTowerSpec(width=D), text=TextTowerSpec(eos_id=EOS), embed_dim=E)
MOCHI = MochiSpec(hardest=7, mixed=6, with_query=3)


def log_softmax(logits, axis):
    return logits - jax.nn.logsumexp(logits, axis=axis, keepdims=True)


def infonce(images, texts, scale, targets):
    """targets f[B, B]: rows and columns sum to one."""
    logits = scale * images @ texts.T
    return -(targets * (log_softmax(logits, 1) + log_softmax(logits, 0))).sum() / (2 * len(images))


def softmax(named, params, batch, smoothing=0.0):
    size = len(named["image_embedding"])
    targets = (1 - smoothing) * jnp.eye(size) + smoothing / size
    return infonce(named["image_embedding"], named["text_embedding"], jnp.exp(params["logit_scale"]), targets)


def sigmoid(named, params, batch):
    logits = jnp.exp(params["logit_scale"]) * named["image_embedding"] @ named["text_embedding"].T + params["logit_bias"]
    labels = 2 * jnp.eye(len(logits)) - 1
    return jnp.logaddexp(0.0, -labels * logits).sum() / len(logits)


def unicl(named, params, batch, with_labels):
    texts = [str(row) for row in batch["text"]]
    keys = [int(label) if label >= 0 else text for label, text in zip(batch["label"], texts)] if with_labels else texts
    match = jnp.array([[a == b for b in keys] for a in keys], float)
    return infonce(named["image_embedding"], named["text_embedding"], jnp.exp(params["logit_scale"]), match / match.sum(1, keepdims=True))


def matryoshka(named, params, batch, widths, weights, term):
    cut = lambda z, m: z[:, :m] / jnp.linalg.norm(z[:, :m], axis=1, keepdims=True)  # noqa: E731
    parts = [({name: cut(z, m) for name, z in named.items()}, weight) for m, weight in zip(widths, weights)]
    return term(named, params, batch) + sum(weight * term(part, params, batch) for part, weight in parts)


def cyclip(named, params, batch, cross_modal, in_modal):
    z, t = named["image_embedding"], named["text_embedding"]
    return (cross_modal * jnp.square(z @ t.T - t @ z.T).sum() + in_modal * jnp.square(z @ z.T - t @ t.T).sum()) / len(z)


def mochi(named, params, batch):
    z, t, scale = named["image_embedding"], named["text_embedding"], jnp.exp(params["logit_scale"])

    def one_way(queries, keys, draws):
        similarities = queries @ keys.T
        order = jnp.argsort(jnp.where(jnp.eye(B), jnp.inf, -similarities), axis=1)[:, : MOCHI.hardest]
        pick = lambda index: keys[jnp.take_along_axis(order, index, 1)]  # noqa: E731
        a, b = draws.share[..., None], draws.query_share[..., None]
        of_two, with_query = a * pick(draws.first) + (1 - a) * pick(draws.second), b * queries[:, None] + (1 - b) * pick(draws.other)
        negatives = jnp.concatenate([of_two, with_query], 1)
        negatives = jax.lax.stop_gradient(negatives / jnp.linalg.norm(negatives, axis=-1, keepdims=True))
        logits = scale * jnp.concatenate([similarities, jnp.einsum("be,bhe->bh", queries, negatives)], 1)
        return -jnp.diag(log_softmax(logits, 1)).mean()

    return (one_way(z, t, batch["draws"][0]) + one_way(t, z, batch["draws"][1])) / 2


def mochi_draws(random):
    return [jax.vmap(partial(drawn, spec=MOCHI))(random.of_rows(f"mochi_{way}")) for way in ("i2t", "t2i")]


def m2mix(named, params, batch):
    z, t, scale, a = named["image_embedding"], named["text_embedding"], jnp.exp(params["logit_scale"]), batch["draws"]
    angle = jnp.arccos((z * t).sum(1))
    mixed = ((jnp.sin(a * angle) * z.T + jnp.sin((1 - a) * angle) * t.T) / jnp.sin(angle)).T
    ways = [jnp.diag(log_softmax(scale * jnp.where(jnp.eye(B), z @ t.T, queries @ mixed.T), 1)) for queries in (z, t)]
    return -(ways[0] + ways[1]).mean() / 2


def captioning(named, params, batch):
    log_p = log_softmax(named["hidden"][:, :-1] @ named["unembedding"], -1)
    labels = batch["text"][:, 1:]
    ends = np.array([list(row).index(EOS) for row in batch["text"]])
    valid = np.arange(T - 1)[None] < ends[:, None]
    return -(valid * jnp.take_along_axis(log_p, labels[..., None], -1)[..., 0]).sum() / valid.sum()


def self_supervised(named, params, batch, temperature):
    x, (dense, norms) = named["view_features"].reshape(2 * B, D), (params["projector"].get(name, {}) for name in ("dense", "norms"))
    for layer in sorted(dense):
        x = x @ dense[layer]["weight"] + dense[layer]["bias"]
        if layer in norms:
            x = (x - x.mean(1, keepdims=True)) / jnp.sqrt(x.var(1, keepdims=True) + 1e-6)
            x = jnp.maximum(x * norms[layer]["scale"] + norms[layer]["bias"], 0)
    z = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    logits = jnp.where(jnp.eye(2 * B), -jnp.inf, z @ z.T / temperature)
    return -log_softmax(logits, 1)[jnp.arange(2 * B), jnp.arange(2 * B) ^ 1].mean()


def distillation_embedding(named, params, batch, distance):
    losses = 0
    for kind in ("image", "text"):
        z, teacher = named[f"{kind}_embedding"], jax.lax.stop_gradient(named[f"teacher_{kind}_embedding"])
        z = z @ params[f"{kind}_projection"]
        cosine = (z * teacher).sum(1) / jnp.linalg.norm(z, axis=1)
        losses += jnp.square(z - teacher).mean(1) if distance == "mse" else 1 - cosine
    return losses.mean()


def divergence(logits, taught):
    """Of rows and of columns, f[B, B] each."""
    taught = jax.lax.stop_gradient(taught)
    ways = [(log_softmax(logits, axis), log_softmax(taught, axis)) for axis in (0, 1)]
    return sum((jnp.exp(wanted) * (wanted - found)).sum() for found, wanted in ways) / (2 * B)


def distillation_similarity(named, params, batch, temperature):
    logits = named["image_embedding"] @ named["text_embedding"].T
    return divergence(logits / temperature, named["teacher_image_embedding"] @ named["teacher_text_embedding"].T / temperature)


def distillation_logits(named, params, batch):
    logits = jnp.exp(params["logit_scale"]) * named["image_embedding"] @ named["text_embedding"].T
    return divergence(logits, named["teacher_image_query"] @ named["teacher_text_embedding"].T)


Part = tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One term. definition: (outputs it reads, its parameters, batch), all float64 -> loss. reads: names in `outputs` below.

    settings: of ObjectiveSpec. batch: keys beside `text` and `slot`. forms: that make a difference to it. usual: forms and meshes that are
    always run; None: all. scales: that `logit_scale` takes; none: it has no such parameter.
    draws: what the term draws for all rows of the batch, which its definition finds as batch["draws"].
    """

    term: str
    definition: Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], Any]
    reads: tuple[str, ...] = ("image_embedding", "text_embedding")
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    batch: tuple[str, ...] = ()
    forms: tuple[str, ...] = FORMS
    usual: tuple[Part, ...] | None = None
    scales: tuple[float, ...] = SCALES
    draws: Callable[[Any], Any] | None = None

    def grid(self):
        """(form, mesh) of each run."""
        parts = ((self.forms, MESHES),) if self.usual is None or WHOLE_GRID else self.usual
        return [(form, sizes) for forms, meshes in parts for form in forms for sizes in meshes]


WHOLE_GRID = os.environ.get("DIPTYCH_GRID") == "1"
ALL = tuple(MESHES)
TWO = ((1, 1, 1), (2, 2, 2))
THREE = ((1, 1, 1), (2, 4, 1), (1, 4, 2))
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # to compile
TAUGHT = ("image_embedding", "text_embedding", "teacher_image_embedding", "teacher_text_embedding")
SINGLE = {
    "softmax": Case("softmax", softmax),
    "softmax_smoothed": Case("softmax", partial(softmax, smoothing=0.1), settings={"label_smoothing": 0.1}, usual=((("ring",), TWO),)),
    "sigmoid": Case("sigmoid", sigmoid, settings={"init_bias": -3.0}),
    "unicl": Case("unicl", partial(unicl, with_labels=True), batch=("label",)),
    "unicl_of_texts": Case("unicl", partial(unicl, with_labels=False), usual=((("chunked",), TWO),)),
    "cyclip": Case(
        "cyclip",
        partial(cyclip, cross_modal=0.25, in_modal=0.5),
        settings={"cyclip": CyclipSpec(cross_modal=0.25, in_modal=0.5)},
        forms=("auto",),
        scales=(),
    ),
    "mochi": Case("mochi", mochi, settings={"mochi": MOCHI}, draws=mochi_draws, usual=((FORMS, THREE),)),
    "m2mix": Case(
        "m2mix",
        m2mix,
        settings={"m2mix": M2MixSpec(alpha=0.7)},
        draws=lambda random: shares(B, random=random, alpha=0.7),
        usual=((FORMS, THREE),),
    ),
    "captioning": Case(
        "captioning",
        captioning,
        reads=("hidden", "unembedding"),
        settings={"captioning": CaptioningSpec(vocab_chunk=CHUNK)},
        forms=("auto",),
        scales=(),
    ),
    "captioning_at_once": Case(
        "captioning", captioning, reads=("hidden", "unembedding"), forms=("auto",), usual=((("auto",), TWO),), scales=()
    ),
    **{
        f"self_supervised_{temperature}": Case(
            "self_supervised",
            partial(self_supervised, temperature=temperature),
            reads=("view_features",),
            settings={"self_supervised": SelfSupervisedSpec(temperature=temperature, projector=projector)},
            usual=(usual,),
            scales=(),
        )
        # At 0.01 the rounding of several layers alone would be 1e-5: what is compared is made by one.
        for temperature, usual, projector in ((0.07, (("ring",), ALL), (16, E)), (0.01, (("gather", "chunked"), TWO), (E,)))
    },
    **{
        f"distillation_embedding_{distance}": Case(
            "distillation_embedding",
            partial(distillation_embedding, distance=distance),
            reads=TAUGHT,
            settings={"distillation": DistillationSpec(teacher_dim=TEACHER, distance=distance)},
            forms=("auto",),
            usual=((("auto",), meshes),),
            scales=(),
        )
        for distance, meshes in (("mse", ALL), ("cosine", ((2, 2, 2),)))
    },
    "distillation_similarity": Case(  # pairs are visited as those of the logits are
        "distillation_similarity",
        partial(distillation_similarity, temperature=0.01),
        reads=TAUGHT,
        settings={"distillation": DistillationSpec(teacher_dim=TEACHER, temperature=0.01)},
        usual=((("chunked",), ((2, 2, 2),)),),
        scales=(),
    ),
    "distillation_logits": Case(
        "distillation_logits",
        distillation_logits,
        reads=("image_embedding", "text_embedding", "teacher_image_query", "teacher_text_embedding"),
        usual=((("ring",), ALL), (("gather", "chunked"), TWO)),
    ),
}


def in_widths(case, *, usual):
    """The same on whole embeddings and on the first entries of them."""
    nested = MatryoshkaSpec(widths=(4, 12), weights=(1.0, 0.5))
    definition = partial(matryoshka, widths=nested.widths, weights=nested.weights, term=case.definition)
    return dataclasses.replace(case, definition=definition, settings={**case.settings, "matryoshka": nested}, usual=usual)


NESTED = {"softmax": ((("chunked",), TWO),), "sigmoid": (), "unicl": (), "mochi": (), "m2mix": ()}
CASES = SINGLE | {f"matryoshka_{name}": in_widths(SINGLE[name], usual=usual) for name, usual in NESTED.items()}
GRID = [(name, form, sizes) for name, case in CASES.items() for form, sizes in case.grid()]


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    text = rng.integers(1, 20, (B, T)).astype(np.int32)
    for row, end in zip(text, rng.integers(1, T, B)):
        row[end], row[end + 1 :] = EOS, 0
    text[[7, 30, 41]] = text[3]  # the same caption on several devices
    label = np.where(rng.random(B) < 0.5, rng.integers(0, 5, B), -1).astype(np.int32)
    return {"text": text, "slot": np.arange(B, dtype=np.int32), "label": label}


@pytest.fixture(scope="module")
def outputs():
    """What models give, float32; each text is somewhat like its image."""
    rng = np.random.default_rng(1)
    images = unit(rng.normal(size=(B, E)))
    named = {
        "image_embedding": images,
        "text_embedding": unit(images + 0.3 * rng.normal(size=(B, E))),
        "hidden": rng.normal(size=(B, T, D)),
        "unembedding": rng.normal(size=(D, V)),
        "view_features": rng.normal(size=(B, 1, D)) + rng.normal(size=(B, 2, D)),
    }
    taught = unit(rng.normal(size=(B, TEACHER)))
    named |= {"teacher_image_embedding": taught, "teacher_image_query": 20 * taught}
    named["teacher_text_embedding"] = unit(taught + 0.3 * rng.normal(size=(B, TEACHER)))
    return {name: value.astype(np.float32) for name, value in named.items()}


def layouts(named, rows, axes):
    return {name: P(None, axes.tensor) if name == "unembedding" else rows for name in named}


def draws_of(slots):
    return step_randomness(5, jnp.int32(3), slots)


def term_on_mesh(case, form, sizes):
    """Loss and gradients of (outputs, parameters), jitted on a mesh: takes float32 arrays of the host."""
    spec = ObjectiveSpec(terms={case.term: 1.0}, form=form, chunk=CHUNK, **case.settings)
    graph, state = nnx.split(Objective(spec, model=MODEL, rngs=nnx.Rngs(0)))
    mesh = make_mesh(MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2]))
    axes, rows = mesh_axes(mesh), batch_layout(mesh)

    def local(named, params, batch):
        module = nnx.merge(graph, axes.vary({"terms": {case.term: params}}))
        return module(axes.vary(named), batch, axes=axes, random=draws_of(batch["slot"])).loss

    params, where = (tree.get("terms", {}).get(case.term, {}) for tree in (nnx.as_pure(state), on_mesh(layouts_of(state), mesh)))
    specs = ({name: layouts(case.reads, rows, axes)[name] for name in case.reads}, where, rows)
    loss = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P())
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), compiler_options=FAST)

    def run(named, params, batch):
        with jax.set_mesh(mesh):
            place = lambda tree, layout: jax.device_put(tree, jax.NamedSharding(mesh, layout))  # noqa: E731
            placed = {name: place(value, specs[0][name]) for name, value in named.items()}
            return jax.device_get(compiled(placed, jax.device_put(params, places(where, mesh)), place(batch, rows)))

    return run, params


def dense(case, named, params, batch):
    """The same from the definition, in float64."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (named, params))
        definition = jax.jit(jax.value_and_grad(lambda named, params: case.definition(named, params, batch), argnums=(0, 1)))
        return jax.device_get(definition(*wide))


@pytest.fixture(scope="module")
def defined():
    """`dense`, once for each case and scale, whatever the form and the mesh."""
    found = {}

    def make(name, scale, *given):
        if (name, scale) not in found:
            found[name, scale] = dense(CASES[name], *given)
        return found[name, scale]

    return make


@pytest.mark.parametrize(("name", "form", "sizes"), GRID, ids=lambda value: str(value).replace(" ", ""))
def test_loss_and_gradients_are_the_definition_in_float64(outputs, batch, defined, name, form, sizes):
    case = CASES[name]
    named = {key: outputs[key] for key in case.reads}
    given = {key: batch[key] for key in ("text", "slot", *case.batch)}
    drawn_too = {} if case.draws is None else {"draws": jax.device_get(case.draws(draws_of(jnp.asarray(batch["slot"]))))}
    run, params = term_on_mesh(case, form, sizes)
    for scale in case.scales or (None,):
        if scale is not None:
            params = params | {"logit_scale": np.float32(np.log(scale))}
        loss, gradients = run(named, params, given)
        expected, definition = defined(name, scale, named, params, given | drawn_too)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        for path, gradient in jax.tree.leaves_with_path(definition):
            found = dict(jax.tree.leaves_with_path(gradients))[path]
            assert np.abs(found - gradient).max() <= 1e-5 * np.abs(gradient).max(), (path, scale)
