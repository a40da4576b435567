"""The chat format: control tokens, the template, and a whole conversation as ids; knows nothing of training or data."""

from tokenizers import Tokenizer

SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>",
           "<|reserved_0|>", "<|reserved_1|>"]
PAD, BOS, END, SYSTEM, USER, ASSISTANT = range(6)
ROLE = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}

# <|bos|> stands in the template and the tokenizer adds nothing itself: it can never be doubled.
CHAT_TEMPLATE = (
    "{{ '<|bos|>' }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def render(tokenizer: Tokenizer, dialogue, system: str | None = None) -> list[int]:
    """A whole conversation -> ids, exactly as the chat template renders it. dialogue: [(role, text)]."""
    turns = ([("system", system)] if system else []) + list(dialogue)
    ids = [BOS]
    encoded = tokenizer.encode_batch([text for _, text in turns], add_special_tokens=False)
    for (role, _), e in zip(turns, encoded):
        ids += [ROLE[role], *e.ids, END]
    return ids
