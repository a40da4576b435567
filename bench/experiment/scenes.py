"""Writes crossed training scenarios (JSONL) of the companion's generator, in its held-out third of domains, words and
sentences: each pair has the same two candidates, of which another is right on each side.

reflex   an own idea and a later direction; values exchanged
guard    push-back: what is told to do clashes with what was said before, or does not;
         invite: ideas are asked for, or a choice is told

python scenes.py <reflex pairs> <guard pairs> <seed> > scenes.jsonl
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "companion" / "recipe"))
import generate  # noqa: E402

P, part = generate.P, generate.part


def exchanged(text, a, b):
    return text.replace(a, "\0").replace(b, a).replace("\0", b)


def show(pair, side, kind, s, turns, spans, chosen, rejected):
    said = [{"role": role, "content": text} for role, text in turns]
    if s.system:
        said.insert(0, {"role": "system", "content": s.system})
    found = []
    for feature, role, words in spans:
        for i, message in enumerate(said):
            at = message["content"].find(words)
            if message["role"] == role and at >= 0:
                found.append({"feature": feature, "message": i, "start": at, "end": at + len(words)})
    print(json.dumps({
        "id": f"{pair}:{side}", "kind": kind, "messages": said, "spans": found, "chosen": chosen, "rejected": rejected,
        "source": {"origin": "suite", "cluster": pair, "domain": s.task}, "pair": {"id": pair, "side": side},
    }))


def reflex(rng, pair):
    """False when the scene drawn is of no use."""
    s = generate.scene(random.Random(rng.random()), held=True, kind=generate.reflex, guided=False)
    meta = s.meta[0]
    a, b = meta["idea"], meta["direction"]
    if meta["accept"] or a.lower() in b.lower() or b.lower() in a.lower():
        return False
    turns = list(s.turns[: meta["at"]])
    if turns[-1][0] != "user" or not any(a in t for _, t in turns) or not any(b in t for _, t in turns):
        return False
    carry = s.rng.choice(part(P.CARRY, True))
    of_b, of_a = (s.fill(carry, meta["slot"], x=x) for x in (b, a))
    show(pair, "a", "listen", s, turns, [("direction", "user", b), ("own-idea", "assistant", a)], of_b, of_a)
    turns = [(role, exchanged(text, a, b)) for role, text in turns]
    show(pair, "b", "listen", s, turns, [("direction", "user", a), ("own-idea", "assistant", b)], of_a, of_b)
    return True


def opened(rng):
    s = generate.Scene(random.Random(rng.random()), held=True)
    s.neutral(0.1)
    s.open()
    return s


def push_back(rng, pair):
    s = opened(rng)
    clashes = [clash for clash in part(P.CLASHES, True) if clash[4]]
    kind, fact, order, refusal, fine = s.rng.choice(clashes)
    x, y = s.value(kind), s.value(kind)
    head, order = list(s.turns), s.fill(order, v=x)
    s.turns = []
    for _ in range(s.rng.choice((0, 1, 1, 2))):
        s.filler(s.slots)
    refuses, carries = s.fill(refusal, x=x), s.fill(fine, x=x, y=x)
    for side, kind, told, right, wrong in (("a", "push-back", x, refuses, carries), ("b", "listen", y, carries, refuses)):
        turns = [*head, ("user", s.fill(fact, x=told)), ("assistant", "Good to know."), *s.turns, ("user", order)]
        show(pair, side, kind, s, turns, [("direction", "user", order)], right, wrong)
    return True


def invite(rng, pair):
    s = opened(rng)
    if s.rng.random() < 0.4:
        s.give(*s.slots[-1])
    slot, kind = s.slots[0]
    x, y = s.value(kind), s.value(kind)
    gives, carries = s.line(P.GIVE_IDEAS, slot, x=x, y=y), s.line(P.CARRY, slot, x=x)
    asks, directs = s.line(P.ASK_IDEAS, slot), s.line(P.DIRECT, slot, x=x)
    for side, kind, last, right, wrong in (("a", "invite", asks, gives, carries), ("b", "listen", directs, carries, gives)):
        show(pair, side, kind, s, [*s.turns, ("user", last)], [("direction", "user", last)], right, wrong)
    return True


def write(count, rng, name, kinds):
    made = 0
    while made < count:
        made += kinds[made % len(kinds)](rng, f"{name}:{made}")


seed = sys.argv[3]
write(int(sys.argv[1]), random.Random(f"reflex:{seed}"), f"reflex:{seed}", [reflex])
write(int(sys.argv[2]), random.Random(f"guard:{seed}"), f"guard:{seed}", [push_back, invite])
