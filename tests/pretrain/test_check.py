import pytest

from diptych.errors import UserError
from diptych.pretrain.check_devices import check_devices, fitting_mesh
from diptych.pretrain.check_text import check_tokenizer
from diptych.pretrain.recipe import load_recipe
from diptych.sharding.spec import MeshSpec

EMOJI, SIGLIP, COCA = "clip_emoji", "siglip_vit_b16", "coca_vit_b32"
WRONG = [
    (EMOJI, "model.image.heads=5", "model.image.heads = 5 does not divide model.image.width = 192; accepted is a divisor of 192"),
    (EMOJI, "model.text.heads=5", "model.text.heads = 5 does not divide model.text.width"),
    (SIGLIP, "model.image.pool_heads=5", "model.image.pool_heads = 5 does not divide model.image.width = 768"),
    (COCA, "model.image.pool_heads=7", "model.image.pool_heads = 7 does not divide model.embed_dim = 512"),
    (COCA, "model.decoder.heads=7", "model.decoder.heads = 7 does not divide model.text.width = 512"),
    (EMOJI, "data.image_size=50", "data.image_size = 50 is not a multiple of model.image.patch_size = 8"),
    (SIGLIP, "model.embed_dim=512", "model.image.projection = none needs model.image.width = 768 to equal model.embed_dim = 512"),
    (EMOJI, "model.text.eos_id=49408", "model.text.eos_id = 49408 is outside of the vocabulary"),
    (EMOJI, "model.image.pool=max", "model.image.pool = 'max' is unknown; accepted is cls or gap or map or attentional"),
    (EMOJI, "model.text.projection=lin", "model.text.projection = 'lin' is unknown"),
    (EMOJI, "model.text.activation=relu", "model.text.activation = 'relu' is unknown"),
    (EMOJI, "model.text.attention=full", "model.text.attention = 'full' is unknown"),
    (EMOJI, "optimizer.schedule=cosin", "optimizer.schedule = 'cosin' is unknown; accepted is cosine or linear or constant or rsqrt"),
    (EMOJI, "train.dtype=float16", "train.dtype = 'float16' is unknown; accepted is float32 or bfloat16"),
    (EMOJI, "train.remat=all", "train.remat = 'all' is unknown"),
    (EMOJI, "data.resize=stretch", "data.resize = 'stretch' is unknown"),
    (EMOJI, "data.source=tfrecord", "data.source = 'tfrecord' is unknown; accepted is one of webdataset, tfds, parquet, folder, shapes"),
    (EMOJI, "data.mixture.web.source=tfrecord", "data.mixture.web.source = 'tfrecord' is unknown"),
    (EMOJI, "data.mixture.web.source=webdataset", "data.mixture.web.train is empty; accepted are one or more shard patterns"),
    (EMOJI, "data.caption.lines=last", "data.caption.lines = 'last' is unknown; accepted is all or first or random"),
    (EMOJI, "data.caption.clean=lower", "data.caption.clean = 'lower' is unknown; accepted is none or clip or siglip or big_vision"),
    (EMOJI, "data.caption.templates=a photo", "data.caption.templates has 'a photo' without a {} for the caption"),
    (EMOJI, "data.caption.sources.json:=1", "data.caption.sources has 'json:', which names no text; accepted is a member of the sample"),
    (EMOJI, "data.caption.sources.txt=0", "data.caption.sources.txt = 0.0 leaves no text to draw; accepted is a number above 0"),
    (EMOJI, "data.text_key=txt:line", "data.text_key has 'txt:line', which names no text"),
    (
        EMOJI,
        "data.tokenizer.preset=gemma",
        "data.tokenizer.preset = 'gemma' is unknown; accepted is clip_open_clip or clip_hf or siglip or",
    ),
    (
        EMOJI,
        "data.tokenizer.preset=siglip2",
        "data.tokenizer.preset = siglip2 does not go with data.tokenizer.kind = clip_bpe; accepted is sentencepiece or huggingface",
    ),
    (EMOJI, "data.order=random", "data.order = 'random' is unknown"),
    (EMOJI, "data.tokenizer.kind=bert", "data.tokenizer.kind = 'bert' is unknown"),
    (EMOJI, "eval.tasks.openmoji.kind=knn", "eval.tasks.openmoji.kind = 'knn' is unknown; accepted is loss or retrieval or zero_shot"),
    (EMOJI, "eval.tasks.openmoji.data=", "eval.tasks.openmoji.data is empty"),
    (EMOJI, "eval.tasks.groups.class_names=", "eval.tasks.groups.class_names is empty"),
    (EMOJI, "eval.tasks.groups.templates=a photo", "eval.tasks.groups.templates has 'a photo' without a {} for the name"),
    (EMOJI, "eval.metric=grocery/top1", "eval.metric = 'grocery/top1' names no task; accepted is TASK/NAME with TASK of concepts, groups"),
    (EMOJI, "eval.metric=openmoji", "eval.metric = 'openmoji' names no task"),
    (
        EMOJI,
        "eval.metric=openmoji/top1",
        "eval.metric = 'openmoji/top1' is nothing that openmoji measures; accepted is openmoji/ with one of i2t_",
    ),
    (
        EMOJI,
        "eval.metric=groups/i2t_r1",
        "eval.metric = 'groups/i2t_r1' is nothing that groups measures; accepted is groups/ with one of top1, top5",
    ),
    (EMOJI, "eval.metric=openmoji/chance", "eval.metric = 'openmoji/chance' is nothing that openmoji measures"),
    (
        EMOJI,
        "eval.metric=val_loss/loss/softmax",
        "eval.metric = 'val_loss/loss/softmax' is nothing that val_loss measures; accepted is val_loss/ with one of loss",
    ),
    (EMOJI, "log.writers=csv", "log.writers has 'csv'; accepted are jsonl, tensorboard, wandb"),
    (EMOJI, "objective.terms.triplet=1", "objective.terms.triplet is not a term; accepted are captioning, cyclip, "),
    (EMOJI, "objective.terms.softmax=0", "objective.terms = {'softmax': 0.0} has no weight above 0"),
    (EMOJI, "objective.terms.softmax=-1", "objective.terms.softmax = -1.0 is out of range"),
    (EMOJI, "objective.terms.captioning=1", "objective.terms.captioning needs model.decoder, which is none"),
    (COCA, "model.text.pool=eos", "model.text.pool = 'eos' does not go with model.decoder; accepted is cls"),
    (COCA, "model.image.pool=map", "model.image.pool = 'map' does not go with model.decoder; accepted is attentional"),
    (
        COCA,
        "model.text.attention=bidirectional",
        "model.text.attention = bidirectional shows model.decoder the words that it is to predict",
    ),
    (COCA, "model.decoder.attention=full", "model.decoder.attention = 'full' is unknown; accepted is causal or prefix"),
    (COCA, "model.decoder.parallel=75", "model.decoder.parallel = 75.0 is out of range; accepted is a number from 0 to 1"),
    (COCA, "objective.captioning.vocab_chunk=0", "objective.captioning.vocab_chunk = 0 is out of range; accepted is a number from 1"),
    (EMOJI, "objective.init_scale=200", "objective.init_scale = 200.0 is above objective.max_scale = 100.0"),
    (EMOJI, "optimizer.decay_steps=40", "optimizer.warmup_steps = 50 is more than optimizer.decay_steps = 40; accepted is"),
    (EMOJI, "optimizer.betas=0.9,1", "optimizer.betas = (0.9, 1.0) is out of range"),
    (EMOJI, "optimizer.no_decay=(bias", "optimizer.no_decay has '(bias'"),
    (EMOJI, "optimizer.peak_lr=-1", "optimizer.peak_lr = -1.0 is out of range; accepted is a number above 0"),
    (EMOJI, "optimizer.peak_lr=nan", "optimizer.peak_lr = nan is out of range"),
    (EMOJI, "train.batch_size=0", "train.batch_size = 0 is out of range"),
    (EMOJI, "seed=-1", "seed = -1 is out of range; accepted is a number from 0 to 4294967295"),
    (EMOJI, "seed=4294967296", "seed = 4294967296 is out of range; accepted is a number from 0 to 4294967295"),
    (EMOJI, "train.steps=2147483648", "train.steps = 2147483648 is out of range; accepted is a number from 1 to 2147483647"),
    (EMOJI, "eval.tasks.val_loss.negatives=0", "eval.tasks.val_loss.negatives = 0 is out of range; accepted is a number from 1"),
    (EMOJI, "data.streams=0", "data.streams = 0 is out of range; accepted is a number from 1"),
    (EMOJI, "data.block_shards=-4", "data.block_shards = -4 is out of range"),
    (EMOJI, "data.workers=-1", "data.workers = -1 is out of range; accepted is a number from 0"),
    (EMOJI, "data.shard_cache_gb=0", "data.shard_cache_gb = 0.0 is out of range; accepted is a number above 0"),
    (EMOJI, "data.mixture.a.weight=-1", "data.mixture.a.weight = -1.0 is out of range; accepted is a number from 0"),
    (EMOJI, "data.caption.sources.txt=-1", "data.caption.sources.txt = -1.0 is out of range; accepted is a number from 0"),
    (EMOJI, "model.image.mean=nan,0,0", "model.image.mean[0] = nan is out of range; accepted is a finite number"),
    (EMOJI, "objective.init_bias=inf", "objective.init_bias = inf is out of range; accepted is a finite number"),
    (EMOJI, "train.steps=None", "train.steps = 'None' is no duration; accepted is a number of steps, or a text such as 2000 steps"),
    (EMOJI, "model.image.mlp_dim=0", "model.image.mlp_dim = 0 is out of range"),
    (EMOJI, "data.cache_mb=-1", "data.cache_mb = -1 is out of range; accepted is a number from 0"),
    (EMOJI, "data.augment.flip=2", "data.augment.flip = 2.0 is out of range; accepted is a number from 0 to 1"),
    (EMOJI, "data.augment.crop_scale=1,0.8", "data.augment.crop_scale = (1.0, 0.8) is out of range"),
    (EMOJI, "data.train=", "data.train is empty"),
    (SIGLIP, "data.tokenizer.path=none", "data.tokenizer.path = none does not go with data.tokenizer.kind = sentencepiece"),
    (SIGLIP, "data.text_lengths=16,64", "data.text_lengths = (16, 64) needs model.text.attention = causal and model.text.pool = eos"),
    (EMOJI, "data.text_lengths=8,12", "data.text_lengths = (8, 12) does not rise to model.text.context_length = 16"),
    (EMOJI, "data.text_lengths=12,8,16", "data.text_lengths = (12, 8, 16) does not rise"),
    (EMOJI, "data.text_lengths=8,16,20", "data.text_lengths = (8, 16, 20) does not rise"),
    (EMOJI, "mesh.tensor=0", "mesh.tensor = 0 is out of range"),
    (EMOJI, "mesh.tensor=-1", "mesh = (1, -1, -1) has -1 more than once"),
]


@pytest.mark.parametrize(("config", "override", "sentence"), WRONG, ids=[f"{config}-{override}" for config, override, _ in WRONG])
def test_wrong_settings_are_answered_in_one_sentence(config, override, sentence):
    with pytest.raises(UserError) as error:
        load_recipe(config, [override])
    assert str(error.value).startswith(sentence)
    assert "accepted" in str(error.value) and "\n" not in str(error.value)


def test_a_source_may_say_where_by_itself():
    assert load_recipe(EMOJI, ["data.source=shapes:100x64", "data.train="]).data.train == ()
    assert (
        load_recipe(EMOJI, ["data.train=", "data.mixture.web.train=a.tar", "data.mixture.web.weight=2"]).data.mixture["web"].weight == 2.0
    )
    with pytest.raises(UserError, match=r"data\.mixture\.web\.weight = 0\.0 leaves no part to draw from; accepted is"):
        load_recipe(EMOJI, ["data.mixture.web.train=a.tar", "data.mixture.web.weight=0"])


def test_a_decoder_with_a_prefix_predicts_nothing_in_parallel():
    with pytest.raises(
        UserError, match=r"model\.decoder\.parallel = 0\.75 does not go with model\.decoder\.attention = prefix; accepted is 0"
    ):
        load_recipe(COCA, ["model.decoder.attention=prefix", "model.decoder.parallel=0.75"])


def test_settings_that_do_not_bind_are_let_through():
    assert load_recipe(EMOJI, ["optimizer.schedule=constant", "optimizer.warmup_steps=1000"]).optimizer.warmup_steps == 1000
    assert load_recipe(EMOJI, ["train.steps=20"]).optimizer.warmup_steps == 50
    assert load_recipe(EMOJI, ["objective.terms.sigmoid=1", "objective.terms.softmax=0"]).objective.terms["sigmoid"] == 1.0


@pytest.mark.parametrize(
    ("overrides", "devices", "sizes"),
    [
        ([], 8, (1, 8, 1)),
        (["mesh.tensor=3"], 6, (1, 2, 3)),
        (["mesh.replica=-1", "mesh.fsdp=2"], 8, (4, 2, 1)),
        (["mesh.fsdp=2"], 8, (1, 2, 1)),
    ],
)
def test_mesh_is_resolved(overrides, devices, sizes):
    mesh = check_devices(load_recipe(EMOJI, overrides), device_count=devices)
    assert mesh == MeshSpec(replica=sizes[0], fsdp=sizes[1], tensor=sizes[2])


@pytest.mark.parametrize(
    ("config", "overrides", "devices", "sentence"),
    [
        (
            EMOJI,
            ["mesh.fsdp=4", "mesh.tensor=2"],
            8,
            "model.image.heads = 3 is not divisible by mesh.tensor = 2; accepted is a multiple of 2",
        ),
        (EMOJI, ["mesh.fsdp=16"], 8, "mesh.replica = 1 x mesh.fsdp = 16 x mesh.tensor = 1 asks for 16 devices, but there are 8"),
        (EMOJI, ["mesh.tensor=16"], 8, "mesh.replica = 1 x mesh.tensor = 16 asks for 16 devices, but there are 8"),
        (EMOJI, ["mesh.tensor=3"], 8, "mesh.replica = 1 x mesh.tensor = 3 does not divide the 8 devices"),
        (EMOJI, ["train.batch_size=100"], 8, "train.batch_size = 100 is not divisible by mesh.replica x mesh.fsdp = 8"),
        (EMOJI, ["eval.batch_size=100"], 8, "eval.batch_size = 100 is not divisible by mesh.replica x mesh.fsdp = 8"),
        (EMOJI, ["eval.tasks.val_loss.negatives=100"], 8, "eval.tasks.val_loss.negatives = 100 is not divisible by"),
        (
            EMOJI,
            ["model.text.heads=4", "model.image.heads=4", "model.text.mlp_dim=770", "mesh.tensor=4"],
            4,
            "model.text.mlp_dim = 770 is not",
        ),
        (EMOJI, ["model.image.width=156", "model.image.heads=3"], 8, "model.image.width = 156 is not divisible by mesh.fsdp = 8"),
        (SIGLIP, ["model.image.pool_heads=3", "mesh.tensor=4"], 4, "model.image.pool_heads = 3 is not divisible by mesh.tensor = 4"),
        (COCA, ["model.decoder.heads=2", "mesh.tensor=4"], 4, "model.decoder.heads = 2 is not divisible by mesh.tensor = 4"),
        (COCA, ["model.embed_dim=516", "model.image.pool_heads=4"], 8, "model.embed_dim = 516 is not divisible by mesh.fsdp = 8"),
    ],
)
def test_what_the_devices_do_not_divide_is_refused(config, overrides, devices, sentence):
    with pytest.raises(UserError) as error:
        check_devices(load_recipe(config, overrides), device_count=devices)
    assert str(error.value).startswith(sentence) and "accepted" in str(error.value)


@pytest.mark.parametrize(("devices", "used"), [(1, 1), (2, 2), (3, 2), (6, 4), (7, 4), (8, 8), (72, 64)])
def test_as_many_devices_are_used_as_divide_the_quickstart(devices, used):
    assert fitting_mesh(load_recipe("quickstart"), device_count=devices) == MeshSpec(replica=1, fsdp=used, tensor=1)


def test_a_mesh_that_fits_no_number_of_devices_is_refused():
    assert fitting_mesh(load_recipe("quickstart", ["mesh.tensor=2"]), device_count=6) == MeshSpec(replica=1, fsdp=2, tensor=2)
    with pytest.raises(UserError, match=r"train.batch_size = 256 is not divisible by mesh.replica x mesh.fsdp = 3"):
        fitting_mesh(load_recipe("quickstart", ["mesh.fsdp=3"]), device_count=6)


def test_quickstart_divides_over_the_mesh_that_the_readme_shows():
    check_devices(load_recipe("quickstart", ["mesh.fsdp=4", "mesh.tensor=2"]), device_count=8)


def test_a_tokenizer_larger_than_the_token_table_is_refused():
    recipe = load_recipe(EMOJI, ["model.text.vocab_size=49407", "model.text.eos_id=5"])
    with pytest.raises(
        UserError, match=r"model.text.vocab_size = 49407 is less than the 49408 tokens of data.tokenizer.path = .*; accepted is 49408"
    ):
        check_tokenizer(recipe, vocab_size=49408, eos_id=5, pad_id=0)
    check_tokenizer(recipe, vocab_size=49407, eos_id=5, pad_id=0)


@pytest.mark.parametrize(("config", "overrides"), [(EMOJI, []), (COCA, []), (SIGLIP, ["model.text.pool=eos"])])
def test_a_tokenizer_with_another_end_token_is_refused_where_it_is_read(config, overrides):
    recipe = load_recipe(config, [*overrides, "model.text.eos_id=7", "data.tokenizer.path=some.model"])
    with pytest.raises(UserError) as error:
        check_tokenizer(recipe, vocab_size=100, eos_id=2, pad_id=0)
    said = "model.text.eos_id = 7 is not the end token of data.tokenizer.path = some.model, which is 2; accepted is 2"
    assert str(error.value) == said
    check_tokenizer(recipe, vocab_size=100, eos_id=7, pad_id=0)


def test_text_that_is_read_at_its_last_place_may_end_with_any_token():
    check_tokenizer(load_recipe(SIGLIP), vocab_size=32_000, eos_id=2, pad_id=2)


def test_every_metric_that_a_task_measures_may_be_named():
    for metric in ("openmoji/t2i_median_rank", "groups/top5", "val_loss/loss"):
        assert load_recipe(EMOJI, [f"eval.metric={metric}"]).eval.metric == metric
    two = ["objective.terms.sigmoid=1", "eval.metric=val_loss/loss/sigmoid"]
    assert load_recipe(EMOJI, two).eval.metric == "val_loss/loss/sigmoid"
    nested = ["objective.matryoshka.widths=48,96", "eval.metric=val_loss/loss_48"]
    assert load_recipe(EMOJI, nested).eval.metric == "val_loss/loss_48"
    several = ["objective.terms.sigmoid=1", "objective.terms.cyclip=1"]
    assert load_recipe(EMOJI, [*nested[:1], *several, "eval.metric=val_loss/loss_96/sigmoid"]).eval.metric == "val_loss/loss_96/sigmoid"
    with pytest.raises(UserError, match=r"with one of loss, loss/.*loss_48/.*loss_96/"):
        load_recipe(EMOJI, [*nested, *several])
    assert load_recipe("quickstart", ["eval.metric=shapes/top5"]).eval.metric == "shapes/top5"
    with pytest.raises(UserError, match=r"accepted is groups/ with one of top1$"):
        load_recipe(EMOJI, ["eval.tasks.groups.class_names=a,b,c", "eval.metric=groups/top5"])


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("objective.terms.sofmax=1", "softmax"),
        ("optimizer.name=adamv", "adamw"),
        ("optimizer.schedule=Cosin", "cosine"),
        ("data.source=webdatset:x", "webdataset"),
        ("data.tokenizer.kind=sentence_piece", "sentencepiece"),
        ("log.writers=jsnl", "jsonl"),
    ],
)
def test_the_nearest_name_is_said(override, meant):
    with pytest.raises(UserError) as error:
        load_recipe(EMOJI, [override])
    assert "accepted" in str(error.value) and str(error.value).endswith(f"(did you mean {meant}?)")
