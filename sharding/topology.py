"""Devices that are not there: TPU slices through libtpu, GPU clusters through the CUDA plugin's target configurations.

`v5e:16x16` is a slice of 16 x 16 chips, `v6e:16x16*2` two of them joined by a data-centre network, `h100:64x8` 64 nodes of 8 GPUs. Only the
compilers are loaded: jax's own devices stay what they are. Needs the extra `plan` (TPU) or `plan_gpu`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping

import jax
from jax.experimental import topologies

from ..errors import UserError
from ..nearest import meant
from .gpu_targets import TARGETS, target_config
from .hardware import HARDWARE, Hardware

SIZE = re.compile(r"([1-9]\d*(?:x[1-9]\d*)*)(?:\*([1-9]\d*))?")
EXAMPLES = "v5e:16x16, v5p:8x8x16, v6e:16x16*2 (slices), h100:64x8 (nodes x devices)"
LIBTPU_NAMES = {"7x": "tpu7x"}
# Slices whose torus has two dimensions (v5e, v6e), by Cloud TPU's documentation; libtpu would describe others, which nobody can rent.
FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
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
    kind, _, size = name.partition(":")
    known = {hardware.name: hardware for hardware in HARDWARE.values() if hardware.platform == "tpu" or hardware.name in TARGETS}
    if kind not in known:
        raise UserError(
            f"--topology = {name} is not known; accepted is NAME:SIZE with NAME among {', '.join(known)}, such as {EXAMPLES}"
            f"{meant(kind, known)}"
        )
    hardware, match = known[kind], SIZE.fullmatch(size)
    if match is None:
        raise _no_size(name, hardware)
    build = _tpu if hardware.platform == "tpu" else _gpu
    return build(name, hardware, match[1], int(match[2] or 1))


def _no_size(name: str, hardware: Hardware) -> UserError:
    """The answer to a slice or a cluster that there is not."""
    if hardware.platform != "tpu":
        return UserError(f"--topology = {name} is no cluster; accepted is NAME:NODESxDEVICES, such as {hardware.name}:64x8")
    if hardware.torus == 2:
        sizes = f"{hardware.name}:{FLAT[0]}, {', '.join(FLAT[1:])}"
    else:
        sizes = f"three numbers of chips, the first two even, such as {hardware.name}:2x2x1 or {hardware.name}:8x8x16"
    return UserError(f"--topology = {name} is no slice that exists; accepted are {sizes}, and *N after it for N of them")


def _tpu(name: str, hardware: Hardware, sizes: str, slices: int) -> Topology:
    if hardware.torus == 2 and sizes not in FLAT:
        raise _no_size(name, hardware)
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
        if "topology layout" in str(error).lower():
            raise _no_size(name, hardware) from None
        raise UserError(
            f"--topology = {name} is no slice that libtpu knows ({str(error).splitlines()[0]}); accepted are {EXAMPLES}"
        ) from None
    return Topology(name=name, hardware=hardware, devices=devices, granules=slices, compiler=f"libtpu {_version('libtpu')}")


def _gpu(name: str, hardware: Hardware, sizes: str, slices: int) -> Topology:
    if slices != 1 or len(sizes.split("x")) != 2:
        raise _no_size(name, hardware)
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
