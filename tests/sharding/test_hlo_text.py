from pathlib import Path

import jax
import pytest

from diptych.sharding.hlo_text import compile_step


class Compiled:
    def as_text(self):
        raise jax.errors.JaxRuntimeError("INTERNAL: async-update instruction should have 1 operands but sees 3")


class Lowered:
    """Writes the dumps that libtpu does, where it is asked to."""

    def __init__(self, **files):
        self.files, self.options = files, []

    def compile(self, compiler_options):
        self.options.append(compiler_options)
        for name, text in self.files.items():
            (Path(compiler_options["xla_dump_to"]) / f"module_0000.{name}.txt").write_text(text)
        return Compiled()


def test_libtpu_writes_what_it_makes_as_it_compiles_it_once():
    lowered = Lowered(before_optimizations="before", after_codegen="HloModule step")
    assert compile_step(lowered, platform="tpu", options={"an_option": 1}).text == "HloModule step"
    assert [options["an_option"] for options in lowered.options] == [1]


def test_without_what_it_wrote_the_program_is_read_back():
    with pytest.raises(jax.errors.JaxRuntimeError, match="async-update"):
        compile_step(Lowered(), platform="tpu", options={})


def test_other_compilers_programs_are_read_back():
    program = compile_step(jax.jit(lambda x: x + 1).lower(1.0), platform="cpu", options={})
    assert "ENTRY" in program.text and program.compiled(1.0) == 2.0
