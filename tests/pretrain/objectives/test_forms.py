"""How pairs are visited: which form is chosen, what it holds, how gradients leave; labels of texts; a fixed scale."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from diptych.errors import UserError
from diptych.pretrain.check import check
from diptych.pretrain.models.parameters import bounds_of
from diptych.pretrain.objectives.forms import choose_form
from diptych.pretrain.objectives.objective import Objective
from diptych.pretrain.objectives.term import TERMS
from diptych.pretrain.objectives.unicl import text_hash
from diptych.pretrain.spec import ModelSpec, ObjectiveSpec
from diptych.pretrain.spec_objective import DistillationSpec, MatryoshkaSpec
from diptych.sharding.axes import Axes, mesh_axes
from diptych.sharding.layouts import batch_layout
from diptych.sharding.mesh import abstract_mesh
from tests.jaxprs import equations

P = jax.P
E = 768


def gradient_jaxpr(term, *, batch, replica, fsdp, **settings):
    """Of one device of a mesh that need not exist."""
    mesh = abstract_mesh(replica=replica, fsdp=fsdp, tensor=1)
    axes, rows = mesh_axes(mesh), batch_layout(mesh)
    graph, state = nnx.split(Objective(ObjectiveSpec(terms={term: 1.0}, **settings), model=ModelSpec(), rngs=nnx.Rngs(0)))

    def local(images, texts, state):
        return nnx.merge(graph, axes.vary(state))({"image_embedding": images, "text_embedding": texts}, {}, axes=axes).loss

    loss = jax.shard_map(local, mesh=mesh, in_specs=(rows, rows, P()), out_specs=P())
    with jax.sharding.use_abstract_mesh(mesh):
        embeddings = jax.ShapeDtypeStruct((batch, E), jnp.float32, sharding=jax.NamedSharding(mesh, rows))
        whole = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1, 2)))(embeddings, embeddings, nnx.as_pure(state)).jaxpr
    return [equation for mapped in equations(whole, "shard_map") for equation in equations(mapped.params["jaxpr"])]


def largest(found):
    """Entries of the largest array that any equation makes."""
    return max(math.prod(var.aval.shape) for equation in found for var in equation.outvars)


@pytest.mark.parametrize("term", ["softmax", "sigmoid"])
@pytest.mark.parametrize(("form", "entries"), [("ring", 1024 * 1024), ("chunked", 2**20 * E), ("gather", 2**30)])
def test_a_device_of_1024_holds_what_the_form_says_of_a_million_samples(term, form, entries):
    assert largest(gradient_jaxpr(term, batch=2**20, replica=16, fsdp=64, form=form)) == entries


@pytest.mark.parametrize("term", ["softmax", "sigmoid"])
@pytest.mark.parametrize("form", ["gather", "chunked"])
def test_gradients_of_gathered_embeddings_leave_by_one_reduce_scatter(term, form):
    found = gradient_jaxpr(term, batch=4096, replica=2, fsdp=4, form=form)
    scattered = [equation.outvars[0].aval.shape for equation in found if equation.primitive.name == "reduce_scatter"]
    assert scattered.count((512, E)) == 1
    sums = [equation for equation in found if equation.primitive.name.startswith("psum")]
    assert sums and largest(sums) == 1  # loss, accuracy, scale and bias: nothing of the size of the embeddings


def test_the_ring_sends_embeddings_by_permutes_alone():
    names = {equation.primitive.name for equation in gradient_jaxpr("softmax", batch=4096, replica=2, fsdp=4, form="ring")}
    assert "ppermute" in names and not names & {"all_gather", "reduce_scatter", "all_to_all"}


@pytest.mark.parametrize(
    ("rows", "devices", "form"),
    [(128, 256, "gather"), (4096, 8, "chunked"), (1024, 1024, "ring"), (32_768, 1, "chunked"), (32_768, 8, "ring"), (1, 1, "gather")],
)
def test_auto_chooses_by_bytes(rows, devices, form):
    chosen = choose_form(rows=rows, devices=devices, width=E)
    assert chosen.name == form
    assert chosen.logits_bytes == 4 * rows * rows * devices and chosen.tile_bytes == 4 * rows * chosen.chunk
    assert str(chosen).startswith(f"{form}, {chosen.chunk} keys a tile; MiB a device: ")


@pytest.mark.parametrize(
    ("name", "rows", "sizes", "form"),
    [
        ("softmax", 32_768, (2, 4), "ring"),
        ("mochi", 32_768, (2, 4), "ring"),  # 6 b E for the keys that go around and B E = 8 b E for the bank: less than 2 B E
        ("mochi", 65_536, (2, 2), "chunked"),  # 6 b E + 4 b E: more than 2 B E = 8 b E
        ("softmax", 65_536, (2, 2), "ring"),
    ],
)
def test_auto_counts_the_keys_that_mochi_holds_in_the_ring(name, rows, sizes, form):
    mesh = abstract_mesh(replica=sizes[0], fsdp=sizes[1], tensor=1)
    axes = mesh_axes(mesh)
    objective = Objective(ObjectiveSpec(terms={name: 1.0}), model=ModelSpec(embed_dim=E), rngs=nnx.Rngs(0))
    forms = []

    def local(keys):
        forms.append(objective.terms[name].form_of(keys, axes=axes))
        return keys

    with jax.sharding.use_abstract_mesh(mesh):
        whole = jax.ShapeDtypeStruct((rows * mesh.size, E), jnp.float32, sharding=jax.NamedSharding(mesh, batch_layout(mesh)))
        jax.eval_shape(jax.shard_map(local, mesh=mesh, in_specs=batch_layout(mesh), out_specs=batch_layout(mesh)), whole)
    assert forms[0].name == form and objective.forms(rows, devices=mesh.size) == {name: forms[0]}


def test_each_term_that_visits_pairs_says_how():
    """Of b = 512 samples on each of 8 devices: two views of each, or embeddings with the teacher's beside them."""
    teacher = DistillationSpec(teacher_dim=256)
    spec = ObjectiveSpec(terms={name: 1.0 for name in TERMS}, distillation=teacher, form="chunked")
    forms = nnx.eval_shape(lambda: Objective(spec, model=ModelSpec(embed_dim=E), rngs=nnx.Rngs(0))).forms(512, devices=8)
    assert set(TERMS) - set(forms) == {"captioning", "cyclip", "distillation_embedding"}
    width = spec.self_supervised.projector[-1]
    wanted = dict.fromkeys(forms, (512, E)) | {"self_supervised": (1024, width)}
    wanted |= dict.fromkeys(("distillation_similarity", "distillation_logits"), (512, E + 256))
    assert {name: (form.logits_bytes, form.gathered_bytes) for name, form in forms.items()} == {
        name: (4 * rows * 8 * rows, 2 * 4 * 8 * rows * width) for name, (rows, width) in wanted.items()
    }


def test_a_tile_holds_16_mib_or_128_keys_or_what_is_asked_for():
    assert choose_form(rows=4096, devices=8, width=E, form="ring").tile_bytes == 16 << 20
    assert choose_form(rows=3000, devices=8, width=E, form="ring").chunk == 1024
    assert choose_form(rows=2**20, devices=8, width=E, form="chunked").chunk == 128
    assert choose_form(rows=4096, devices=8, width=E, form="chunked", chunk=100).chunk == 100
    assert choose_form(rows=64, devices=8, width=E, form="ring", chunk=100).chunk == 64
    assert choose_form(rows=64, devices=8, width=E, form="gather", chunk=100).chunk == 512


def test_a_fixed_scale_has_no_gradient_and_one_value():
    spec = ObjectiveSpec(terms={"softmax": 1.0}, scale="fixed", init_scale=200.0)
    graph, state = nnx.split(Objective(spec, model=ModelSpec(), rngs=nnx.Rngs(0)))
    rows = jax.random.normal(jax.random.key(0), (2, 8, 4))

    def loss(state):
        return nnx.merge(graph, state)({"image_embedding": rows[0], "text_embedding": rows[1]}, {}, axes=Axes()).loss

    assert jax.tree.leaves(jax.grad(loss)(nnx.as_pure(state))) == [0.0]
    assert bounds_of(state) == {"terms.softmax.logit_scale": (math.log(200.0), math.log(200.0))}


def test_hashes_tell_texts_apart_by_each_token_and_its_place():
    rng = np.random.default_rng(0)
    texts = np.unique(rng.integers(0, 4, (4096, 12)).astype(np.int32), axis=0)  # close to each other
    swapped = texts[:, [1, 0, *range(2, 12)]]
    high, low = text_hash(jnp.asarray(np.unique(np.concatenate([texts, swapped]), axis=0)))
    pairs = {(int(a), int(b)) for a, b in zip(high, low)}
    assert len(pairs) == len(high) and len(set(map(int, high))) == len(high) and np.all(np.asarray(low) & 1)


def test_a_label_is_no_hash_and_unlabelled_samples_go_by_their_text():
    term = Objective(ObjectiveSpec(terms={"unicl": 1.0}), model=ModelSpec(), rngs=nnx.Rngs(0)).terms["unicl"]
    text = jnp.array([[1, 2], [3, 4], [1, 2], [1, 2], [5, 6]], jnp.int32)
    labels = term.labels({"text": text, "label": jnp.array([7, 7, -1, -1, -1])}, rows=5, axes=Axes())
    classes = [(int(a), int(b)) for a, b in zip(*labels)]
    assert classes[0] == classes[1] == (7, 0) and classes[2] == classes[3] and len(set(classes)) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "dense"}, "objective.form = 'dense' is unknown; accepted is auto or gather or chunked or ring"),
        ({"scale": "frozen"}, "objective.scale = 'frozen' is unknown; accepted is learnt or fixed"),
        ({"chunk": 0}, "objective.chunk = 0 is out of range"),
        ({"label_smoothing": 1.5}, "objective.label_smoothing = 1.5 is out of range; accepted is a number from 0 to 1"),
        (
            {"matryoshka": MatryoshkaSpec(widths=(16, 8))},
            r"objective.matryoshka.widths = \(16, 8\) does not rise; accepted are rising numbers below 32",
        ),
        (
            {"matryoshka": MatryoshkaSpec(widths=(8, 32))},
            r"widths = \(8, 32\) is not below model.embed_dim = 32, which is trained anyway; accepted are rising numbers below 32",
        ),
        (
            {"matryoshka": MatryoshkaSpec(weights=(1.0,))},
            r"matryoshka.weights = \(1.0,\) are of objective.matryoshka.widths, which is empty; accepted is an empty list",
        ),
        (
            {"matryoshka": MatryoshkaSpec(widths=(8,), weights=(1.0, 1.0))},
            r"matryoshka.weights = \(1.0, 1.0\) has 2 for the 1 of objective.matryoshka.widths = \(8,\); accepted is one for each",
        ),
        ({"matryoshka": MatryoshkaSpec(widths=(8,), weights=(-1.0,))}, r"objective.matryoshka.weights\[0\] = -1.0 is out of range"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused(tiny_recipe, settings, message):
    recipe = tiny_recipe()
    data, objective = dataclasses.replace(recipe.data, train=("a.tar",)), dataclasses.replace(recipe.objective, **settings)
    with pytest.raises(UserError, match=message):
        check(dataclasses.replace(recipe, data=data, objective=objective))
