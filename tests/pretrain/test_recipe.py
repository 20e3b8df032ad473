import dataclasses

import pytest

from diptych.errors import UserError
from diptych.launch.axes import plan
from diptych.pretrain.recipe import identity_hash, load_recipe, run_identity
from diptych.pretrain.recipe_file import load_module
from diptych.pretrain.run_folder import read_recipe, read_run, write_recipe
from diptych.pretrain.same_run import check_identity
from diptych.pretrain.spec import Recipe
from diptych.schema import build, differences, to_dict

FILE = """
from ml_collections import ConfigDict, config_dict

def get_config(arg=""):
    config = ConfigDict({"data": {"train": (arg or "a.tar",)}, "objective": {"terms": {"softmax": 1.0}}})
    config.train = {"steps": 4000, "batch_size": config_dict.placeholder(int)}
    config.optimizer = {"decay_steps": config.train.get_oneway_ref("steps") * 2, "warmup_steps": 10}
    config.train.batch_size = 64
    config.model = {"decoder": None}
    config.lock()
    return config
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return str(path)


def test_a_file_with_an_argument(recipe_file):
    recipe = load_recipe(f"{recipe_file}:bucket://shards/b.tar")
    assert recipe.data.train == ("bucket://shards/b.tar",) and recipe.name == "mine"


def test_overrides_reach_lazy_references_and_absent_keys(recipe_file):
    recipe = load_recipe(recipe_file, ["train.steps=100", "optimizer.peak_lr=1", "data.text_lengths=8,77", "eval.tasks.t.data=x.tar"])
    assert recipe.optimizer.decay_steps == 200 and recipe.optimizer.peak_lr == 1.0
    assert recipe.data.text_lengths == (8, 77) and recipe.eval.tasks["t"].data == ("x.tar",)


def test_an_override_fills_a_group_that_is_none(recipe_file):
    more = ["model.text.pool=cls", "model.image.pool=attentional", "model.image.pool_heads=8", "objective.terms.captioning=1"]
    assert load_recipe(recipe_file, ["model.decoder.depth=3", *more]).model.decoder.depth == 3
    assert load_recipe("coca_vit_b32", ["model.decoder=none", "objective.terms.captioning=0"]).model.decoder is None


def test_a_mapping_can_be_replaced():
    assert dict(load_recipe("clip_emoji", ["eval.tasks={}", "eval.metric=none"]).eval.tasks) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def get_config(): return {}", "returns a dict from get_config"),
        ("x = 1", "has no get_config"),
        ("get_config = 3", "has no get_config that can be called; accepted is a file with get_config"),
        ("\nx = (", r"wrong.py, line 2, raises SyntaxError \('\(' was never closed\); accepted is"),
        ("x = '\xff'", r"wrong.py.* raises SyntaxError .*utf-8"),
        ("import nothere", r"wrong.py, line 1, raises ModuleNotFoundError \(No module named 'nothere'\)"),
        ("def get_config():\n    return 1 / 0", r"get_config\(\) of .*wrong.py, line 2, raises ZeroDivisionError \(division by zero\)"),
        ("def get_config(a, b): pass", r"get_config\(\) of .*wrong.py, raises TypeError \(.*missing 1 required"),
        (
            "import ml_collections\ndef get_config(): return ml_collections.ConfigDict({'train': {'step': 1}})",
            r"did you mean train.steps\?",
        ),
        (
            "import ml_collections as m\ndef get_config(): return m.ConfigDict({'seed': m.config_dict.required_placeholder(int)})",
            "leaves a required value open",
        ),
    ],
)
def test_wrong_recipe_files(tmp_path, text, sentence):
    path = tmp_path / "wrong.py"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=sentence) as error:
        load_recipe(str(path))
    assert "\n" not in str(error.value)


def test_wrong_names():
    with pytest.raises(UserError, match=r"--config = clip_emojis is not a recipe; accepted are clip_emoji, .*quickstart"):
        load_recipe("clip_emojis")
    with pytest.raises(UserError, match=r"--config = nowhere/mine\.py is not there"):
        load_recipe("nowhere/mine.py")


def test_an_argument_that_is_not_taken(tmp_path):
    path = tmp_path / "bare.py"
    path.write_text("import ml_collections\ndef get_config(): return ml_collections.ConfigDict()")
    with pytest.raises(UserError, match="takes none"):
        load_recipe(f"{path}:arg")


def test_identity_covers_the_model_and_not_the_place():
    base = load_recipe("clip_emoji")
    for override in (
        "mesh.fsdp=1",
        "eval.every=5",
        "log.every=1",
        "checkpoint.every=7",
        "data.threads=3",
        "data.cache_mb=0",
        "train.remat=full",
    ):
        assert identity_hash(load_recipe("clip_emoji", [override])) == identity_hash(base), override
    assert identity_hash(load_recipe("clip_emoji:elsewhere")) == identity_hash(base)
    for override in ("seed=1", "train.batch_size=128", "optimizer.peak_lr=2e-3", "model.text.depth=3", "objective.terms.softmax=2"):
        changed = load_recipe("clip_emoji", [override])
        assert identity_hash(changed) != identity_hash(base), override
        assert next(differences(run_identity(base), run_identity(changed)))[0] == override.partition("=")[0]


def test_total_steps_are_identity_only_where_the_schedule_ends_with_them():
    for schedule, matters in (("cosine", True), ("linear", True), ("constant", False), ("rsqrt", False)):
        hashes = {identity_hash(load_recipe("clip_emoji", [f"optimizer.schedule={schedule}", f"train.steps={n}"])) for n in (400, 500)}
        assert (len(hashes) == 2) == matters, schedule
    cooled = ["optimizer.schedule=constant", "optimizer.cooldown_steps=50"]
    assert len({identity_hash(load_recipe("clip_emoji", [*cooled, f"train.steps={n}"])) for n in (400, 500)}) == 2
    longer = load_recipe("clip_emoji", ["train.steps=500", "optimizer.decay_steps=400"])
    assert identity_hash(longer) == identity_hash(load_recipe("clip_emoji"))


def test_hash_survives_a_round_trip_and_is_pinned_to_the_values():
    recipe = load_recipe("clip_emoji")
    assert identity_hash(build(Recipe, to_dict(recipe))) == identity_hash(recipe)
    assert identity_hash(dataclasses.replace(recipe, name="other")) == identity_hash(recipe)
    assert len(identity_hash(recipe)) == 64


def test_an_override_below_what_is_no_group(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text("import ml_collections\ndef get_config(): return ml_collections.ConfigDict({'model': 5})")
    with pytest.raises(UserError, match=r"^model = 5 has the wrong type; accepted is a group of settings"):
        load_recipe(str(path), ["model.text.depth=3"])


def test_a_lazy_value_that_cannot_be_computed(tmp_path):
    path = tmp_path / "lazy.py"
    lines = ["c = ConfigDict({'seed': 1, 'width': 64})", "c.train = {'steps': c.get_oneway_ref('width') // c.get_oneway_ref('seed')}"]
    path.write_text("from ml_collections import ConfigDict\ndef get_config():\n  " + "\n  ".join([*lines, "return c"]))
    with pytest.raises(UserError, match=r"lazy\.py refers to a value that cannot be computed \(.*zero\); accepted"):
        load_recipe(str(path), ["seed=0"])


def test_a_sweep_that_raises(tmp_path):
    path = tmp_path / "swept.py"
    path.write_text(f"{FILE}\n\ndef sweep():\n    return {{}}['x']\n")
    with pytest.raises(UserError, match=r"sweep\(\) of .*swept\.py, line 15, raises KeyError \('x'\); accepted"):
        plan([], load_module(str(path))[0])


@pytest.mark.parametrize(("steps", "then"), [(500, "trains on at a learning rate of 0"), (300, "stops earlier on the same schedule")])
def test_another_end_of_the_schedule_is_said_by_the_setting_that_was_typed(tmp_path, steps, then):
    base = load_recipe("clip_emoji")
    write_recipe(tmp_path, base)
    (tmp_path / "checkpoints" / "200").mkdir(parents=True)
    with pytest.raises(UserError) as error:
        check_identity(tmp_path, load_recipe("clip_emoji", [f"train.steps={steps}"]))
    assert str(error.value) == (
        f"--workdir = {tmp_path} holds a run with train.steps = 400, where its optimizer.schedule ends, not {steps}; accepted is "
        f"train.steps = 400, optimizer.decay_steps = 400 beside train.steps = {steps}, which {then}, or another folder"
    )
    check_identity(tmp_path, load_recipe("clip_emoji", [f"train.steps={steps}", "optimizer.decay_steps=400"]))
    with pytest.raises(
        UserError, match=r"optimizer.decay_steps = 400, not 450; accepted is optimizer.decay_steps = 400, or another folder"
    ):
        check_identity(tmp_path, load_recipe("clip_emoji", ["optimizer.decay_steps=450"]))


def test_every_setting_that_makes_another_run_is_named(tmp_path):
    write_recipe(tmp_path, load_recipe("clip_emoji"))
    (tmp_path / "checkpoints" / "200").mkdir(parents=True)

    def said(*overrides, force_data=False):
        with pytest.raises(UserError) as error:
            check_identity(tmp_path, load_recipe("clip_emoji", overrides), force_data=force_data)
        return str(error.value).removeprefix(f"--workdir = {tmp_path} holds a run ")

    assert said("train.steps=500", "train.batch_size=128", "seed=1") == (
        "with seed = 0, not 1, with train.steps = 400, where its optimizer.schedule ends, not 500, and with train.batch_size = 256, "
        "not 128; accepted is seed = 0 (or --force-data), train.steps = 400 (or optimizer.decay_steps = 400 beside train.steps = 500, "
        "which trains on at a learning rate of 0) and train.batch_size = 256, or another folder"
    )
    assert said("seed=1", "model.embed_dim=96", force_data=True) == (
        "with model.embed_dim = 192, not 96; accepted is model.embed_dim = 192, or another folder"
    )
    assert said("train.steps=100", "optimizer.decay_steps=400", "model.embed_dim=96") == (
        "with model.embed_dim = 192, not 96, and with a checkpoint at step 200, which train.steps = 100 is behind; "
        "accepted is model.embed_dim = 192 and train.steps from 200, or another folder"
    )
    assert said("train.steps=100").endswith("not 100; accepted is train.steps = 400, or another folder")
    assert said("optimizer.schedule=constant").endswith("not constant; accepted is optimizer.schedule = cosine, or another folder")


def test_what_the_run_did_not_have_is_to_be_left_out(tmp_path):
    write_recipe(tmp_path, load_recipe("clip_emoji"))
    (tmp_path / "checkpoints" / "200").mkdir(parents=True)
    with pytest.raises(UserError, match=r"objective.terms.sigmoid = absent, not 1.0; accepted is objective.terms.sigmoid left out, or"):
        check_identity(tmp_path, load_recipe("clip_emoji", ["objective.terms.sigmoid=1"]))


def test_a_cool_down_may_be_another_until_it_begins(tmp_path):
    def stable(*overrides):
        return load_recipe("clip_emoji", ["optimizer.schedule=constant", *overrides])

    write_recipe(tmp_path, stable())
    (tmp_path / "checkpoints" / "200").mkdir(parents=True)
    check_identity(tmp_path, stable("optimizer.cooldown_steps=100", "train.steps=300", "optimizer.final_fraction=0.1"))
    with pytest.raises(UserError, match=r"with optimizer.cooldown_steps = 0, not 100; accepted is optimizer.cooldown_steps = 0"):
        check_identity(tmp_path, stable("optimizer.cooldown_steps=100", "train.steps=299"))
    write_recipe(tmp_path, stable("optimizer.cooldown_steps=100", "train.steps=300"))
    check_identity(tmp_path, stable("optimizer.cooldown_steps=50", "train.steps=500"))
    (tmp_path / "checkpoints" / "201").mkdir()
    with pytest.raises(UserError, match=r"train.steps = 300, where its optimizer.schedule ends, not 500"):
        check_identity(tmp_path, stable("optimizer.cooldown_steps=100", "train.steps=500"))
    with pytest.raises(UserError, match=r"seed = 0, not 1"):
        check_identity(tmp_path, stable("optimizer.cooldown_steps=100", "train.steps=300", "seed=1"))


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"recipe": {"seed": 0}}', b""], ids=repr)
def test_a_broken_recipe_json(tmp_path, content):
    (tmp_path / "recipe.json").write_bytes(content)
    with pytest.raises(UserError, match=r"recipe\.json is broken .*; accepted is the file as the run wrote it"):
        read_run(tmp_path)
    (tmp_path / "recipe.json").unlink()
    write_recipe(tmp_path, load_recipe("clip_emoji"))
    assert read_run(tmp_path)["recipe"]["seed"] == 0


def test_a_recipe_json_of_another_version_is_named(tmp_path):
    write_recipe(tmp_path, load_recipe("clip_emoji"))
    path = tmp_path / "recipe.json"
    path.write_text(path.read_text().replace('"eos_id"', '"eos_ids"'))
    with pytest.raises(UserError, match=r"recipe\.json: model\.text\.eos_ids is not a setting; did you mean model\.text\.eos_id\?"):
        read_recipe(tmp_path)
