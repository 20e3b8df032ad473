"""Devices that are not there: TPU slices through libtpu, GPU clusters through the CUDA plugin's target configurations.

`v5e:16x16` is a slice of 16 x 16 chips, `v6e:16x16*2` two of them joined by a data-centre network, `h100:64x8` 64 nodes of 8 GPUs. Only the
compilers are loaded: jax's own devices stay what they are. Needs the extra `plan` (TPU) or `plan_gpu`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import math
import os
import re
from collections.abc import Iterator, Mapping

import jax
from jax.experimental import topologies

from ..errors import UserError
from .gpu_targets import TARGETS, target_config
from .hardware import HARDWARE, Hardware

NAME = re.compile(r"([a-z0-9\-]+):([1-9]\d*(?:x[1-9]\d*)*)(?:\*([1-9]\d*))?")
EXAMPLES = "v5e:16x16, v5p:8x8x16, v6e:16x16*2 (slices), h100:64x8 (nodes x devices)"
LIBTPU_NAMES = {"7x": "tpu7x"}
# Chips of the largest slice whose torus has two dimensions (v5e, v6e); libtpu would describe larger ones, which nobody has built.
LARGEST_FLAT = 256
# libtpu's default is one device a core; jax on a v4 machine has one a chip.
CHIP_SETTINGS = {"v4": {"chip_config_name": "megacore", "chips_per_host_bounds": (2, 2, 1)}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Topology:
    """name: as it was asked for. granules: slices or nodes, joined by a network; the devices of each come one after the other."""

    name: str
    hardware: Hardware
    devices: tuple[jax.Device, ...]
    granules: int
    compiler: str

    @property
    def options(self) -> Mapping[str, int | bool]:
        """Compiler options that hardware which is not there asks for: kernels cannot be timed on it."""
        return {"xla_gpu_autotune_level": 0, "xla_gpu_enable_triton_gemm": False} if self.hardware.platform == "cuda" else {}


def find_topology(name: str) -> Topology:
    """The devices of a topology; UserError where the name is wrong or the compiler for it is not installed."""
    match = NAME.fullmatch(name)
    known = {hardware.name: hardware for hardware in HARDWARE.values() if hardware.platform == "tpu" or hardware.name in TARGETS}
    if match is None or match[1] not in known:
        raise UserError(f"--topology = {name} is not known; accepted is NAME:SIZE with NAME among {', '.join(known)}, such as {EXAMPLES}")
    hardware, sizes, slices = known[match[1]], match[2], int(match[3] or 1)
    return _tpu(name, hardware, sizes, slices) if hardware.platform == "tpu" else _gpu(name, hardware, sizes, slices)


def _tpu(name: str, hardware: Hardware, sizes: str, slices: int) -> Topology:
    chips = [int(size) for size in sizes.split("x")]
    if hardware.torus == 2 and (math.prod(chips[2:]) > 1 or math.prod(chips) > LARGEST_FLAT):
        raise UserError(
            f"--topology = {name} is no slice that exists; accepted are slices of two dimensions and at most {LARGEST_FLAT} chips, "
            f"such as {hardware.name}:16x16"
        )
    _installed("libtpu", extra="plan", topology=name)
    # libtpu would ask a metadata server what machine this is, and refuse to be loaded twice: it is only a compiler here.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    several = {"num_slices": slices} if slices > 1 else {}
    try:
        with _quiet():
            found = topologies.get_topology_desc(
                f"{LIBTPU_NAMES.get(hardware.name, hardware.name)}:{sizes}",
                platform="tpu",
                **CHIP_SETTINGS.get(hardware.name, {}),
                **several,
            )
            devices = tuple(found.devices)
    except (jax.errors.JaxRuntimeError, IndexError) as error:
        raise UserError(
            f"--topology = {name} is no slice that libtpu knows ({str(error).splitlines()[0]}); accepted are {EXAMPLES}"
        ) from None
    return Topology(name=name, hardware=hardware, devices=devices, granules=slices, compiler=f"libtpu {_version('libtpu')}")


def _gpu(name: str, hardware: Hardware, sizes: str, slices: int) -> Topology:
    if slices != 1 or len(sizes.split("x")) != 2:
        raise UserError(f"--topology = {name} is no cluster; accepted is NAME:NODESxDEVICES, such as h100:64x8")
    nodes, devices_per_node = map(int, sizes.split("x"))
    if devices_per_node > (most := hardware.devices_per_host):
        raise UserError(
            f"--topology = {name} has nodes that nobody makes; accepted are nodes of at most {most} devices, "
            f"such as {hardware.name}:64x{most}"
        )
    plugin = _installed("jax_cuda12_plugin", "jax_cuda13_plugin", extra="plan_gpu", topology=name)
    with _quiet():
        found = topologies.get_topology_desc(
            platform="cuda", topology_name="", target_config=target_config(hardware.name), topology=f"1x{sizes}"
        )
        devices = tuple(found.devices)
    return Topology(name=name, hardware=hardware, devices=devices, granules=nodes, compiler=f"{plugin} {_version(plugin)}")


def _installed(*modules: str, extra: str, topology: str) -> str:
    """The first of the modules that is there, as its package is called; UserError where none is."""
    for module in modules:
        if importlib.util.find_spec(module) is not None:
            return module.replace("_", "-")
    raise UserError(f"--topology = {topology} needs a compiler that is not installed; accepted is after: pip install 'diptych[{extra}]'")


def _version(package: str) -> str:
    return importlib.metadata.version(package)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The compilers write a page to stderr about the machine that is not there."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
