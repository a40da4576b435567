"""Trains the byte-level BPE tokenizer, and writes it with its chat template in Hugging Face's layout; knows nothing of the model."""

import json
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 4096
SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>",
           "<|reserved_0|>", "<|reserved_1|>"]
PAD, BOS, END, SYSTEM, USER, ASSISTANT = range(6)
ROLE = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}

# Each digit stands alone, so that any number is a run of known tokens and copying it is exact.
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

# <|bos|> stands in the template and the tokenizer adds nothing itself: it can never be doubled.
CHAT_TEMPLATE = (
    "{{ '<|bos|>' }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train(texts, folder: Path):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 1024,
        "bos_token": "<|bos|>", "eos_token": "<|end|>", "pad_token": "<|pad|>",
        "additional_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>"],
        "add_bos_token": False, "add_eos_token": False, "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def render(tokenizer: Tokenizer, dialogue, system: str | None = None) -> list[int]:
    """A whole conversation -> ids, exactly as the chat template renders it. dialogue: [(role, text)]."""
    turns = ([("system", system)] if system else []) + list(dialogue)
    ids = [BOS]
    encoded = tokenizer.encode_batch([text for _, text in turns], add_special_tokens=False)
    for (role, _), e in zip(turns, encoded):
        ids += [ROLE[role], *e.ids, END]
    return ids


if __name__ == "__main__":
    from data import real_sets  # python tokenizer.py <shared data> <model folder>

    def texts():
        for name, dialogues in real_sets(Path(sys.argv[1])).items():
            for d in dialogues["train"][:: 3 if name == "self_dialogue" else 1]:
                yield from (text for _, text in d["turns"])

    train(texts(), Path(sys.argv[2]))
