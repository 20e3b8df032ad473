"""What a plan says of a recipe, as named numbers with their units."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from ..pretrain.objectives.forms import PairForm
from ..pretrain.spec import Recipe
from ..pretrain.step import WHOLE, batch_shapes
from ..pretrain.step_shape import StepShape
from ..sharding.measurements import MEASUREMENTS, Measurement, measured_mfu
from ..sharding.mesh import mesh_over
from ..sharding.plan import Plan
from ..sharding.roofline import compute_seconds

GIB, DAY, HOUR = 2**30, 86_400, 3600
PARTS = ("model.image", "model.text", "model.decoder", "objective")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipePlan:
    """A recipe and the plan of its step.

    params: of the whole model. model_flops: a step's, of all devices. steps: that its training takes; absent: as the recipe says.
    forms: of the terms that visit pairs, of whole embeddings. shape: of the planned step's batch, where schedules change it.
    mean_step: FLOPs of the mean over the run's steps, against this one's.
    """

    recipe: Recipe
    plan: Plan
    params: int
    model_flops: int
    steps: float | None = None
    forms: Mapping[str, PairForm] = dataclasses.field(default_factory=dict)
    shape: StepShape = WHOLE
    mean_step: float = 1.0

    @property
    def device_mesh(self) -> jax.sharding.Mesh:
        """Over the topology's devices."""
        return mesh_over(self.recipe.mesh, self.plan.topology.devices)

    @property
    def seconds(self) -> float | None:
        """The shortest step that the roofline allows; None where the step does not compile."""
        return None if self.plan.roofline is None else self.plan.roofline.seconds

    @property
    def mfu_ceiling(self) -> float | None:
        """Model FLOPs of that step over the devices' peak."""
        return None if self.seconds is None else self.model_flops / (self.seconds * self.peak_flops)

    @property
    def peak_flops(self) -> float:
        """FLOP/s of all devices."""
        return len(self.plan.topology.devices) * self.plan.topology.hardware.peak_bf16_tflops * 1e12

    def batch_shapes(self) -> dict[str, list[int]]:
        """The global arrays of the planned step's batch."""
        given = batch_shapes(self.recipe, self.device_mesh, shape=self.shape)
        return {name: list(array.shape) for name, array in given.items()}

    def argument_gib(self) -> dict[str, float]:
        """`params image`, `opt text`, `batch` ... -> GiB of a device."""
        groups = Counter[str]()
        for name, size in self.plan.arguments.items():
            groups[group_of(name)] += size
        return {name: size / GIB for name, size in groups.items() if size >= 2**10}

    def speed(self, seconds: float) -> dict[str, float]:
        """What a step of `seconds` makes of the recipe."""
        total = (self.steps or self.recipe.train.steps) * self.mean_step * seconds
        return {
            "samples_per_second": self.recipe.train.batch_size / seconds,
            "days": total / DAY,
            "chip_hours": total * len(self.plan.topology.devices) / HOUR,
        }


def group_of(name: str) -> str:
    """The group of an argument of the step: `0` is the state, `1` the batch."""
    argument, _, rest = name.partition(".")
    if argument == "1":
        return "batch"
    part = next((part for part in PARTS if f"{part}." in rest), "")
    return " ".join(filter(None, (rest.partition(".")[0], part.removeprefix("model."))))


def values_of(found: RecipePlan) -> dict[str, Any]:
    """The plan as one flat mapping, for `--json` and for the table."""
    plan, recipe = found.plan, found.recipe
    values: dict[str, Any] = {
        "recipe": recipe.name,
        "topology": plan.topology.name,
        "compiler": plan.topology.compiler,
        "devices": len(plan.topology.devices),
        "mesh": dict(plan.mesh),
        "batch_size": recipe.train.batch_size,
        "batch_shapes": found.batch_shapes(),
        "remat": recipe.train.remat,
        "params_m": found.params / 1e6,
        "fits": plan.fits,
        "peak_hbm_gib": plan.weight.needed / GIB,
        "usable_hbm_gib": plan.usable / GIB,
        "arguments_gib": found.argument_gib(),
    }
    if memory := plan.weight.memory:
        values |= {"temporaries_gib": memory.temporaries / GIB, "outputs_gib": memory.outputs / GIB, "program_gib": memory.code / GIB}
    return values | flops_of(found) | time_of(found) | loss_of(found) | {"compile_seconds": plan.weight.compile_seconds}


def flops_of(found: RecipePlan) -> dict[str, float]:
    """A step's, of all devices."""
    done = sum(found.plan.products.values())
    return {"model_tflops_per_step": found.model_flops / 1e12, "recomputed_tflops_per_step": (done - found.model_flops) / 1e12}


def time_of(found: RecipePlan, *, table: Sequence[Measurement] = MEASUREMENTS) -> dict[str, Any]:
    """The roofline and what follows, and what follows from the MFU in `table`; nothing where the step does not compile."""
    line, seconds = found.plan.roofline, found.seconds
    if line is None or seconds is None:
        return {}
    hardware = found.plan.topology.hardware
    values: dict[str, Any] = {f"{name}_ms": 1e3 * value for name, value in line.limits.items()}
    values |= {} if "hbm" in line.limits else {"hbm_at_most_ms": 1e3 * line.hbm_at_most}
    values |= {"binds": line.binds, "mfu_ceiling": found.mfu_ceiling, **found.speed(seconds)}
    if measured := measured_mfu(hardware.name, found.recipe.name, table=table):
        real = found.model_flops / (measured.mfu * found.peak_flops)
        values |= {"measured_mfu": measured.mfu, "measured_mfu_recipe": measured.recipe, "measured_mfu_date": measured.date}
        values |= {f"{name}_at_measured_mfu": value for name, value in found.speed(real).items()}
    return values


def loss_of(found: RecipePlan) -> dict[str, Any]:
    """What the objective costs: its form (`loss_form/TERM` where several have one), its time on the matrix units and what it sends.

    Some collectives that libtpu makes have no name: what these send may be the objective's too, and is said beside it.
    """
    plan = found.plan
    products = {kind: flops for kind, flops in plan.products.items() if kind.scope.startswith("objective")}
    sent = {row: (row.link_bytes + row.network_bytes) / 2**20 for row in plan.weight.traffic}
    return {
        **{"loss_form" if len(found.forms) == 1 else f"loss_form/{name}": str(form) for name, form in found.forms.items()},
        "loss_compute_ms": 1e3 * compute_seconds(products, plan.topology.hardware) / len(plan.topology.devices),
        "loss_sent_mib": sum(mib for row, mib in sent.items() if row.scope.startswith("objective")),
        "nameless_sent_mib": sum(mib for row, mib in sent.items() if not row.scope),
    }


def collectives_of(plan: Plan) -> list[dict[str, Any]]:
    """The traffic of a step, for `--json`."""
    return [dataclasses.asdict(row) for row in plan.weight.traffic]


def layouts_of(shapes: Mapping[str, Any], layouts: Mapping[str, Any], bytes_of: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Rows (parameter, shape, layout, MiB of a device), the largest first."""
    rows = [(name, array.shape, layouts[name], bytes_of[f"0.params.{name}"] / 2**20) for name, array in shapes.items()]
    return sorted(rows, key=lambda row: -row[3])
