import pytest

from diptych.errors import UserError
from diptych.pretrain.check_text import check_tokenizer
from diptych.pretrain.recipe import load_recipe

BERT = ["data.train=x.tar", "data.tokenizer.kind=huggingface", "data.tokenizer.path=vocab.txt", "data.tokenizer.preset=bert"]
SMALL = ["model.text.vocab_size=30522", "model.text.eos_id=102"]
MASKED = ["model.text.attention=bidirectional_masked", "model.text.pad_id=0"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["model.text.attention=bidirectional"],
            "model.text.attention = bidirectional looks at padding, which the model of data.tokenizer.",
        ),
        (MASKED[:1], "model.text.pad_id = none is no token that model.text.attention = bidirectional_masked could mask; accepted is"),
        ([*MASKED, "model.text.pad_id=30522"], "model.text.pad_id = 30522 is no token"),
        ([*MASKED, "model.text.pad_id=-1"], "model.text.pad_id = -1 is out of range"),
        (
            [*MASKED, "model.text.pool=last"],
            "model.text.pool = last may read padding, which bidirectional_masked masks; accepted is eos or cls",
        ),
    ],
)
def test_padding_that_would_be_seen_is_refused(overrides, sentence):
    with pytest.raises(UserError) as error:
        load_recipe("clip_vit_b16", [*BERT, *SMALL, *overrides])
    assert str(error.value).startswith(sentence) and "accepted" in str(error.value)


@pytest.mark.parametrize("overrides", [MASKED, [*MASKED, "model.text.pool=cls"], ["model.text.attention=causal"]])
def test_bert_is_masked_or_causal(overrides):
    recipe = load_recipe("clip_vit_b16", [*BERT, *SMALL, *overrides])
    check_tokenizer(recipe, vocab_size=30522, eos_id=102, pad_id=0)


def test_another_padding_than_the_tokenizers_is_refused_where_it_is_masked():
    recipe = load_recipe("clip_vit_b16", [*BERT, *SMALL, *MASKED])
    with pytest.raises(
        UserError, match=r"model.text.pad_id = 0 is not the padding of data.tokenizer.path = vocab.txt, which is 7; accepted is 7"
    ):
        check_tokenizer(recipe, vocab_size=30522, eos_id=102, pad_id=7)
