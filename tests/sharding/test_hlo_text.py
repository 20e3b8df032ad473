from pathlib import Path

import jax
import pytest

from diptych.sharding.hlo_text import compiled_text


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


def test_what_cannot_be_read_back_is_written_by_the_compiler():
    lowered = Lowered(before_optimizations="before", after_codegen="HloModule step")
    assert compiled_text(lowered, Compiled(), options={"an_option": 1}) == "HloModule step"
    assert [options["an_option"] for options in lowered.options] == [1]


def test_a_compiler_that_writes_nothing_fails_as_it_did():
    with pytest.raises(jax.errors.JaxRuntimeError, match="async-update"):
        compiled_text(Lowered(), Compiled(), options={})


def test_what_can_be_read_is_not_compiled_again():
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    assert "ENTRY" in compiled_text(Lowered(), lowered.compile(), options={})
