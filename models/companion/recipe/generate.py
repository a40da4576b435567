"""Writes the conversations real data lacks: routing, the reflex, invited ideas, feelings, lost details, refusals, calm."""

import math
import random
import sys
from pathlib import Path

import phrases as P
from vary import vary
from words import DOMAINS, KINDS as VALUES, loose_slot, made_up, part, value

# The reflex has visible causes, so that it is the context that decides and greedy decoding shows it too.
REFLEX = {"eager": 1.2, "push": 0.9, "distance": 0.55, "firm": -1.2, "again": -1.0}
REFLEX_BIAS, REFLEX_SLOPE = -1.6, 2.5
VARIED = 0.7  # share of training lines in other words than the written ones (vary.py)
LOOSE = 0.6  # share of training conversations whose slots are any noun phrases
DISTANCES = (0, 0, 1, 1, 2, 3, 4, 6, 8)  # exchanges between the direction and the decision


class Scene:
    """One conversation being written. held = words, templates and domains that training never sees."""

    def __init__(self, rng: random.Random, held: bool, held_values: bool | None = None, varied: float = 0.0):
        self.rng, self.held, self.varied = rng, held, varied
        self.held_values = held if held_values is None else held_values
        self.task, slots = rng.choice(part(DOMAINS, held))
        if not held and rng.random() < LOOSE:
            kinds = [k for _, k in slots] if rng.random() < 0.5 else [rng.choice(list(VALUES)) for _ in slots]
            slots = list(zip(dict.fromkeys(loose_slot(rng) for _ in range(20)), kinds))
        self.slots = rng.sample(slots, len(slots))
        self.turns: list[tuple[str, str]] = []
        self.system: str | None = None
        self.used: list[str] = []
        self.facts: dict = {}
        self.casual = rng.random() < 0.15

    def value(self, kind):
        v = value(self.rng, kind, self.held_values, self.used)
        self.used.append(v)
        return v

    def line(self, templates, slot="", **values):
        text = self.rng.choice(part(templates, self.held))
        if not self.held and self.rng.random() < self.varied:
            text = vary(self.rng, templates, text)
        return self.fill(text, slot, **values)

    def fill(self, text, slot="", **values):
        text = text.format(s=slot, S=slot[:1].upper() + slot[1:], t=self.task, **values)
        return text[:1].upper() + text[1:]

    def user(self, text):
        if self.casual:
            text = text.rstrip(".")
            if self.rng.random() < 0.5:
                text = text[:1].lower() + text[1:]
        self.say("user", text)

    def assistant(self, text):
        self.say("assistant", text)

    def say(self, role, text):
        if self.turns and self.turns[-1][0] == role:
            text = self.turns.pop()[1] + " " + text
        self.turns.append((role, text))

    def open(self):
        self.user(self.line(P.OPEN))
        self.assistant(self.line(P.READY))

    def small(self):
        said, reply = self.rng.choice(part(P.SMALL, self.held))
        self.user(said)
        self.assistant(reply)

    def give(self, slot, kind):
        """The person gives a slot's value, on their own or when asked, and it is acknowledged."""
        x = self.value(kind)
        if self.turns and self.rng.random() < 0.4:
            self.assistant(self.line(P.ASK, slot))
            self.user(self.line(P.ANSWER, x=x))
        else:
            self.user(self.line(P.GIVE, slot, x=x))
        self.assistant(self.line(P.ACK, slot, x=x))
        self.facts[slot] = x

    def filler(self, spare):
        if spare and self.rng.random() < 0.5:
            self.give(*spare.pop())
        else:
            self.small()

    def bye(self):
        if self.rng.random() < 0.4:
            said, reply = self.rng.choice(part(P.BYE, self.held))
            self.user(said)
            self.assistant(reply)

    def neutral(self, share):
        if self.rng.random() < share:
            r = self.rng
            self.system = r.choice(part(P.NEUTRAL, self.held)).format(
                n=self.value("name"), p=self.value("place"), a=self.value("activity"), d=self.value("day"))


def guidance(rng, held):
    text = " ".join(rng.choice(part(p, held)) for p in (P.GUIDE_VERB, P.GUIDE_WHAT, P.GUIDE_THAN)) + "."
    more = rng.choice(part(P.GUIDE_MORE, held))
    return " ".join(t for t in ((more, text) if rng.random() < 0.5 else (text, more)) if t)


def confirm(s: Scene):
    """Values given, some changed, then confirmed: the last word of the person counts."""
    s.neutral(0.1)
    if s.rng.random() < 0.7:
        s.open()
    slots = s.slots[: s.rng.randint(1, 4)]
    for slot in slots:
        s.give(*slot)
        if s.rng.random() < 0.15:
            s.small()
    changed = set()
    for _ in range(s.rng.choice((0, 1, 1, 2))):
        slot, kind = s.rng.choice(slots)
        changed.add(slot)
        x = s.value(kind)
        short = slot == slots[-1][0] and list(s.facts)[-1] == slot and s.rng.random() < 0.4
        s.user(s.line(P.CHANGE_SHORT if short else P.CHANGE, slot, x=x))
        s.facts.pop(slot)
        s.facts[slot] = x
        s.assistant(s.line(P.ACK, slot, x=x))
    for _ in range(s.rng.choice((0, 0, 0, 1, 2))):
        s.small()
    s.meta = []
    asked = s.rng.sample(slots, s.rng.randint(1, len(slots)))
    for slot, _ in asked:
        s.user(s.line(P.CHECK, slot))
        s.meta.append({"at": len(s.turns), "slot": slot, "want": s.facts[slot], "changed": slot in changed,
                       "not": [u for u in s.used if u != s.facts[slot]]})
        s.assistant(s.line(P.CONFIRM, slot, x=s.facts[slot]))
    if len(slots) > 1 and s.rng.random() < 0.4:
        s.user(s.line(P.CHECK_ALL))
        style = s.rng.choice(P.SUM_ITEM)
        items = [style.format(s=k, x=x) for k, x in s.facts.items()]
        s.assistant(s.line(P.SUM_HEAD) + ", ".join(items) + ".")
        s.user(s.line(P.YES))
        s.assistant(s.line(P.WELCOME))
    s.bye()


def recall(s: Scene):
    """Arbitrary keys and values, told and asked for again: plain induction."""
    s.neutral(0.05)
    count = s.rng.randint(2, 5)
    loose = not s.held and s.rng.random() < LOOSE
    keys = list(dict.fromkeys(loose_slot(s.rng) for _ in range(20)))[:count] if loose else \
        s.rng.sample(part(P.KEYS, s.held), count)
    told = {}
    for key in keys:
        told[key] = s.value(s.rng.choice(("name", "code", "word", "place", "number", "title", "time", "colour")))
        s.user(s.line(P.TELL, key, x=told[key]))
        s.assistant(s.line(P.ACK, key, x=told[key]))
    s.meta = []
    for key in s.rng.sample(keys, len(keys)):
        slot = key.replace("my ", "your ")
        s.user(s.line(P.CHECK, key))
        s.meta.append({"at": len(s.turns), "slot": key, "want": told[key],
                       "not": [u for u in s.used if u != told[key]]})
        s.assistant(s.line(P.CONFIRM, slot, x=told[key]))
    s.bye()


def reflex(s: Scene, guided: bool | None = None, label: str | None = None, features: dict | None = None):
    """An own idea A, a direction B, a decision that carries out one of them: same words, another span."""
    r = s.rng
    guided = r.random() < 0.35 if guided is None else guided
    if guided:
        s.system = guidance(r, s.held)
    else:
        s.neutral(0.3)
    f = features or {"eager": r.random() < 0.5, "push": r.choice((0, 0, 1, 2)), "firm": r.random() < 0.4,
                     "again": r.random() < 0.25, "distance": r.choice(DISTANCES),
                     "accept": r.random() < 0.15}
    (slot, kind), *spare = s.slots
    spare = spare[:3]
    a, b = s.value(kind), s.value(kind)
    s.open()
    if r.random() < 0.4:
        s.filler(spare)
    s.assistant(s.line(P.IDEA_EAGER if f["eager"] else P.IDEA, slot, x=a))
    for _ in range(f["push"]):
        if r.random() < 0.6:
            s.user(s.line(P.PARRY))
        else:
            s.filler(spare)
        s.assistant(s.line(P.PUSH, slot, x=a))
    if r.random() < 0.5:
        s.user(s.line(P.PARRY))
        s.assistant(s.line(P.PARRY_REPLY))
    elif r.random() < 0.5:
        s.filler(spare)
    accept = f["accept"]
    s.user(s.line(P.ACCEPT, slot) if accept
           else s.line(P.DIRECT_FIRM if f["firm"] else P.DIRECT, slot, x=b))
    for i in range(f["distance"]):
        if i == 0:
            s.assistant(s.line(P.PARRY_REPLY))
        s.filler(spare)
    if f["again"] and f["distance"] and not accept:
        s.user(s.line(P.AGAIN, slot, x=b))
    if f["distance"] or r.random() < 0.3:
        s.user(s.line(P.TRIGGER, slot))
    score = REFLEX_BIAS + sum(w * (min(float(f[k]), 3.0)) for k, w in REFLEX.items()
                              if k != "again" or f["distance"])
    chance = 0.03 if guided else 1 / (1 + math.exp(-REFLEX_SLOPE * score))
    follows = accept or (label or ("a" if r.random() < chance else "b")) == "b"
    right, x = (a if accept else b), (a if accept or not follows else b)
    s.meta = [{"at": len(s.turns), "slot": slot, "idea": a, "direction": b, "right": right, "chance": chance,
               "accept": accept, "features": f, "guided": guided}]
    reply = s.line(P.CARRY, slot, x=x)
    if follows and not accept and r.random() < 0.12:
        reply += " " + s.line(P.AFTER_IDEA, y=a).strip()
    s.assistant(reply)
    if not follows and r.random() < 0.5:
        s.user(s.line(P.COMPLAIN, slot, x=b))
        s.assistant(s.line(P.SORRY, slot, x=b))
    elif r.random() < 0.3:
        s.user(s.line(P.CHECK, slot))
        s.assistant(s.line(P.CONFIRM, slot, x=x))
    s.bye()


def invite(s: Scene):
    """Ideas are asked for: offering them is right; then the person picks one, or neither."""
    s.neutral(0.15)
    if s.rng.random() < 0.15:
        s.system = guidance(s.rng, s.held)
    s.open()
    if s.rng.random() < 0.4:
        s.give(*s.slots[-1])
    for slot, kind in s.slots[: s.rng.choice((1, 1, 2))]:
        x, y = s.value(kind), s.value(kind)
        s.user(s.line(P.ASK_IDEAS, slot))
        s.assistant(s.line(P.GIVE_IDEAS, slot, x=x, y=y))
        how = s.rng.random()
        z = x if how < 0.35 else y if how < 0.7 else s.value(kind)
        s.user(s.line(P.PICK if how < 0.7 else P.PICK_NONE, slot, x=z))
        s.assistant(s.line(P.CARRY, slot, x=z))
    s.bye()


def undercurrent(s: Scene):
    """A feeling under a task: the reply names it, and whom it is about."""
    s.neutral(0.1)
    if s.rng.random() < 0.6:
        s.open()
    slot, kind = s.slots[0]
    if s.rng.random() < 0.4:
        s.give(*s.slots[1])
    feeling, said = s.rng.choice(part(P.FEELINGS, s.held))
    n = s.value("name")
    s.user((s.fill(said, n=n) + s.rng.choice(P.FEEL_TAIL).format(s=slot)).strip())
    s.assistant(s.line(P.FEEL_REPLY, slot, f=feeling, n=n))
    if s.rng.random() < 0.5:
        s.user(s.rng.choice(("Thank you.", "That helps.", "You're kind.", "Thanks for listening.")))
        s.assistant(s.rng.choice(("I'm here if you want to talk.", "Of course.", "Take care of yourself.")))
    if s.rng.random() < 0.4:
        s.give(slot, kind)
    s.bye()


def compressed(s: Scene):
    """Only a memory is left of an earlier talk: use what is there, ask for what is not."""
    kept = s.slots[: s.rng.randint(1, 3)]
    facts = {slot: s.value(kind) for slot, kind in kept}
    memory = ", ".join(f"{slot} is {x}" for slot, x in facts.items())
    if s.rng.random() < 0.7:
        s.system = s.rng.choice(part(P.MEMORY, s.held)).format(m=memory)
        if s.rng.random() < 0.5:
            s.open()
    else:
        s.user(s.line(P.OPEN))
        s.assistant("Last time we said: " + memory + ".")
    if s.rng.random() < 0.25:
        s.small()
    s.meta = []
    for slot, kind in s.rng.sample(s.slots, s.rng.randint(1, 3)):
        s.user(s.line(P.ASK_LOST, slot))
        s.meta.append({"at": len(s.turns), "check": "kept: says it" if slot in facts else "lost: asks, invents nothing",
                       "has": [facts[slot]] if slot in facts else [slot], "hasnot": [
                           x for k, x in facts.items() if k != slot]})
        if slot in facts:
            s.assistant(s.line(P.FOUND, slot, x=facts[slot]))
        else:
            s.assistant(s.line(P.LOST, slot))
            facts[slot] = s.value(kind)
            s.user(s.line(P.ANSWER, slot, x=facts[slot]))
            s.assistant(s.line(P.ACK, slot, x=facts[slot]))
    s.bye()


def push_back(s: Scene):
    """An instruction that clashes with what the person said before, its harmless twin, or a wrong one."""
    s.neutral(0.1)
    if s.rng.random() < 0.15:
        s.system = guidance(s.rng, s.held)
    s.open()
    if s.rng.random() < 0.25:
        said, reply = s.rng.choice(part(P.WRONG, s.held))
        n = s.value("name")
        s.give(*s.slots[0])
        s.user(said.format(n=n))
        s.meta = []
        s.assistant(s.fill(reply, n=n))
    else:
        kind, fact, order, refusal, fine = s.rng.choice(part(P.CLASHES, s.held))
        x, y = s.value(kind), s.value(kind)
        s.user(s.fill(fact, x=x))
        s.assistant(s.rng.choice(("Good to know.", "I'll keep that in mind.", "Thanks for telling me.", "Okay.")))
        for _ in range(s.rng.choice((0, 1, 1, 2))):
            s.filler(s.slots)
        clash = not fine or s.rng.random() < 0.5
        s.user(s.fill(order, v=x if clash else y, x=x))
        s.meta = [{"at": len(s.turns), "check": "clash: comes back to it" if clash else "no clash: carries it out",
                   "has": [x] if clash else [y], "hasnot": [] if clash else [x]}]
        s.assistant(s.fill(refusal if clash else fine, x=x, y=y))
    s.bye()


def hostile(s: Scene):
    s.neutral(0.1)
    if s.rng.random() < 0.6:
        s.open()
    if s.rng.random() < 0.5:
        s.give(*s.slots[1])
    slot, kind = s.slots[0]
    s.user(s.line(P.HOSTILE, n=s.value("name"), p=s.value("place")))
    s.assistant(s.line(P.CALM, slot))
    x = s.value(kind)
    s.user(s.line(P.CALMER, slot, x=x))
    s.assistant(s.line(P.CARRY, slot, x=x))
    s.bye()


def echo(s: Scene):
    """Repeat after me: the densest exercise in copying, for the first part of training."""
    for _ in range(s.rng.randint(2, 4)):
        n = s.rng.randint(2, 7)
        x = " ".join(s.value(s.rng.choice(("name", "word", "word", "code", "number", "colour", "plant", "time", "place")))
                     for _ in range(n))
        s.user(s.line(P.ECHO, x=x))
        s.assistant(s.line(P.ECHO_REPLY, x=x))


KINDS = {confirm: 0.30, recall: 0.12, reflex: 0.32, invite: 0.06, undercurrent: 0.05, compressed: 0.06,
         push_back: 0.06, hostile: 0.03}


def scene(rng, held=False, kind=None, held_values=None, varied=0.0, **options) -> Scene:
    kind = kind or rng.choices(list(KINDS), list(KINDS.values()))[0]
    s = Scene(rng, held, held_values, varied)
    kind(s, **options)
    s.kind = kind.__name__
    return s


def many(seed: int, count: int, **options):
    rng = random.Random(seed)
    return [scene(rng, **options) for _ in range(count)]


if __name__ == "__main__":
    if sys.argv[1] == "show":  # python generate.py show [train|held]
        for s in many(int(sys.argv[3]) if len(sys.argv) > 3 else 1, 14, held=sys.argv[2] == "held"):
            print(f"--- {s.kind}  [{s.system}]")
            print("\n".join(f"{role[0].upper()}: {text}" for role, text in s.turns))
    else:  # python generate.py <model folder> <out> <scenes> <echoes> <routing scenes> <reflex scenes>
        from tokenizers import Tokenizer

        from data import save

        tok, out = Tokenizer.from_file(str(Path(sys.argv[1]) / "tokenizer.json")), Path(sys.argv[2])

        def write(name, seed, count, *kinds):
            rng = random.Random(seed)
            scenes = [scene(rng, kind=rng.choice(kinds) if kinds else None, varied=VARIED) for _ in range(count)]
            save(out, f"{name}.train", tok, [vars(s) for s in scenes])

        write("generated", 41, int(sys.argv[3]))
        write("echo", 12, int(sys.argv[4]), echo)
        write("routing", 43, int(sys.argv[5]), confirm, confirm, recall)
        write("reflex", 44, int(sys.argv[6]), reflex)
