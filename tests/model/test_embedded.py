"""The tokenizer of whole words and the embedded model."""

from __future__ import annotations

import pytest

from harness.model import embedded, models
from harness.model.embedded import Tiny, word_tokenizer

SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def test_a_known_word_is_one_token():
    tokenizer = word_tokenizer(("Ada lives in Oslo.", "It's 1990"))
    for word in ("Ada", "lives", "in", "Oslo", ".", "It", "'", "s", "1990"):
        assert len(tokenizer(word).input_ids) == 1
    assert tokenizer.decode(tokenizer("Ada lives in Oslo.").input_ids) == "Ada lives in Oslo."


@pytest.mark.parametrize("word", ["Quito", "zebra", "x9", "2024"])
def test_an_unknown_word_is_spelt_and_read_back(word):
    tokenizer = word_tokenizer(("Ada lives in Oslo.",))
    ids = tokenizer(f"Ada {word}").input_ids
    assert tokenizer.unk_token_id not in ids
    assert len(ids) == 1 + len(word)
    assert tokenizer.decode(ids) == f"Ada {word}"


def test_the_tokenizer_does_not_depend_on_the_order_of_texts():
    texts = ("Ada lives in Oslo.", "Bo lives in Rome.")
    assert word_tokenizer(texts).get_vocab() == word_tokenizer(texts[::-1]).get_vocab()


def test_the_end_is_a_token_of_its_own_and_is_left_out_of_texts():
    tokenizer = word_tokenizer(("Ada",))
    assert tokenizer.convert_ids_to_tokens(tokenizer.eos_token_id) == "<|end|>"
    ids = [*tokenizer("Ada").input_ids, tokenizer.eos_token_id]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Ada"


def test_the_embedded_model_begins_with_the_same_weights_every_time():
    first, second = (embedded.tiny_model(Tiny(**SMALL), 50, 0) for _ in range(2))
    assert models.weights_fingerprint(first) == models.weights_fingerprint(second)
