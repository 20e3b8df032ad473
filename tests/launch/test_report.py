import json
import sys

import numpy as np

from diptych.launch.report import json_line
from diptych.pretrain.table import cell, print_table


def test_json_is_plain_and_valid():
    line = json_line({"a": np.float32(0.5), "b": float("nan"), "c": (1, None, True), "d": {"e": "x"}, "f": float("inf")})
    assert "\n" not in line
    assert json.loads(line) == {"a": 0.5, "b": None, "c": [1, None, True], "d": {"e": "x"}, "f": None}


def test_cells():
    assert [cell(value) for value in (0.123456, 12, None, "x", True, (1, 2))] == ["0.1235", "12", "-", "x", "true", "(1, 2)"]


def test_a_table_in_a_file_is_plain_and_aligned(capsys):
    print_table(("name", "value"), [("loss", 1.0), ("a much longer name", 0.123456)], title="results")
    assert capsys.readouterr().out == "results\nname                value\nloss                1\na much longer name  0.1235\n"


def test_a_table_on_a_terminal_has_every_cell(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("name", "value"), [("loss", 1.0)])
    printed = capsys.readouterr().out
    assert "loss" in printed and "name" in printed and len(printed.splitlines()) > 2
