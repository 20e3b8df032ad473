import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import pytest

from diptych.errors import UserError
from diptych.sharding import plan as engine
from diptych.sharding import topology
from diptych.sharding.flops import Product
from diptych.sharding.hardware import A100, B200, H100, V5E
from diptych.sharding.memory import memory_of, usable_bytes, used_when_full
from diptych.sharding.mesh import mesh_over
from diptych.sharding.plan import Weight, plan_step
from diptych.sharding.plan_cache import PlanCache, plan_key
from diptych.sharding.roofline import compute_seconds, link_bandwidth, roofline
from diptych.sharding.spec import MeshSpec
from diptych.sharding.topology import Topology, find_topology
from diptych.sharding.traffic import Traffic

P = jax.P
LAYERS, WIDTH, ROWS = 3, 32, 64


def here():
    """The test's own eight devices, as if they were a topology."""
    hardware = dataclasses.replace(V5E, name="here", platform="cpu")
    return Topology(name="here:8", hardware=hardware, devices=tuple(jax.devices()), granules=1, compiler="jaxlib")


def traced_step(mesh):
    """Layers whose weights are gathered over fsdp in a scan; gradients of the mean over all rows."""

    def local(weights, rows):
        def layer(x, w):
            return jnp.tanh(x @ jax.lax.all_gather(w, "fsdp", tiled=True)), None

        return jax.lax.psum(jax.lax.scan(layer, rows, weights)[0].sum(), ("replica", "fsdp"))

    def loss(weights, rows):
        return jax.shard_map(local, in_specs=(P(None, "fsdp"), P(("replica", "fsdp"))), out_specs=P())(weights, rows)

    def shape(*sizes, layout):
        return jax.ShapeDtypeStruct(sizes, jnp.float32, sharding=jax.NamedSharding(mesh, layout))

    weights = shape(LAYERS, WIDTH, WIDTH, layout=P(None, "fsdp", None))
    rows = shape(ROWS, WIDTH, layout=P(("replica", "fsdp"), None))
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        return jax.jit(jax.grad(loss)).trace(weights, rows)


@pytest.fixture(scope="module")
def mesh():
    return mesh_over(MeshSpec(replica=2, fsdp=4, tensor=1), jax.devices())


@pytest.fixture(scope="module")
def found(mesh):
    return plan_step(traced_step(mesh), mesh, here())


def test_arguments_are_a_devices_shards(found):
    assert found.arguments == {"0": LAYERS * WIDTH * WIDTH * 4 // 4, "1": ROWS * WIDTH * 4 // 8}
    assert found.weight.memory.arguments == sum(found.arguments.values())
    assert found.fits and found.weight.needed == found.weight.memory.peak > found.weight.memory.arguments


def analysed(*, peak):
    """A compiled step: 10 bytes of arguments, of which 6 are donated, 8 of results, 100 of temporaries."""
    sizes = dict(argument_size_in_bytes=10, output_size_in_bytes=8, alias_size_in_bytes=6, temp_size_in_bytes=100)
    found = types.SimpleNamespace(**sizes, generated_code_size_in_bytes=1, peak_memory_in_bytes=peak)
    return types.SimpleNamespace(memory_analysis=lambda: found)


@pytest.mark.parametrize(("said", "peak"), [(0, 112), (13, 112), (95, 95), (105, 105)])
def test_a_peak_without_the_temporaries_is_none(said, peak):
    assert memory_of(analysed(peak=said)).peak == peak


def test_flops_count_every_layer_and_device(found):
    forward = 2 * ROWS * WIDTH * WIDTH * LAYERS
    assert sum(found.products.values()) == 3 * forward
    assert {kind.arithmetic for kind in found.products} == {"float32"}


def test_collectives_in_the_scan_count_every_layer(found):
    gathers = [row for row in found.weight.traffic if row.kind == "all-gather"]
    assert sum(row.count for row in gathers) % LAYERS == 0
    assert all(row.axes == ("fsdp",) and row.bytes == row.count * WIDTH * WIDTH * 4 for row in gathers)
    sums = [row for row in found.weight.traffic if "replica" in row.axes]
    assert sums and all(row.network_bytes == 0 for row in sums)


def test_the_roofline_names_what_binds(found):
    line = found.roofline
    assert line.seconds == max(line.compute, line.hbm, line.link, line.network)
    assert getattr(line, line.binds) == line.seconds > 0


def test_a_planned_step_is_not_compiled_again(found, mesh, tmp_path, monkeypatch):
    cache = PlanCache(tmp_path / "plans")
    first = plan_step(traced_step(mesh), mesh, here(), cache=cache)
    monkeypatch.setattr(engine, "weigh", lambda *_, **__: pytest.fail("compiled"))
    assert plan_step(traced_step(mesh), mesh, here(), cache=cache).weight == first.weight


def test_what_is_in_the_cache_comes_back_whole(found):
    assert Weight.from_json(json.loads(json.dumps(dataclasses.asdict(found.weight)))) == found.weight


def test_a_key_is_that_of_program_topology_compiler_and_options():
    keys = {
        plan_key("a", "v5e:2x2", "libtpu 1", {}),
        plan_key("b", "v5e:2x2", "libtpu 1", {}),
        plan_key("a", "v5e:4x4", "libtpu 1", {}),
        plan_key("a", "v5e:2x2", "libtpu 2", {}),
        plan_key("a", "v5e:2x2", "libtpu 1", {"option": 1}),
    }
    assert len(keys) == 5 and plan_key("a", "v5e:2x2", "libtpu 1", {}) in keys


def test_a_damaged_or_unwritable_cache_is_none(tmp_path):
    (tmp_path / "key.json").write_text("{")
    assert PlanCache(tmp_path).read("key") is None
    PlanCache(tmp_path / "key.json").write("other", {"a": 1})
    assert PlanCache(tmp_path / "key.json").read("other") is None


class TooLarge:
    def compile(self, **_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 33.5G of 15.75G hbm. Exceeded")


class Broken:
    def compile(self, **_):
        raise jax.errors.JaxRuntimeError("INTERNAL: other")


def test_a_step_that_is_too_large_has_the_size_that_the_compiler_named(mesh):
    weight = engine.weigh(TooLarge(), None, platform="tpu", options={})
    assert (weight.memory, weight.needed) == (None, int(33.5 * 2**30))
    found = dataclasses.replace(plan_step(traced_step(mesh), mesh, here()), weight=weight)
    assert not found.fits and found.roofline is None


def test_another_failure_of_the_compiler_is_no_plan():
    with pytest.raises(jax.errors.JaxRuntimeError, match="other"):
        engine.weigh(Broken(), None, platform="tpu", options={})
    assert used_when_full(ValueError("other")) is None


def test_temporaries_that_do_not_fit_are_what_a_step_needs():
    refused = "CompileTimeHbmOom: the total memory required for HLO temporaries (48.5G) exceeds available HBM (15.75G)"
    assert used_when_full(ValueError(refused)) == 48.5 * 2**30


@pytest.mark.parametrize(("hardware", "highest"), [(V5E, 6), (A100, 312 / 19.5), (H100, 989 / 67), (B200, 2250 / 80)])
def test_float32_products_cost_what_they_cost_on_the_hardware(hardware, highest):
    products = {Product("", "bfloat16"): 100, Product("", "float32_highest"): 10}
    assert compute_seconds(products, hardware) * hardware.peak_bf16_tflops * 1e12 == pytest.approx(100 + 10 * highest)


def row(**changed):
    given = dict(kind="all-gather", axes=("fsdp",), scope="", group=4, count=1, bytes=4e9, link_bytes=3e9, network_bytes=0.0, dimensions=1)
    return Traffic(**given | changed)


def test_time_of_links_and_network():
    assert link_bandwidth(row(), V5E) == V5E.link_bandwidth / 2
    assert link_bandwidth(row(dimensions=2), V5E) == V5E.link_bandwidth
    assert link_bandwidth(row(kind="collective-permute"), V5E) == V5E.link_bandwidth / 4
    assert link_bandwidth(row(), H100) == H100.link_bandwidth
    line = roofline({}, devices=16, hbm_bytes=3.352e12, traffic=[row(network_bytes=5e9)], hardware=H100)
    assert line.network == pytest.approx(5e9 * 8 / 400e9)


def test_memory_traffic_of_a_gpu_is_no_limit():
    """Its caches keep what one kernel passes to the next; those of a TPU are in the program."""
    line = roofline({}, devices=16, hbm_bytes=3.352e12, traffic=[row(network_bytes=5e9)], hardware=H100)
    assert (line.hbm, line.hbm_at_most) == (None, pytest.approx(1))
    assert (line.binds, line.seconds) == ("network", line.network)
    line = roofline({}, devices=16, hbm_bytes=1e12, traffic=[row()], hardware=V5E)
    assert line.hbm == line.hbm_at_most == line.seconds and line.binds == "hbm"


def test_gpus_give_a_program_the_share_that_jax_reserves(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    assert usable_bytes(H100) == 0.75 * H100.hbm_bytes
    assert usable_bytes(V5E) == V5E.hbm_bytes


@pytest.mark.parametrize("name", ["v9:2x2", "v5e", "v5e:16x", "V5E:4x4", "v5e:4x4x", "v5e:0x4", "v5e:4x4*0", "h100:64", "h100:8x8*2"])
def test_a_wrong_topology_is_answered_in_a_sentence(name):
    with pytest.raises(UserError, match=f"--topology = {name.replace('*', '.')}.*accepted"):
        find_topology(name)


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("v5e:16x16x16", "accepted are v5e:1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16, and *N after it for N of them"),
        ("v6e:32x32", "accepted are v6e:1x1, 2x2, 2x4, 4x4,"),
        ("v5e:3x5", "is no slice that exists; accepted are v5e:1x1, 2x2,"),
        ("v5e:0x16", "is no slice that exists; accepted are v5e:1x1, 2x2,"),
        ("v5p:0x4x4", "accepted are three numbers of chips, the first two even, such as v5p:2x2x1 or v5p:8x8x16"),
        ("h200:0x8", "is no cluster; accepted is NAME:NODESxDEVICES, such as h200:64x8"),
        ("V5E:4x4", "h200, b200, such as v5e:16x16, v5p:8x8x16, v6e:16x16*2 (slices), h100:64x8 (nodes x devices) (did you mean v5e?)"),
        ("h10:4x8", "(did you mean h100?)"),
        ("h100:64x16", "accepted are nodes of at most 8 devices, such as h100:64x8"),
        ("a100-40:1x8", "accepted is NAME:SIZE with NAME among v4, v5e, v5p, v6e, 7x, a100, h100, h200, b200, such as"),
    ],
)
def test_hardware_that_nobody_makes_is_refused(name, accepted, monkeypatch):
    monkeypatch.setattr(topology, "_installed", lambda *_, **__: pytest.fail("the compiler was asked for"))
    with pytest.raises(UserError) as answer:
        find_topology(name)
    assert str(answer.value).startswith(f"--topology = {name} ") and accepted in str(answer.value)


@pytest.mark.parametrize(("name", "extra"), [("v5e:4x4", "plan"), ("h100:1x8", "plan_gpu")])
def test_a_missing_compiler_is_named_with_its_extra(name, extra, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=rf"diptych\[{extra}\]"):
        find_topology(name)
