"""What an export refuses, and what it does not blame on `--out`."""

import pytest

from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.export import export


class Replaced:
    def __init__(self, workdir, spec):
        self._real = load_tokenizer(spec)
        self.fingerprint = "f" * 64

    def __getattr__(self, name):
        return getattr(self._real, name)


def test_another_tokenizer_under_the_same_path_is_refused(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_tokenizer", Replaced)
    with pytest.raises(UserError, match=r"data\.tokenizer\.path .* fingerprint ffffffffffff now; accepted is the one"):
        export.export_run(trained, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_read_is_not_the_fault_of_out(trained, tmp_path, monkeypatch):
    def fails(workdir, *, step):
        raise OSError(5, "Input/output error", str(workdir))

    monkeypatch.setattr(export, "latest_metrics", fails)
    with pytest.raises(OSError, match="Input/output error"):
        export.export_run(trained, tmp_path / "out")
