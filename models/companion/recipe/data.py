"""Reads the real dialogue sets, holds back what must stay unseen, and stores every set as token ids."""

import gzip
import json
import re
import sys
from pathlib import Path
from zlib import crc32

import numpy as np

from chat import END, render

SETS = {
    "sgd": "pretrain/sgd/train", "self_dialogue": "pretrain/self_dialogue/dialogues",
    "star": "pretrain/star/dialogues", "persona": "pretrain/synthetic_persona_chat/valid_test",
    "topical": "pretrain/topical_chat/valid_test",
    "taskmaster3": "pretrain/taskmaster/tm3_trainbc_contexts",
    "taskmaster4": "pretrain/taskmaster/tm4_dialogues",
}
TOKENS_MAX = 1024


def read(path: Path):
    with gzip.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            yield json.loads(line)


def is_held_back(name: str, dialogue_id: str) -> bool:
    """SGD: a third, for nights and their flags (the rule of the data's README). Else: 5 % by hash."""
    h = crc32(str(dialogue_id).encode())
    return h % 3 == 0 if name == "sgd" else h % 20 == 0


def clean(text: str) -> str:
    text = text.replace('""', '"').replace("\u2019", "'").replace("\u2018", "'")
    text = text.replace("\u201c", '"').replace("\u201d", '"')
    return re.sub(r"\s+", " ", text).strip()


def turns_of(raw) -> list[tuple[str, str]]:
    """User first, roles strictly alternating (neighbours of one role are joined), guides stripped."""
    turns: list[tuple[str, str]] = []
    for t in raw["turns"]:
        text = clean(t["text"])
        if t["role"] not in ("user", "assistant") or not text:
            continue
        if turns and turns[-1][0] == t["role"]:
            turns[-1] = (t["role"], turns[-1][1] + " " + text)
        elif turns or t["role"] == "user":
            turns.append((t["role"], text))
    return turns


def system_of(name: str, raw) -> str | None:
    """Three persona talks in ten show the assistant's persona as a system message."""
    if name == "persona" and crc32(b"p" + raw["id"].encode()) % 10 < 3:
        return clean(raw["persona_assistant"].replace("\n", " "))
    return None


def real_sets(root: Path):
    """-> {set: {"train": [dialogue], "held": [dialogue]}}, dialogue = {id, system, turns}."""
    result = {}
    for name, path in SETS.items():
        parts = {"train": [], "held": []}
        for raw in read(root / f"{path}.jsonl.gz"):
            turns = turns_of(raw)
            if len(turns) < 2 or max(len(t) for _, t in turns) > 1500:
                continue
            part = "held" if is_held_back(name, raw["id"]) else "train"
            parts[part].append({"id": str(raw["id"]), "system": system_of(name, raw), "turns": turns})
        result[name] = parts
    dev = [{"id": str(r["id"]), "system": None, "turns": turns_of(r)}
           for r in read(root / "pretrain/sgd/dev.jsonl.gz")]
    result["sgd"]["held"] = dev  # perplexity on SGD is measured on dev; the held-back third is not touched
    return result


def encode(tokenizer, dialogues):
    """-> flat uint16 ids and int64 offsets; too long ones end at the last whole turn that fits."""
    flat, offsets = [], [0]
    for d in dialogues:
        ids = render(tokenizer, d["turns"], d["system"])
        if len(ids) > TOKENS_MAX:
            ends = [i for i in range(TOKENS_MAX) if ids[i] == END]
            ids = ids[: ends[-1] + 1] if ends else []
        if ids:
            flat.append(np.array(ids, dtype=np.uint16))
            offsets.append(offsets[-1] + len(ids))
    return np.concatenate(flat), np.array(offsets)


def save(folder: Path, name: str, tokenizer, dialogues):
    ids, offsets = encode(tokenizer, dialogues)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", ids=ids, offsets=offsets)
    print(f"{name}: {len(offsets) - 1:,} dialogues, {len(ids):,} tokens", flush=True)


if __name__ == "__main__":
    from tokenizers import Tokenizer  # python data.py <shared data> <model folder> <out>

    tok = Tokenizer.from_file(str(Path(sys.argv[2]) / "tokenizer.json"))
    for set_name, both in real_sets(Path(sys.argv[1])).items():
        for part_name, dialogues in both.items():
            save(Path(sys.argv[3]), f"{set_name}.{part_name}", tok, dialogues)
