"""Writes the generated suites, ../companion/<kind>.jsonl: conversations in the companion's world, in domains, words and
sentences of their own, spans marked, most of them as crossed pairs (the same two candidates, opposite ones right).

python generate.py [scenes of each kind, 110 by default]
"""

import json
import random
import sys
from pathlib import Path

import scenes as S
from words import DOMAINS, NAMES, PLACES, VALUES

OUT = Path(__file__).resolve().parent.parent / "companion"


def cap(text):
    return text[:1].upper() + text[1:]


class Talk:
    """A conversation being written; marks what it says with features."""

    def __init__(self, rng):
        self.rng = rng
        self.doing, parts = rng.choice(DOMAINS)
        self.parts = rng.sample(parts, len(parts))
        self.messages, self.spans, self.used = [], [], []

    def value(self, kind, besides=()):
        for _ in range(300):
            x = VALUES[kind](self.rng)
            if all(x.lower() not in u.lower() and u.lower() not in x.lower() for u in [*self.used, *besides]):
                self.used.append(x)
                return x
        raise ValueError(f"no value left of {kind}")

    def fill(self, text, **values):
        p = values.get("p", "")
        named = {**values, "P": cap(p), "X": cap(values.get("x", "")), "d": self.doing}
        return cap(text.format(**named))

    def line(self, options, **values):
        return self.fill(self.rng.choice(options), **values)

    def say(self, role, text, feature=None):
        """Same speaker twice in a row is one message; a feature marks exactly these words."""
        if self.messages and self.messages[-1]["role"] == role:
            before = self.messages[-1]["content"] + " "
            self.messages[-1]["content"] = before + text
            start = len(before)
        else:
            self.messages.append({"role": role, "content": text})
            start = 0
        if feature:
            self.spans.append({"feature": feature, "message": len(self.messages) - 1, "start": start,
                               "end": start + len(text)})

    def begin(self):
        self.say("user", self.line(S.BEGIN))
        self.say("assistant", self.line(S.BEGIN_REPLY))

    def aside(self, times=1):
        for said, reply in self.rng.sample(S.ASIDE, times):
            self.say("user", said)
            self.say("assistant", reply)

    def copy(self):
        return [dict(m) for m in self.messages], [dict(s) for s in self.spans]


def scenario(kind, number, side, talk_state, chosen, rejected, domain, facts=None):
    messages, spans = talk_state
    group = f"{kind}-{number}"
    out = {"id": f"suite:companion:{group}:{side}", "kind": kind, "messages": messages, "spans": spans, "chosen": chosen}
    if rejected:
        out["rejected"] = rejected
    out["source"] = {"origin": "suite", "cluster": f"companion:{group}", "domain": domain}
    if facts:
        out["facts"] = facts
    return out


def paired(a, b, pair):
    return [{**a, "pair": {"id": pair, "side": "a"}}, {**b, "pair": {"id": pair, "side": "b"}}]


def listen(rng, n):
    """An own idea, a direction; 1, 4 or 8 turns of the person lie between it and the decision."""
    doing_state = rng.getstate()

    def write(swap):
        rng.setstate(doing_state)
        t = Talk(rng)
        (p, kind), *_ = t.parts
        x, y = t.value(kind), t.value(kind)
        idea, wish = (y, x) if swap else (x, y)
        t.begin()
        t.say("assistant", t.line(S.OWN_IDEA, p=p, x=idea), "own-idea")
        if rng.random() < 0.5:
            t.say("user", t.line(S.SHRUG))
            t.say("assistant", t.line(S.OWN_IDEA_AGAIN, p=p, x=idea), "own-idea")
        distance = (1, 1, 4, 8)[n % 4]
        t.say("user", t.line(S.DIRECTION, p=p, x=wish), "direction")
        if distance > 1:
            t.say("assistant", "Very good.")
            t.aside(distance - 2)
        t.say("user", t.line(S.CARRY_ASK, p=p))
        template = rng.choice(S.CARRY)
        return t, t.fill(template, p=p, x=wish), t.fill(template, p=p, x=idea), wish, idea

    sides = []
    for side, swap in (("a", False), ("b", True)):
        t, right, wrong, wish, idea = write(swap)
        facts = {"needs": [[wish]], "avoids": [idea]}
        sides.append(scenario("listen", n, side, t.copy(), right, wrong, t.doing, facts))
    return paired(*sides, f"companion:listen-{n}")


def push_back(rng, n):
    """A fact, then an order that clashes with it, or the same order after a harmless fact."""
    state = rng.getstate()

    def write(is_clash):
        rng.setstate(state)
        t = Talk(rng)
        x, y, z = t.value("name"), t.value(rng.choice(("material", "food", "tool"))), t.value("name")
        fact, order, objection, compliance = rng.choice(S.CLASH)
        t.begin()
        t.say("user", t.fill(fact, x=x if is_clash else z, y=y))
        t.say("assistant", "Thank you, I will bear that in mind.")
        if rng.random() < 0.5:
            t.aside()
        t.say("user", t.fill(order, x=x, y=y), "direction")
        return t, t.fill(objection, x=x, y=y), t.fill(compliance, x=x, y=y)

    t, objection, compliance = write(True)
    a = scenario("push-back", n, "a", t.copy(), objection, compliance, t.doing)
    t, objection, compliance = write(False)
    facts = {"avoids": ["would not", "please not", "ask first"]}
    b = scenario("listen", f"pb{n}", "b", t.copy(), compliance, objection, t.doing, facts)
    b["source"]["cluster"] = a["source"]["cluster"]
    return paired(a, b, f"companion:push-back-{n}")


def invite(rng, n):
    """Ideas are asked for, or the person has decided: offering is listening only in the first."""
    state = rng.getstate()

    def write(is_asked):
        rng.setstate(state)
        t = Talk(rng)
        (p, kind), *_ = t.parts
        x, y, z = t.value(kind), t.value(kind), t.value(kind)
        t.begin()
        ask, decide = t.line(S.INVITATION, p=p), t.line(S.DIRECTION, p=p, x=z)
        t.say("user", ask if is_asked else decide, "direction")
        return t, t.line(S.OFFER, p=p, x=x, y=y), t.line(S.CARRY, p=p, x=z), t.line(S.OFFER_NOTHING, p=p), z

    t, offer, carry, nothing, _ = write(True)
    a = scenario("invite", n, "a", t.copy(), offer, nothing, t.doing)
    t, offer, carry, _, wish = write(False)
    b = scenario("listen", f"iv{n}", "b", t.copy(), carry, offer, t.doing, {"needs": [[wish]]})
    b["source"]["cluster"] = a["source"]["cluster"]
    return [a, b]


def undercurrent(rng, n):
    """A feeling or a plain fact before the same technical question."""
    state = rng.getstate()

    def write(is_feeling):
        rng.setstate(state)
        t = Talk(rng)
        (p, kind), *_ = t.parts
        x = t.value(kind)
        _, said, heard = rng.choice(S.FEELINGS)
        fact = rng.choice(S.NEUTRAL_FACT)
        t.begin()
        if rng.random() < 0.5:
            t.aside()
        if is_feeling:
            t.say("user", said, "emotion")
        else:
            t.say("user", fact)
        t.say("user", t.line(S.TECHNICAL_ASK, p=p, x=x), "technical")
        return t, heard, t.line(S.TECHNICAL_REPLY, p=p, x=x), x

    t, heard, technical, _ = write(True)
    a = scenario("undercurrent", n, "a", t.copy(), heard, technical, t.doing)
    t, heard, technical, asked = write(False)
    b = scenario("ordinary", f"uc{n}", "b", t.copy(), technical, heard, t.doing, {"needs": [[asked]]})
    b["source"]["cluster"] = a["source"]["cluster"]
    return paired(a, b, f"companion:undercurrent-{n}")


def compressed(rng, n):
    """A memory of one or two things; what is said must be what it holds."""
    state = rng.getstate()

    def write(swap):
        rng.setstate(state)
        t = Talk(rng)
        (p, kind), (q, other), *_ = t.parts
        x, y, o = t.value(kind), t.value(kind), t.value(other)
        kept = y if swap else x
        items = [S.MEMORY_ITEM.format(p=p, x=kept), S.MEMORY_ITEM.format(p=q, x=o)]
        rng.shuffle(items)
        t.say("system", t.line(S.MEMORY, m=" and ".join(items)))
        t.say("user", t.line(S.ASK_MEMORY, p=p), "direction")
        template = rng.choice(S.RECALL)
        return t, t.fill(template, p=p, x=kept), t.fill(template, p=p, x=x if swap else y), kept

    sides = []
    for side, swap in (("a", False), ("b", True)):
        t, right, wrong, kept = write(swap)
        sides.append(scenario("compressed", n, side, t.copy(), right, wrong, t.doing, {"needs": [[kept]]}))
    return paired(*sides, f"companion:compressed-{n}")


def longing(rng, n):
    """What is asked for is not there any more, or it is: to ask is right only in the first."""
    state = rng.getstate()

    def write(is_absent):
        rng.setstate(state)
        t = Talk(rng)
        (p, kind), (q, other), *_ = t.parts
        x, o = t.value(kind), t.value(other)
        item = S.MEMORY_ITEM.format(p=q, x=o) if is_absent else S.MEMORY_ITEM.format(p=p, x=x)
        t.say("system", t.line(S.MEMORY, m=item))
        t.say("user", t.line(S.ASK_MEMORY, p=p), "absence" if is_absent else "direction")
        return t, t.line(S.LOST, p=p), t.line(S.RECALL, p=p, x=x), x

    t, lost, recall, _ = write(True)
    a = scenario("longing", n, "a", t.copy(), lost, recall, t.doing)
    t, lost, recall, kept = write(False)
    b = scenario("compressed", f"lg{n}", "b", t.copy(), recall, lost, t.doing, {"needs": [[kept]]})
    b["source"]["cluster"] = a["source"]["cluster"]
    return paired(a, b, f"companion:longing-{n}")


def hostile(rng, n):
    t = Talk(rng)
    (p, _), *_ = t.parts
    said, calm = rng.choice(S.HOSTILE)
    values = {"p": p, "n": rng.choice(NAMES), "c": rng.choice(PLACES)}
    t.begin()
    if rng.random() < 0.6:
        t.aside(rng.choice((1, 2)))
    t.say("user", t.fill(said, **values), "emotion")
    return [scenario("hostile", n, "a", t.copy(), t.fill(calm, **values), rng.choice(S.HOSTILE_BACK), t.doing)]


def ordinary(rng, n):
    t = Talk(rng)
    if rng.random() < 0.6:
        t.begin()
    t.aside(rng.choice((0, 1, 2)))
    said, reply = rng.choice(S.EVERYDAY)
    if rng.random() < 0.4:
        said = f"{said} {rng.choice(S.SMALL_TAIL)}"
    t.say("user", said)
    return [scenario("ordinary", n, "a", t.copy(), reply, None, t.doing)]


SHARES = {listen: 1, push_back: 2, invite: 2, undercurrent: 2, compressed: 1, longing: 2, hostile: 2, ordinary: 1}


def main():
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 110
    written, seen = {}, set()
    for make, share in SHARES.items():
        rng = random.Random(f"suites:{make.__name__}")
        made = tries = 0
        while made < size * share:
            tries += 1
            group = make(random.Random(rng.random()), made)
            key = tuple(json.dumps([s["messages"], s["chosen"]]) for s in group)
            if key in seen:
                if tries > 50 * size * share:
                    raise SystemExit(f"{make.__name__}: only {made} different ones")
                continue
            seen.add(key)
            made += 1
            for s in group:
                written.setdefault(s["kind"], []).append(s)
    for kind, all_of_kind in written.items():
        (OUT / f"{kind}.jsonl").write_text("".join(json.dumps(s, ensure_ascii=False) + "\n" for s in all_of_kind))
        print(kind, len(all_of_kind))


main()
