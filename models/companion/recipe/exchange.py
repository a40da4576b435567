"""SGD training dialogues with their values exchanged throughout: what a confirmation repeats cannot be known by heart.

python exchange.py <shared data> <model folder> <token folder> <variants>
"""

import random
import re
import sys
from collections import defaultdict
from pathlib import Path

from data import clean, is_held_back, read, save, turns_of
from words import is_held, made_up

SAME = ("True", "False", "dontcare")
SAYS = ("INFORM", "SELECT", "OFFER", "CONFIRM")


def mention(value: str):
    return re.compile(r"(?<![\w:])" + re.escape(value) + r"(?![\w:])", re.IGNORECASE)


def invented(rng, value: str) -> str:
    """Another value of the same form: digits stay digits, capitalised words become made-up ones, the rest stays."""
    if re.search(r"\d", value):
        return re.sub(r"\d", lambda m: m.group() if m.group() == "0" else str(rng.randint(1, 9)), value)
    words = [made_up(rng).capitalize() if w[:1].isupper() and len(w) > 2 else w for w in value.split(" ")]
    return " ".join(words)


def another(rng, slot: str, value: str, pool) -> str | None:
    """A value for the slot: half of them real ones of other dialogues, half invented. None where there is none."""
    for _ in range(20):
        new = rng.choice(pool[slot]) if rng.random() < 0.5 else invented(rng, value)
        if new.lower() != value.lower() and not is_held(new):
            return new
    return None


def exchanged(rng, raw, pool):
    """-> turns with new values, or None where nothing could be exchanged.

    A value is exchanged only if its first mention, word for word, is the person's or an offer: where the person says `half
    past six` and the assistant `6:30`, both stay. Times and dates always stay.
    """
    turns = turns_of(raw)
    if len(turns) != len(raw["turns"]):
        return None
    new, seen = {}, set()
    for (role, text), t in zip(turns, raw["turns"]):
        for act, slot, value in t.get("acts", ()):
            value = clean(value or "")
            if act not in SAYS or value in seen or len(value) < 3 or "time" in slot or "date" in slot or value in SAME:
                continue
            seen.add(value)
            own = role == "user" or act in ("OFFER", "INFORM")
            if own and mention(value).search(text) and (other := another(rng, slot, value, pool)):
                new[value] = other
    if not new:
        return None
    order = sorted(new, key=len, reverse=True)
    pattern = re.compile(r"(?<![\w:])(" + "|".join(map(re.escape, order)) + r")(?![\w:])", re.IGNORECASE)
    lower = {k.lower(): v for k, v in new.items()}
    return [(role, pattern.sub(lambda m: lower[m.group().lower()], text)) for role, text in turns]


def main():
    from tokenizers import Tokenizer

    root, model, out, variants = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    tok, rng, pool, raws = Tokenizer.from_file(str(model / "tokenizer.json")), random.Random(35), defaultdict(list), []
    for raw in read(root / "pretrain/sgd/train.jsonl.gz"):
        if is_held_back("sgd", raw["id"]):
            continue
        raws.append(raw)
        for t in raw["turns"]:
            for act, slot, value in t.get("acts", ()):
                if act in SAYS and len(value or "") >= 3:
                    pool[slot].append(clean(value))
    made = []
    for _ in range(variants):
        made += [{"turns": turns, "system": None} for raw in raws if (turns := exchanged(rng, raw, pool))]
    save(out, "sgd_exchanged.train", tok, made)


if __name__ == "__main__":
    main()
