"""Writes reflex scenes of the companion's generator as crossed training scenarios (JSONL): an own idea, a later
direction, and two carryings-out of which one is right. Domains, words and sentences are the generator's held-out third.

python reflex_scenes.py <pairs> <seed> > scenes.jsonl
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "companion" / "recipe"))
import generate  # noqa: E402


def exchanged(text, a, b):
    return text.replace(a, "\0").replace(b, a).replace("\0", b)


def main():
    pairs, seed = int(sys.argv[1]), sys.argv[2]
    rng = random.Random(f"reflex:{seed}")
    made = 0
    while made < pairs:
        s = generate.scene(random.Random(rng.random()), held=True, kind=generate.reflex, guided=False)
        meta = s.meta[0]
        a, b = meta["idea"], meta["direction"]
        if meta["accept"] or a.lower() in b.lower() or b.lower() in a.lower():
            continue
        turns = list(s.turns[: meta["at"]])
        if turns[-1][0] != "user" or not any(a in t for _, t in turns) or not any(b in t for _, t in turns):
            continue
        carry = s.rng.choice(generate.part(generate.P.CARRY, True))
        right, wrong = (s.fill(carry, meta["slot"], x=x) for x in (b, a))
        for side, swap in (("a", False), ("b", True)):
            said = [{"role": r, "content": exchanged(t, a, b) if swap else t} for r, t in turns]
            if s.system:
                said.insert(0, {"role": "system", "content": s.system})
            wish, idea = (a, b) if swap else (b, a)
            spans = []
            for feature, role, value in (("direction", "user", wish), ("own-idea", "assistant", idea)):
                for i, message in enumerate(said):
                    at = message["content"].find(value)
                    if message["role"] == role and at >= 0:
                        spans.append({"feature": feature, "message": i, "start": at, "end": at + len(value)})
            print(json.dumps({
                "id": f"reflex:{seed}:{made}:{side}", "kind": "listen", "messages": said, "spans": spans,
                "chosen": wrong if swap else right, "rejected": right if swap else wrong,
                "source": {"origin": "suite", "cluster": f"reflex:{seed}:{made}", "domain": s.task},
                "pair": {"id": f"reflex:{seed}:{made}", "side": side},
            }))
        made += 1


main()
