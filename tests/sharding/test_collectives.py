import numpy as np
import pytest

from diptych.sharding.collectives import axes_between, collectives, wire_bytes
from diptych.sharding.hbm import hbm_bytes
from diptych.sharding.hlo import arrays_of, parse
from diptych.sharding.placement import Placement
from diptych.sharding.traffic import traffic

MESH = {"replica": 2, "fsdp": 4, "tensor": 1}
ONE_PLACE = Placement(mesh=MESH, granules=np.zeros(8, int), coordinates=np.zeros((8, 0), int))  # a single host

# A scan of three layers, whose weights are gathered inside; one sum of what varies over replicas; a ring of neighbours.
STEP = """HloModule jit_step, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%body (p: (s32[], f32[8,16])) -> (s32[], f32[8,16]) {
  %p = (s32[], f32[8,16]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %w = f32[8,16]{1,0} get-tuple-element(%p), index=1
  %gathered = f32[32,16]{1,0:T(8,128)S(1)} all-gather(%w), channel_id=1, replica_groups={{0,1,2,3},{4,5,6,7}}, dimensions={0}, \
use_global_device_ids=true, metadata={op_name="jit(step)/jvp()/shard_map/image_tower/while/body/closed_call/all_gather" stack_frame_id=1}
  ROOT %next = (s32[], f32[8,16]{1,0}) tuple(%i, %w)
}

%condition (p: (s32[], f32[8,16])) -> pred[] {
  %p = (s32[], f32[8,16]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %n = s32[] constant(3)
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (a: f32[8,16]) -> f32[8,16] {
  %a = f32[8,16]{1,0} parameter(0)
  %zero = s32[] constant(0)
  %start = (s32[], f32[8,16]{1,0}) tuple(%zero, %a)
  %loop = (s32[], f32[8,16]{1,0}) while(%start), condition=%condition, body=%body
  %w = f32[8,16]{1,0} get-tuple-element(%loop), index=1
  %summed = f32[8,16]{1,0} all-reduce(%w), channel_id=2, replica_groups=[4,2]<=[2,4]T(1,0), use_global_device_ids=true, to_apply=%add
  %alone = f32[] all-reduce(%zero), channel_id=4, replica_groups={{0},{1},{2},{3},{4},{5},{6},{7}}, to_apply=%add
  ROOT %z = f32[8,16]{1,0} collective-permute(%summed), channel_id=3, source_target_pairs={{0,1},{1,2},{2,3},{3,0},{4,5},{5,6},{6,7},{7,4}}
}
"""


def by_kind(text):
    return {found.kind: found for found in collectives(parse(text), ONE_PLACE)}


def in_granules(of, mesh=MESH):
    """Devices of a mesh behind switches: the slice or node of each."""
    return Placement(mesh=mesh, granules=np.asarray(of), coordinates=np.zeros((len(of), 0), int))


def test_a_collective_in_a_loop_counts_as_often_as_the_loop_runs():
    found = by_kind(STEP)["all-gather"]
    assert (found.bytes, found.axes, found.group, found.times) == (32 * 16 * 4, ("fsdp",), 4, 3)
    assert found.wire_bytes == 3 * 32 * 16 * 4 * 3 / 4


def test_trips_that_the_compiler_notes_come_before_the_condition():
    noted = STEP.replace("body=%body\n", 'body=%body, backend_config={"known_trip_count":{"n":"7"},"init":"0"}\n')
    assert by_kind(noted)["all-gather"].times == 7


def test_groups_as_a_list_and_as_a_grid_find_their_axes():
    found = by_kind(STEP)
    assert found["all-reduce"].axes == ("replica",)
    assert found["all-reduce"].members == (0, 4)
    assert found["all-reduce"].wire_bytes == 2 * 8 * 16 * 4 / 2


def test_a_sum_of_one_device_is_none():
    assert [found.kind for found in collectives(parse(STEP), ONE_PLACE)].count("all-reduce") == 1


def test_a_ring_lies_along_the_axis_of_its_neighbours():
    found = by_kind(STEP)["collective-permute"]
    assert (found.axes, found.wire_bytes) == (("fsdp",), 8 * 16 * 4)
    assert axes_between([[0, 1], [3, 4]], MESH) == ("replica", "fsdp")


CHAINED = """HloModule jit_step

%start (p: bf16[1,8]) -> bf16[4,8] {
  %p = bf16[1,8]{1,0} parameter(0)
  ROOT %g.1 = bf16[4,8]{1,0} all-gather(%p), channel_id=9, replica_groups=[2,4]<=[8], dimensions={0}, frontend_attributes={chain_id="0"}
}

%beside (p: bf16[1,8]) -> bf16[4,8] {
  %p = bf16[1,8]{1,0} parameter(0)
  ROOT %g.2 = bf16[4,8]{1,0} all-gather(%p), channel_id=9, replica_groups=[2,4]<=[8], dimensions={0}, frontend_attributes={chain_id="0"}
}

%all-reduce-scatter.1 (p: f32[64,8]) -> f32[16,8] {
  %p = f32[64,8]{1,0} parameter(0)
  %r = f32[64,8]{1,0} all-reduce(%p), channel_id=10, replica_groups=[2,4]<=[8], to_apply=%add
  ROOT %s = f32[16,8]{1,0} slice(%r), slice={[0:16], [0:8]}
}

ENTRY %main (a: bf16[1,8], b: f32[64,8]) -> f32[16,8] {
  %a = bf16[1,8]{1,0} parameter(0)
  %b = f32[64,8]{1,0} parameter(1)
  %one = bf16[4,8]{1,0} fusion(%a), kind=kCustom, calls=%start
  %two = bf16[4,8]{1,0} fusion(%a), kind=kCustom, calls=%beside
  ROOT %c = f32[16,8]{1,0} fusion(%b), kind=kCustom, calls=%all-reduce-scatter.1
}
"""


def test_a_collective_spread_over_fusions_counts_once():
    found = collectives(parse(CHAINED), ONE_PLACE)
    assert sorted(each.kind for each in found) == ["all-gather", "reduce-scatter"]


def test_a_sum_that_is_sliced_in_its_fusion_is_a_reduce_scatter():
    assert by_kind(CHAINED)["reduce-scatter"].wire_bytes == 64 * 8 * 4 * 3 / 4


STARTED = """HloModule jit_step

ENTRY %main (a: f32[2,8], b: f32[8,8]) -> f32[8,8] {
  %a = f32[2,8]{1,0} parameter(0)
  %b = f32[8,8]{1,0} parameter(1)
  %start = (f32[2,8]{1,0}, f32[8,8]{1,0}) all-gather-start(%a), channel_id=1, replica_groups=[2,4]<=[8], dimensions={0}
  %moved = (f32[2,8]{1,0}, f32[2,8]{1,0}, u32[], u32[]) collective-permute-start(%a), channel_id=2, source_target_pairs={{0,4},{4,0}}
  %there = f32[2,8]{1,0} collective-permute-done(%moved)
  %summed = ((f32[8,8]{1,0}), f32[2,8]{1,0}) reduce-scatter-start(%b), channel_id=3, replica_groups=[2,4]<=[8], dimensions={0}
  %home = f32[2,8]{1,0} reduce-scatter-done(%summed)
  %turned = ((f32[8,8]{1,0}), f32[8,8]{1,0}) all-to-all-start(%b), channel_id=4, replica_groups=[2,4]<=[8], dimensions={0}
  %back = f32[8,8]{1,0} all-to-all-done(%turned)
  ROOT %done = f32[8,8]{1,0} all-gather-done(%start)
}
"""


def test_what_is_started_and_done_counts_once_and_whole():
    found = by_kind(STARTED)
    assert (found["all-gather"].bytes, found["collective-permute"].bytes) == (8 * 8 * 4, 2 * 8 * 4)
    assert (found["reduce-scatter"].bytes, found["all-to-all"].bytes) == (8 * 8 * 4, 8 * 8 * 4)
    assert found["collective-permute"].axes == ("replica",)


BETWEEN_SLICES = """HloModule jit_step

ENTRY %main (a: f32[2,8]) -> f32[2,8] {
  %a = f32[2,8]{1,0} parameter(0)
  %token = token[] after-all()
  %send = (f32[2,8]{1,0}, u32[], token[]) send(%a, %token), channel_id=1, is_host_transfer=true, frontend_attributes={\
_xla_host_transfer_handler_name="xla_megascale_runtime",_xla_megascale_reduce_operation="SUM",_xla_megascale_target="{1,2}x{0:3}",\
_xla_megascale_transfer_type="ALL_REDUCE"}, metadata={op_name="jit(step)/shard_map/psum"}
  %sent = token[] send-done(%send), channel_id=1, is_host_transfer=true
  %recv = (f32[2,8]{1,0}, u32[], token[]) recv(%token), channel_id=1, is_host_transfer=true, frontend_attributes={\
_xla_megascale_target="{1,2}x{0:3}",_xla_megascale_transfer_type="ALL_REDUCE"}
  %kept = (f32[2,8]{1,0}, u32[], token[]) send(%a, %token), channel_id=2, is_host_transfer=true
  %received = (f32[2,8]{1,0}, token[]) recv-done(%recv), channel_id=1, is_host_transfer=true
  ROOT %sum = f32[2,8]{1,0} get-tuple-element(%received), index=0
}
"""


def sent_to_slices(target, transfer, placement):
    text = BETWEEN_SLICES.replace("ALL_REDUCE", transfer).replace('"{1,2}x{0:3}"', target)
    [row] = traffic(collectives(parse(text), placement), placement)
    assert row.link_bytes == 0
    return row


@pytest.mark.parametrize(
    ("transfer", "target", "kind", "size", "sent"),
    [
        ("ALL_REDUCE", '"{1,2}x{0:3}"', "all-reduce", 64, 64),
        ("ALL_GATHER", '"{1,2}x{0:3}"', "all-gather", 128, 64),
        ("REDUCE_SCATTER", '"{1,2}x{0:3}"', "reduce-scatter", 64, 32),
        ("ONE_TO_ONE", "{{100003->200000},{200003->100000}}", "collective-permute", 16, 16),  # one of four devices sends
    ],
)
def test_what_hosts_pass_to_other_slices_goes_over_the_network(transfer, target, kind, size, sent):
    row = sent_to_slices(target, transfer, in_granules(np.repeat([0, 1], 4)))
    assert (row.kind, row.axes, row.bytes, row.count, row.group, row.network_bytes) == (kind, ("replica",), size, 1, 2, sent)


@pytest.mark.parametrize(
    ("target", "axes", "group", "sent"),
    [
        ('"{1,2,3,4}x{0:1}"', ("replica", "fsdp"), 4, 2 * 64 * 3 / 4),
        ("{{100000,200000},{100001,200001},{300000,400000},{300001,400001}}", ("fsdp",), 2, 64),
        ("{{100000,300000},{100001,300001},{200000,400000},{200001,400001}}", ("replica",), 2, 64),
    ],
)
def test_sends_among_some_of_the_slices_are_over_the_axes_that_these_differ_in(target, axes, group, sent):
    """Four slices of two chips: two replicas, each over two of them."""
    row = sent_to_slices(target, "ALL_REDUCE", in_granules(np.repeat([0, 1, 2, 3], 2)))
    assert (row.axes, row.group, row.bytes, row.network_bytes) == (axes, group, 64, sent)


def test_slices_need_not_lie_one_after_the_other_in_the_mesh():
    """Six replicas over four slices are two on each of two: slices 1 and 2 share replicas, 1 and 3 do not."""
    slices = in_granules([0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3], {"replica": 6, "fsdp": 2, "tensor": 1})
    assert sent_to_slices("{{100000,200000}}", "ALL_REDUCE", slices).axes == ("fsdp",)
    assert sent_to_slices("{{100000,300000}}", "ALL_REDUCE", slices).axes == ("replica",)


@pytest.mark.parametrize(
    ("kind", "sent"),
    [("all-reduce", 150.0), ("all-gather", 75.0), ("reduce-scatter", 75.0), ("all-to-all", 75.0), ("collective-permute", 100)],
)
def test_bytes_on_the_wire(kind, sent):
    assert wire_bytes(kind, 100, 4) == sent


def test_what_leaves_a_node_is_shared_by_its_devices():
    nodes = in_granules(np.repeat([0, 1], 4))  # fsdp inside of a node, replica between two
    rows = {row.kind: row for row in traffic(collectives(parse(STEP), nodes), nodes)}
    assert rows["all-gather"].network_bytes == 0
    assert (rows["all-reduce"].network_bytes, rows["all-reduce"].link_bytes) == (512, 0)
    everywhere = STEP.replace("replica_groups=[4,2]<=[2,4]T(1,0)", "replica_groups=[1,8]<=[8]")
    row = {row.kind: row for row in traffic(collectives(parse(everywhere), nodes), nodes)}["all-reduce"]
    assert row.network_bytes == 2 * 512 / 2 / 4
    assert row.network_bytes + row.link_bytes == 2 * 512 * 7 / 8
    turned = everywhere.replace("all-reduce(", "all-to-all(")
    row = {row.kind: row for row in traffic(collectives(parse(turned), nodes), nodes)}["all-to-all"]
    assert (row.network_bytes, row.link_bytes) == (512 / 2, 512 * 7 / 8 - 512 / 2)


def test_shapes_know_their_bytes_and_vector_memory():
    found = arrays_of("(f32[2,3]{1,0:T(8,128)S(1)}, bf16[4]{0}, /*index=2*/pred[], s4[8])")
    assert [(array.bytes, array.on_chip) for array in found] == [(24, True), (8, False), (1, False), (4, False)]


def test_memory_traffic_counts_loops_and_leaves_out_vector_memory():
    # Three times 512 bytes in (the gathered array stays in vector memory); 512 in and out of each of the two at the end, and 4 and 4.
    assert hbm_bytes(parse(STEP)) == 3 * 512 + 4 * 512 + 8


SLICED = """HloModule jit_step
%sliced
ENTRY %main (a: f32[64,8]) -> f32[16,8] {
  %a = f32[64,8]{1,0} parameter(0)
  %start = ((f32[64,8]{1,0}), f32[16,8]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%a), slice={[0:16], [0:8]}
  ROOT %done = f32[16,8]{1,0:T(8,128)S(1)} slice-done(%start)
}
"""
SLICE = """
%sliced (p: f32[64,8]) -> f32[16,8] {
  %p = f32[64,8]{1,0} parameter(0)
  ROOT %s = f32[16,8]{1,0:T(8,128)S(1)} slice(%p), slice={[0:16], [0:8]}
}
"""


def test_a_slice_that_is_fetched_ahead_counts_as_the_slice_in_either_spelling():
    by_jax = SLICED.replace("%sliced", "")
    by_libtpu = SLICED.replace("%sliced", SLICE).replace("slice-start(%a), slice={[0:16], [0:8]}", "async-start(%a), calls=%sliced")
    by_libtpu = by_libtpu.replace("slice-done", "async-done")
    assert hbm_bytes(parse(by_jax)) == hbm_bytes(parse(by_libtpu)) == 16 * 8 * 4


def test_a_text_without_a_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        parse("")
