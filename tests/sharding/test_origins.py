"""What belongs to which part of the program, where the compiler left names and where it did not."""

import pytest

from diptych.sharding.hlo import parse
from diptych.sharding.origins import Origins, scope

# As libtpu writes a step on several slices: `gather` and `sum` are of the loss, `layer` of a fusion, and no name is on any of them.
STEP = """HloModule jit_step

%inside (p: f32[2,8]) -> f32[8,8] {
  %p = f32[2,8]{1,0} parameter(0)
  ROOT %layer = f32[8,8]{1,0} all-gather(%p), channel_id=1, replica_groups=[2,4]<=[8], dimensions={0}
}

ENTRY %main (a: f32[2,8]) -> f32[2,8] {
  %a = f32[2,8]{1,0} parameter(0)
  %token = token[] after-all()
  %weights = f32[8,8]{1,0} fusion(%a), kind=kCustom, calls=%inside, metadata={op_name="jit(step)/jvp()/shard_map/image_tower/dot_general"}
  %z = f32[2,8]{1,0} fusion(%weights), kind=kLoop, calls=%cut, metadata={op_name="jit(step)/jvp()/shard_map/text_tower/div"}
  %flat = f32[2,8]{1,0} bitcast(%z)
  %gather = f32[8,8]{1,0} all-gather(%flat), channel_id=2, replica_groups=[2,4]<=[8], dimensions={0}
  %same = f32[8,8]{1,0} bitcast(%gather)
  %far = (f32[2,8]{1,0}, u32[], token[]) send(%flat, %token), channel_id=3, is_host_transfer=true, \
frontend_attributes={_xla_host_transfer_rendezvous="all-gather_0",_xla_megascale_transfer_type="ALL_GATHER"}
  %back = (f32[8,8]{1,0}, u32[], token[]) recv(%token), channel_id=3, is_host_transfer=true, \
frontend_attributes={_xla_host_transfer_rendezvous="all-gather_0",_xla_megascale_transfer_type="ALL_GATHER"}
  %there = (f32[8,8]{1,0}, token[]) recv-done(%back), channel_id=3
  %keys = f32[8,8]{1,0} get-tuple-element(%there), index=0
  %logits = f32[8,8]{1,0} fusion(%same, %keys), kind=kOutput, calls=%dot, \
metadata={op_name="jit(step)/jvp()/shard_map/objective_softmax/dot"}
  %whole = f32[8,8]{1,0} copy(%logits)
  %sum = f32[2,8]{1,0} reduce-scatter(%whole), channel_id=4, replica_groups=[2,4]<=[8], dimensions={0}, to_apply=%add
  %total = f32[2,8]{1,0} all-reduce(%sum), channel_id=5, replica_groups=[4,2]<=[2,4]T(1,0), to_apply=%add, \
metadata={op_name="jit(step)/transpose(jvp())/shard_map/psum_invariant"}
  %both = (f32[2,8]{1,0}, f32[2,8]{1,0}) tuple(%a, %total)
  %first = f32[2,8]{1,0} get-tuple-element(%both), index=0
  %odd = f32[2,8]{1,0} all-reduce(%first), channel_id=6, replica_groups=[2,4]<=[8], to_apply=%add
  ROOT %next = f32[2,8]{1,0} fusion(%sum), kind=kLoop, calls=%cut, metadata={op_name="jit(step)/transpose(jvp())/shard_map/text_tower/mul"}
}
"""


@pytest.mark.parametrize(
    ("computation", "name", "kind", "part"),
    [
        ("inside", "layer", "all-gather", "image_tower"),  # its fusion's
        ("main", "gather", "all-gather", "objective_softmax"),  # what takes it, though a tower made it
        ("main", "far", "all-gather", "objective_softmax"),  # what takes that which comes back
        ("main", "sum", "reduce-scatter", "objective_softmax"),  # what it adds up, though a tower takes it
        ("main", "total", "all-reduce", ""),  # has a name of its own, which is of no part
        ("main", "odd", "all-reduce", ""),  # nothing is known of what comes out of a tuple
    ],
)
def test_a_collective_without_a_name_belongs_to_what_it_adds_up_or_what_takes_it(computation, name, kind, part):
    module = parse(STEP)
    [instruction] = [each for each in module.computations[computation] if each.name == name]
    assert scope(Origins(module).of(computation, instruction, kind=kind)) == part


def test_the_scope_is_the_outermost_name():
    assert scope("jit(step)/jvp()/shard_map/image_tower/while/body/closed_call/all_gather") == "image_tower"
    assert scope("jit(step)/jvp()/shard_map/while/body/all_gather") == ""
