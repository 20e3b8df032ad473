import pytest

from diptych.errors import UserError
from diptych.overrides import parse_override, show, split
from diptych.pretrain.spec import Recipe


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.batch_size=512", 512),
        ("train.steps=1_000", 1000),
        ("optimizer.peak_lr=1e-3", 1e-3),
        ("optimizer.peak_lr=1", 1.0),
        ("optimizer.betas=0.9,0.95", (0.9, 0.95)),
        ("optimizer.betas=(0.9, 0.95)", (0.9, 0.95)),
        ("optimizer.decay_steps=none", None),
        ("optimizer.decay_steps=10", 10),
        ("objective.max_scale=None", None),
        ("model.decoder=none", None),
        ("model.decoder.depth=3", 3),
        ("model.text.pool=none", "none"),
        ("name=a=b", "a=b"),
        ("data.train=a-{0..3}.tar", ("a-{0..3}.tar",)),
        ("data.train=a-{00,01}.tar,b-[0,1].tar", ("a-{00,01}.tar", "b-[0,1].tar")),
        ("data.train=['a,b.tar']", ("a,b.tar",)),
        ("data.text_lengths=", ()),
        ("data.text_lengths=8,16", (8, 16)),
        ("data.text_lengths=8", (8,)),
        ("objective.terms.sigmoid=1", 1.0),
        ("objective.terms={'sigmoid': 1}", {"sigmoid": 1}),
        ("eval.tasks={}", {}),
        ("eval.tasks.openmoji.data=x/*.tar", ("x/*.tar",)),
        ("eval.tasks.new.kind=loss", "loss"),
    ],
)
def test_values_are_typed_by_the_schema(text, value):
    override = parse_override(text, Recipe)
    assert override.path == text.partition("=")[0]
    assert override.value == value and type(override.value) is type(value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train.batchsize=1", "train.batchsize is not a setting; did you mean train.batch_size?"),
        ("trian.batch_size=1", "trian is not a setting; did you mean train?"),
        ("eval.tasks.a.knd=loss", "eval.tasks.a.knd is not a setting; did you mean eval.tasks.a.kind?"),
        ("seed.x=1", "seed.x is not a setting; seed is an integer and has no parts"),
        ("train.batch_size=big", "train.batch_size = 'big' has the wrong type; accepted is an integer"),
        ("train.batch_size=1.5", "train.batch_size = '1.5' has the wrong type; accepted is an integer"),
        ("train.batch_size=none", "train.batch_size = 'none' has the wrong type; accepted is an integer"),
        ("data.resize_first=x", "data.resize_first = 'x' has the wrong type; accepted is an integer or none"),
        ("optimizer.betas=0.9", "optimizer.betas = [0.9] has the wrong type; accepted is a list of 2 numbers"),
        ("optimizer.betas=a,b", "optimizer.betas = 'a' has the wrong type; accepted is a number"),
        ("objective.terms=softmax", "objective.terms = 'softmax' has the wrong type; accepted is names with numbers"),
        (
            "mesh={'fsdp': 2}",
            "mesh = \"{'fsdp': 2}\" would replace a whole group of settings; accepted are its parts, such as mesh.replica=VALUE",
        ),
        ("seed", "the override 'seed' has no value; accepted is PATH=VALUE"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(text, sentence):
    with pytest.raises(UserError) as error:
        parse_override(text, Recipe)
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "text", ["optimizer.betas=0.9,0.95", "optimizer.decay_steps=none", "data.train=a,b", "optimizer.peak_lr=3e-4", "name=x y"]
)
def test_shown_values_read_back(text):
    override = parse_override(text, Recipe)
    assert parse_override(f"{override.path}={show(override.value)}", Recipe) == override


def test_split_keeps_what_is_in_brackets():
    assert split("(1, 2), {a,b}.tar,c") == ["(1, 2)", "{a,b}.tar", "c"]
    assert split("") == []
