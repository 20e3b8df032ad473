import dataclasses
import itertools
import json
import math
import shutil

import jax
import pytest

from diptych.data.tokenizers import load_tokenizer
from diptych.errors import UserError
from diptych.pretrain.check_eval import METRICS as METRIC_NAMES
from diptych.pretrain.check_eval import WRITERS as WRITER_NAMES
from diptych.pretrain.checkpoint import restore_params
from diptych.pretrain.evaluate import evaluate_run, evaluations, make_evaluation
from diptych.pretrain.evaluators.registry import EVALUATORS
from diptych.pretrain.job import Job
from diptych.pretrain.learner import make_learner
from diptych.pretrain.metrics_table import chance_of, metrics_rows
from diptych.pretrain.spec import EvalTaskSpec
from diptych.pretrain.train import train
from diptych.pretrain.writers import WRITERS, read_metrics
from diptych.sharding.mesh import make_mesh
from diptych.sharding.spec import MeshSpec


@pytest.fixture
def run(trained, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


def evaluation_of(recipe, workdir):
    mesh = make_mesh(MeshSpec(replica=1, fsdp=1, tensor=1))
    return make_evaluation(make_learner(recipe, mesh), load_tokenizer(recipe.data.tokenizer), workdir=workdir, job=Job())


def test_training_ends_with_all_tasks(trained):
    metrics = json.loads((trained / "eval" / "2.json").read_text())["metrics"]
    assert {name.partition("/")[0] for name in metrics} == {"squares", "colours", "heldout"}
    assert metrics["squares/candidates"] == 24 and metrics["squares/chance"] == pytest.approx(6 / 24)
    assert metrics["colours/chance"] == 0.25 and metrics["heldout/loss"] > 0
    assert read_metrics(trained)[-1] == {"step": 2, **metrics}


def test_a_checkpoint_is_evaluated_to_the_same_metrics(run):
    before = json.loads((run / "eval" / "2.json").read_text())
    shutil.rmtree(run / "eval")
    found = evaluate_run(run)
    assert found == pytest.approx(before["metrics"], rel=1e-5)
    assert json.loads((run / "eval" / "2.json").read_text())["metrics"] == found
    earlier = evaluate_run(run, step=1)
    assert earlier["heldout/loss"] != found["heldout/loss"]
    assert [path.name for path in evaluations(run)] == ["1.json", "2.json"]


def test_another_mesh_finds_the_same(squares_recipe, run):
    found = json.loads((run / "eval" / "2.json").read_text())["metrics"]
    shutil.rmtree(run / "eval")
    content = json.loads((run / "recipe.json").read_text())
    content["recipe"]["mesh"] = {"replica": 1, "fsdp": 1, "tensor": 1}
    (run / "recipe.json").write_text(json.dumps(content))
    assert evaluate_run(run) == pytest.approx(found, rel=1e-5)


def test_what_was_evaluated_is_known_until_the_tasks_change(squares_recipe, tmp_path):
    evaluation = evaluation_of(squares_recipe, tmp_path)
    fake = {name: lambda encoders, params: {"x": 1.0, "y": math.nan} for name in evaluation.evaluators}
    evaluation = dataclasses.replace(evaluation, evaluators=fake)
    assert evaluation.known(3) is None
    metrics = evaluation(None)
    assert [metrics[f"{task}/x"] for task in ("squares", "colours", "heldout")] == [1.0, 1.0, 1.0]
    evaluation.remember(3, metrics)
    known = evaluation.known(3)
    assert known.keys() == metrics.keys() and known["squares/x"] == 1.0 and math.isnan(known["squares/y"])
    assert dataclasses.replace(evaluation, tasks={"squares": {}}).known(3) is None


def test_what_is_not_a_number_is_strict_json(squares_recipe, tmp_path):
    evaluation_of(squares_recipe, tmp_path).remember(3, {"squares/x": math.nan})
    assert json.loads((tmp_path / "eval" / "3.json").read_text(), parse_constant=pytest.fail)["metrics"] == {"squares/x": None}


def test_steps_that_come_again_are_forgotten(squares_recipe, tmp_path):
    evaluation = evaluation_of(squares_recipe, tmp_path)
    for step in (2, 9, 10, 100):
        evaluation.remember(step, {})
    evaluation.forget_after(9)
    assert [path.name for path in evaluations(tmp_path)] == ["2.json", "9.json"]


class Stop(Exception):
    pass


def test_an_evaluation_can_be_left_between_two_batches(squares_recipe, tmp_path, run):
    evaluation = evaluation_of(squares_recipe, tmp_path)
    polls = itertools.count()

    def poll():
        if next(polls) == 2:
            raise Stop

    with jax.set_mesh(evaluation.encoders.mesh), pytest.raises(Stop):
        evaluation(restore_params(run, make_learner(squares_recipe, evaluation.encoders.mesh), step=None)[1], poll=poll)
    assert next(polls) == 3 and evaluations(tmp_path) == []


def test_an_evaluation_by_hand_is_added_to_the_metrics_once(run):
    before = read_metrics(run)
    found = evaluate_run(run, step=1)
    assert evaluate_run(run, step=1) == found
    assert read_metrics(run) == [*before, {"step": 1, **found}]


def test_an_evaluation_that_is_new_to_a_finished_run_is_written_and_shown(squares_recipe, run, capfd):
    tasks = {"more": squares_recipe.eval.tasks["colours"], **squares_recipe.eval.tasks}
    train(dataclasses.replace(squares_recipe, eval=dataclasses.replace(squares_recipe.eval, tasks=tasks)), run)
    assert "more" in capfd.readouterr().err
    assert "more/top1" in read_metrics(run)[-1] and "more/top1" in json.loads((run / "result.json").read_text())


def test_another_tokenizer_under_the_same_path_is_refused(run, monkeypatch):
    def other(workdir, spec):
        return dataclasses.make_dataclass("Other", ["fingerprint", "eos_id", "pad_id", "vocab_size"])("f" * 64, 1, 0, 60)

    monkeypatch.setattr("diptych.pretrain.evaluate.find_tokenizer", other)
    monkeypatch.setattr("diptych.pretrain.evaluate.make_evaluation", lambda *_, **__: None)
    with pytest.raises(UserError, match=r"data\.tokenizer\.path .* fingerprint ffffffffffff now; accepted is the one"):
        evaluate_run(run)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "retrieve"}, r"eval.tasks.t.kind = 'retrieve' is unknown; accepted are retrieval, zero_shot, loss"),
        ({"data": ("nowhere-*.tar",)}, r"eval.tasks.t.data .*nowhere"),
        ({"id_key": "json:codepoint"}, r"eval.tasks.t.data .*'json:codepoint'"),
        ({"kind": "zero_shot", "class_names": ("red",)}, r"eval.tasks.t.class_key = 'cls' has the class '1'"),
        ({"kind": "loss", "negatives": 48}, r"eval.tasks.t.negatives = 48.*24 samples"),
    ],
)
def test_mistakes_are_found_when_the_evaluations_are_made(squares_recipe, shard, tmp_path, task, message):
    spec = EvalTaskSpec(**{"data": (str(shard),), **task})
    recipe = dataclasses.replace(squares_recipe, eval=dataclasses.replace(squares_recipe.eval, tasks={"t": spec}))
    with pytest.raises(UserError, match=message):
        evaluation_of(recipe, tmp_path)


def test_a_task_has_no_slash_in_its_name(squares_recipe, tmp_path):
    tasks = {"emoji/held": squares_recipe.eval.tasks["colours"]}
    with pytest.raises(UserError, match=r"eval\.tasks has 'emoji/held'.*without a slash"):
        evaluation_of(dataclasses.replace(squares_recipe, eval=dataclasses.replace(squares_recipe.eval, tasks=tasks)), tmp_path)


METRICS = {"a/i2t_r1": 0.5, "a/i2t_r5": 0.75, "a/i2t_median_rank": 2.0, "a/chance": 0.01, "a/chance_r5": 0.05, "a/chance_median_rank": 50.0}
METRICS |= {"b/top1": 0.25, "b/top5": 0.5, "b/chance": 0.1, "b/chance_top5": 0.5, "b/classes": 10.0, "c/loss": 1.5}


def test_each_metric_stands_beside_its_chance():
    names = ("a/i2t_r1", "a/i2t_r5", "a/i2t_median_rank", "b/top1", "b/top5", "c/loss", "b/classes")
    assert [chance_of(METRICS, name) for name in names] == [0.01, 0.05, 50.0, 0.1, 0.5, None, None]
    assert metrics_rows(METRICS) == [
        ("a", "i2t_r1", "50.00 %", "1.00 %"),
        ("a", "i2t_r5", "75.00 %", "5.00 %"),
        ("a", "i2t_median_rank", "2", "50"),
        ("b", "top1", "25.00 %", "10.00 %"),
        ("b", "top5", "50.00 %", "50.00 %"),
        ("b", "classes", "10", ""),
        ("c", "loss", "1.5000", ""),
    ]


def test_a_metric_may_hold_a_slash():
    assert metrics_rows({"heldout/loss/softmax": 1.5}) == [("heldout", "loss/softmax", "1.5000", "")]


def test_a_recipe_is_checked_for_the_kinds_that_there_are():
    assert set(METRIC_NAMES) == set(EVALUATORS) and set(WRITER_NAMES) == set(WRITERS)


def test_a_recipe_is_checked_for_the_metrics_that_there_are(trained, squares_recipe):
    found = [name.partition("/")[::2] for name in json.loads((trained / "eval" / "2.json").read_text())["metrics"]]
    for task, spec in squares_recipe.eval.tasks.items():
        names = {name for of, name in found if of == task and not name.startswith("chance") and name not in ("candidates", "classes")}
        assert names == set(METRIC_NAMES[spec.kind]) - ({"top5"} if task == "colours" else set())  # there are four colours
