"""Terms that mix or compare embeddings: what is drawn, points on the sphere, rounding, what a device holds and sends, wrong settings."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.errors import UserError
from diptych.pretrain.objectives.m2mix import geodesic, shares
from diptych.pretrain.objectives.mochi import drawn
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.randomness import step_randomness
from diptych.pretrain.recipe import load_recipe
from diptych.pretrain.spec import ModelSpec, ObjectiveSpec
from diptych.pretrain.spec_objective import MochiSpec
from diptych.sharding.axes import Axes, mesh_axes
from diptych.sharding.layouts import batch_layout
from diptych.sharding.mesh import abstract_mesh
from tests.jaxprs import equations

P = jax.P
E = 768
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True})
points = compiled(geodesic)
first_entries = compiled(jax.value_and_grad(lambda a, b, share: geodesic(a, b, share=share)[:, 0].sum(), argnums=(0, 1)))


def unit_rows(count, width=16, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def loss_of(term, **settings):
    """(images, texts, slots) -> the term on one device; no slots: an evaluation."""
    module = Objective(ObjectiveSpec(terms={term: 1.0}, **settings), model=ModelSpec(), rngs=nnx.Rngs(0))

    def loss(images, texts, slots=None):
        random = None if slots is None else draws_of(slots)
        return module({"image_embedding": images, "text_embedding": texts}, {}, axes=Axes(), random=random).loss

    return loss


def draws_of(slots, step=0):
    return step_randomness(7, jnp.int32(step), jnp.asarray(slots, jnp.int32))


def test_draws_are_of_the_slot_and_of_the_step():
    spec = MochiSpec(hardest=5, mixed=400, with_query=300)
    draw = compiled(jax.vmap(lambda key: drawn(key, spec=spec)))
    randoms = draws_of([0, 1, 2]), draws_of([2, 9, 4]), draws_of([0, 1, 2], step=1)
    some, other, later = (draw(random.of_rows("mochi_i2t")) for random in randoms)
    for name in ("first", "second", "share", "other", "query_share"):
        found = getattr(some, name)
        np.testing.assert_array_equal(found[2], getattr(other, name)[0])
        assert all(np.any(found[0] != theirs) for theirs in (found[1], getattr(later, name)[0])), name
    assert {*some.first.ravel().tolist()} == {*some.second.ravel().tolist()} == {*some.other.ravel().tolist()} == set(range(5))
    assert 0 <= some.share.min() < 0.05 and 0.95 < some.share.max() < 1
    assert 0 <= some.query_share.min() < 0.03 and 0.47 < some.query_share.max() < 0.5


def test_shares_of_pairs_are_beta_distributed_and_halves_in_an_evaluation():
    middle = np.linspace(0.025, 0.975, 20)
    for alpha in (0.1, 0.5, 3.0):
        found = np.asarray(compiled(lambda slots: shares(4000, random=draws_of(slots), alpha=alpha))(np.arange(4000)))  # noqa: B023
        assert found.min() >= 0 and found.max() <= 1
        below = (found[:, None] < middle).mean(0)
        np.testing.assert_allclose(below, jax.scipy.special.betainc(alpha, alpha, middle), atol=0.026)  # Kolmogorov, 1%
    np.testing.assert_array_equal(shares(3, random=None, alpha=0.5), 0.5)


def test_mixtures_lie_on_the_great_circle():
    a, b, share = unit_rows(64), unit_rows(64, seed=1), np.linspace(0, 1, 64, dtype=np.float32)
    found = points(a, b, share=share)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found[0], b[0], atol=1e-6)
    np.testing.assert_allclose(found[-1], a[-1], atol=1e-6)
    angle = lambda x, y: np.arccos(np.clip((x * y).sum(1), -1, 1))  # noqa: E731
    np.testing.assert_allclose(angle(np.asarray(found), b), share * angle(a, b), atol=1e-3)


@pytest.mark.parametrize("gap", [0.0, 1e-4, 1e-2, 2.1e-2, 2.0], ids=str)
def test_mixtures_of_vectors_that_are_almost_one_or_opposite_have_finite_gradients(gap):
    a = unit_rows(8)
    b = -a if gap == 2.0 else a + gap * unit_rows(8, seed=1)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    share = np.linspace(0, 1, 8, dtype=np.float32)
    value, gradients = first_entries(a, b, share)
    assert np.isfinite(value) and all(np.all(np.isfinite(gradient)) for gradient in gradients)
    if gap < 1:
        mean = share[:, None] * a + (1 - share[:, None]) * b
        np.testing.assert_allclose(points(a, b, share=share), mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


def test_consistency_is_not_lost_in_rounding_where_texts_are_almost_their_images():
    images = unit_rows(256)
    texts = (images + 1e-3 * unit_rows(256, seed=1)).astype(np.float32)

    def dense(images, texts):
        across, among = images @ texts.T, images @ images.T - texts @ texts.T
        return 0.25 * (jnp.square(across - across.T).sum() + jnp.square(among).sum()) / len(images)

    loss, gradients = compiled(jax.value_and_grad(loss_of("cyclip"), argnums=(0, 1)))(images, texts)
    with jax.enable_x64(True):
        gradient = compiled(jax.value_and_grad(dense, argnums=(0, 1)))
        expected, definition = jax.device_get(gradient(jnp.float64(images), jnp.float64(texts)))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for found, gradient in zip(gradients, definition):
        assert np.abs(found - gradient).max() <= 1e-5 * np.abs(gradient).max()


def test_nothing_is_mixed_in_an_evaluation():
    images, texts, few = unit_rows(12), unit_rows(12, seed=1), MochiSpec(hardest=3, mixed=4, with_query=2)
    mochi, softmax = compiled(loss_of("mochi", mochi=few)), compiled(loss_of("softmax"))
    assert mochi(images, texts, np.arange(12)) > mochi(images, texts) + 0.1
    np.testing.assert_allclose(mochi(images, texts), softmax(images, texts), rtol=1e-6)


def test_a_batch_of_one_has_no_negatives():
    loss, gradients = compiled(jax.value_and_grad(loss_of("m2mix"), argnums=(0, 1)))(unit_rows(1), unit_rows(1, seed=1))
    assert loss == 0 and all(not np.any(gradient) for gradient in gradients)


def gradient_of_a_device(term, *, batch, devices, **settings):
    """The equations of value and gradient on one device of a mesh that need not exist."""
    mesh = abstract_mesh(replica=devices // 4, fsdp=4, tensor=1)
    axes, rows = mesh_axes(mesh), batch_layout(mesh)
    graph, state = nnx.split(Objective(ObjectiveSpec(terms={term: 1.0}, **settings), model=ModelSpec(), rngs=nnx.Rngs(0)))

    def local(images, texts, slots, state):
        outputs = {"image_embedding": images, "text_embedding": texts}
        return nnx.merge(graph, axes.vary(state))(outputs, {}, axes=axes, random=step_randomness(0, jnp.int32(0), slots)).loss

    loss = jax.shard_map(local, mesh=mesh, in_specs=(rows, rows, rows, P()), out_specs=P())
    with jax.sharding.use_abstract_mesh(mesh):
        place = jax.NamedSharding(mesh, rows)
        embeddings = jax.ShapeDtypeStruct((batch, E), jnp.float32, sharding=place)
        slots = jax.ShapeDtypeStruct((batch,), jnp.int32, sharding=place)
        traced = jax.make_jaxpr(jax.value_and_grad(loss, argnums=(0, 1)))(embeddings, embeddings, slots, nnx.as_pure(state))
    return [equation for mapped in equations(traced.jaxpr, "shard_map") for equation in equations(mapped.params["jaxpr"])]


def largest(found):
    return max(math.prod(var.aval.shape) for equation in found for var in equation.outvars)


@pytest.mark.parametrize(
    ("term", "form", "entries"),
    [
        ("cyclip", "auto", 3 * E * E),
        ("m2mix", "ring", 1024 * 1024),
        ("m2mix", "chunked", 2**20 * E),
        ("mochi", "ring", 1024 * 64 * E),  # the hardest of each query; at once where they can be gathered
        ("mochi", "chunked", 2**20 * E),
    ],
)
def test_a_device_of_1024_never_holds_the_pairs_of_a_million_samples(term, form, entries):
    assert largest(gradient_of_a_device(term, batch=2**20, devices=1024, form=form)) == entries


def test_consistency_is_one_sum_of_matrices_of_the_width():
    found = gradient_of_a_device("cyclip", batch=4096, devices=8)
    assert not {equation.primitive.name for equation in found} & {"all_gather", "reduce_scatter", "all_to_all", "ppermute"}
    sums = [equation.outvars[0].aval.size for equation in found if equation.primitive.name.startswith("psum")]
    assert sums == [3 * E * E]


@pytest.mark.parametrize("term", ["cyclip", "mochi", "m2mix"])
def test_products_and_their_gradients_are_full_float32(term):
    found = [equation for equation in gradient_of_a_device(term, batch=512, devices=8) if equation.primitive.name == "dot_general"]
    assert len(found) >= 3 and {equation.params["precision"] for equation in found} == {(jax.lax.Precision.HIGHEST,) * 2}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["terms.mochi=1", "mochi.hardest=512"],
            "objective.mochi.hardest = 512 is more than the other samples of train.batch_size = 256; ",
        ),
        (["terms.mochi=1", "mochi.mixed=0", "mochi.with_query=0"], "objective.mochi has mixed = 0 and with_query = 0; "),
        (["mochi.hardest=0"], "objective.mochi.hardest = 0 is out of range; "),
        (["mochi.mixed=-1"], "objective.mochi.mixed = -1 is out of range; accepted is a number from 0"),
        (["terms.cyclip=1", "cyclip.cross_modal=0", "cyclip.in_modal=0"], "objective.cyclip has cross_modal = 0 and in_modal = 0; "),
        (["cyclip.in_modal=-1"], "objective.cyclip.in_modal = -1.0 is out of range; accepted is a number from 0"),
        (["m2mix.alpha=0"], "objective.m2mix.alpha = 0.0 is out of range; accepted is a number above 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_settings_that_cannot_be_are_refused(overrides, message):
    with pytest.raises(UserError) as error:
        load_recipe("clip_emoji", ["train.batch_size=256", *(f"objective.{override}" for override in overrides)])
    assert str(error.value).startswith(message) and "accepted" in str(error.value)
