"""The tokenizer: byte-level pair encoding in CLIP's file format, learned from the demo's own sentences."""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

TRAINER_SYMBOLS = 762
LONGEST_PROMPT = 32
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def train_tokenizer(prompts: Iterable[str]) -> CLIPTokenizer:
    """A CLIPTokenizer whose merges are learned from these prompts; any text can be encoded, byte by byte."""
    merges = _learn_merges(prompts)
    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(letter + WORD_END for letter in alphabet), *(a + b for a, b in merges), START, END]
    vocabulary = {word: place for place, word in enumerate(words)}
    with TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
        Path(folder, "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
        return CLIPTokenizer.from_pretrained(folder, model_max_length=LONGEST_PROMPT)


def _learn_merges(prompts: Iterable[str]) -> list[tuple[str, str]]:
    tokenizer = Tokenizer(BPE(end_of_word_suffix=WORD_END))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Sequence(
        [
            Split(Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), "removed", invert=True),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=TRAINER_SYMBOLS,
        initial_alphabet=alphabet,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    tokenizer.train_from_iterator(prompts, trainer)
    return [(first, second) for first, second in json.loads(tokenizer.to_str())["model"]["merges"]]
