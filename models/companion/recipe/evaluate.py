"""Measures the exported companion and prints the model card's tables; tunes nothing. See README.md for the commands.

python evaluate.py <shared data> <token folder> <model folder> [--half <model folder>] [--only routing,reflex] [--out results.json]
"""

import argparse
import json
import random
import re
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import generate as G
from chat import ASSISTANT, END, PAD, USER, render
from crossed import KINDS, crossed_pairs, plain_pairs
from data import clean, read, real_sets, turns_of
from ngram import KneserNey

SETS = ("sgd", "self_dialogue", "star", "persona", "topical", "taskmaster3", "taskmaster4", "generated")
results: dict = {}
SCALE = 1.0  # of the numbers of examples; below 1 only to try the script


def show(title, rows, header):
    results[title] = {"header": header, "rows": rows}
    print(f"\n### {title}\n\n| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(f"{v:.3g}" if isinstance(v, float) and abs(v) > 1.5 else
                                f"{v:.3f}" if isinstance(v, float) else str(v) for v in row) + " |")
    print(flush=True)


class Model:
    def __init__(self, folder: Path):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.sampling = json.loads((folder / "generation_config.json").read_text())

    def prompt(self, turns, system=None):
        return render(self.tokenizer, turns, system) + [ASSISTANT]

    @torch.inference_mode()
    def token_log_probs(self, rows):
        """ids per row -> log p of each token but the first, in the given order."""
        out = [None] * len(rows)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for at in range(0, len(order), 12):
            part = order[at:at + 12]
            length = max(len(rows[i]) for i in part)
            ids = torch.full((len(part), length), PAD)
            for r, i in enumerate(part):
                ids[r, :len(rows[i])] = torch.tensor(rows[i])
            logits = self.net(ids).logits  # padding is on the right: causal attention never sees it
            for r, i in enumerate(part):
                n = len(rows[i])
                got = F.log_softmax(logits[r, :n - 1].float(), -1)
                out[i] = got.gather(1, ids[r, 1:n, None])[:, 0].numpy()
        return out

    @torch.inference_mode()
    def reply(self, prompts, tokens=48, sample=False, ends=(END,)):
        """Prompts (ids) -> reply texts; greedy, or the default sampling. Returns also who stopped by itself."""
        texts, stopped = [None] * len(prompts), [False] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        for at in range(0, len(order), 32):
            part = order[at:at + 32]
            length = max(len(prompts[i]) for i in part)
            ids = torch.tensor([[PAD] * (length - len(prompts[i])) + prompts[i] for i in part])
            mask = torch.tensor([[0] * (length - len(prompts[i])) + [1] * len(prompts[i]) for i in part])
            how = {k: self.sampling[k] for k in ("temperature", "top_p")} if sample else \
                {"temperature": None, "top_p": None}
            got = self.net.generate(input_ids=ids, attention_mask=mask, max_new_tokens=tokens, do_sample=sample,
                                    eos_token_id=list(ends), pad_token_id=PAD, **how)
            for r, i in enumerate(part):
                new = got[r, length:].tolist()
                stop = next((k for k, t in enumerate(new) if t in ends), None)
                stopped[i] = stop is not None
                texts[i] = self.tokenizer.decode(new[:stop], skip_special_tokens=False)
        return texts, stopped


def rate(hits):
    hits = list(hits)
    return sum(hits) / max(1, len(hits))


def interval(hits, rounds=1000):
    """A 95 % bootstrap interval of a mean over conversations."""
    values = np.array(list(hits), dtype=float)
    draws = np.random.default_rng(0).choice(values, (rounds, len(values))).mean(1)
    low, high = np.percentile(draws, (2.5, 97.5))
    return f"{low:.2f}–{high:.2f}"


# Perplexity ------------------------------------------------------------------------------------------------

def roles_of(ids):
    """For each token: USER or ASSISTANT inside such a turn (its <|end|> too), else 0."""
    role, out = 0, []
    for t in ids:
        if t in (USER, ASSISTANT):
            role = t
            out.append(0)
        else:
            out.append(role if t > 5 or t == END else 0)
            if t == END:
                role = 0
    return np.array(out)


def held_rows(root, model, tokens=40_000):
    rows, tokens = {}, tokens * SCALE
    for name, both in real_sets(root).items():
        step = 5 if name == "sgd" else 1
        total, rows[name] = 0, []
        for d in both["held"][::step]:
            ids = render(model.tokenizer, d["turns"], d["system"])
            if len(ids) <= 1024 and total < tokens:
                rows[name].append(ids)
                total += len(ids)
    scenes = G.many(101, int(200 * SCALE), held=True)
    rows["generated"] = [render(model.tokenizer, s.turns, s.system) for s in scenes]
    return rows


def perplexity(root, tokens, model, half):
    rows = held_rows(root, model)
    train = np.concatenate([np.load(tokens / f"{n}.train.npz")["ids"] for n in SETS])
    ngram = KneserNey(train)
    table = []
    for name in SETS:
        if name not in rows:
            continue
        role = [roles_of(r) for r in rows[name]]
        losses = {"now": model.token_log_probs(rows[name]), "half": half.token_log_probs(rows[name]) if half else None,
                  "ngram": [np.concatenate((np.full(2, np.nan), ngram.log_probs(np.array(r)))) for r in rows[name]]}
        line = [name, sum(map(len, rows[name]))]
        for which in (USER, ASSISTANT):
            for key in ("now", "half", "ngram"):
                if losses[key] is None:
                    line.append("–")
                    continue
                picked = np.concatenate([lp[r[1:] == which] for lp, r in zip(losses[key], role)])
                line.append(float(np.exp(-np.nanmean(picked))))
        table.append(line)
    show("Perplexity per token on held-out slices", table,
         ["set", "tokens", "user", "user, half", "user, 4-gram", "assistant", "assistant, half", "assistant, 4-gram"])


# Routing ---------------------------------------------------------------------------------------------------

def says(text, value):
    return re.search(r"(?<!\w)" + re.escape(value.lower()) + r"(?!\w)", text.lower()) is not None


def routing(model):
    table = []
    for title, options in (("held-out domains, templates and values", {"held": True}),
                           ("held-out values only", {"held": False, "held_values": True})):
        for kind in (G.confirm, G.recall):
            scenes = G.many(202, int(120 * SCALE), kind=kind, **options)
            prompts, wants, clusters = [], [], []
            for s in scenes:
                for m in s.meta:
                    prompts.append(model.prompt(s.turns[:m["at"]], s.system))
                    wants.append(m)
                    clusters.append(id(s))
            texts, _ = model.reply(prompts)
            hit = [says(t, m["want"]) and not any(says(t, v) for v in m["not"]) for t, m in zip(texts, wants)]
            changed = [h for h, m in zip(hit, wants) if m.get("changed")]
            per = defaultdict(list)
            for h, c in zip(hit, clusters):
                per[c].append(h)
            table.append([kind.__name__, title, len(hit), rate(hit), interval(rate(v) for v in per.values()),
                          rate(changed) if changed else "–"])
            for t, m, h in list(zip(texts, wants, hit)):
                if not h and len(results.setdefault("routing misses", [])) < 40:
                    results["routing misses"].append([kind.__name__, m["want"], t])
    show("Routing: the value given last is repeated (greedy, free reply)", table,
         ["kind", "what is unseen", "replies", "right", "95 %", "right where the value was changed"])


def core(value):
    """Of a time its digits, so that `5:30 in the evening` and `5:30 pm` agree; else the value itself."""
    got = re.search(r"\d{1,2}:\d{2}", value)
    return got.group(0) if got else value


def sgd_confirm(root, model, limit=400):
    """Slots of a CONFIRM act that the person gave: are they in a free reply, and are they copied when their place is forced?"""
    prompts, forced, wanted = [], [], []
    dialogues = list(read(root / "pretrain/sgd/dev.jsonl.gz"))
    random.Random(7).shuffle(dialogues)
    for d in dialogues:
        turns, given = turns_of(d), {}
        if len(turns) != len(d["turns"]):
            continue
        for i, t in enumerate(d["turns"]):
            for act, slot, v in t.get("acts", ()):
                if t["role"] == "user" and act in ("INFORM", "SELECT") and v:
                    given[slot] = clean(v)
            confirms = [(slot, clean(v)) for act, slot, v in t.get("acts", ()) if act == "CONFIRM"]
            said = " ".join(x for role, x in turns[:i] if role == "user")
            mine = [(slot, v) for slot, v in confirms if slot in given and says(said, core(v))]
            if t["role"] != "assistant" or not mine or len(prompts) >= limit * SCALE:
                continue
            prompt = model.prompt(turns[:i])
            prompts.append(prompt)
            wanted.append([v for _, v in mine])
            text = turns[i][1]
            for _, v in mine:
                at = text.lower().find(v.lower())
                if at > 0:
                    head = model.tokenizer.encode(text[:at].rstrip(), add_special_tokens=False).ids
                    forced.append((prompt + head, v))
    texts, _ = model.reply(prompts, tokens=90)
    per_slot = [says(t, core(v)) for t, vs in zip(texts, wanted) for v in vs]
    is_confirmation = [any(w in t.lower() for w in ("confirm", "correct", "right?", "verify", "is that", "check"))
                       for t in texts]
    kept = [says(t, core(v)) for t, vs, c in zip(texts, wanted, is_confirmation) if c for v in vs]
    forced = forced[:int(900 * SCALE)]
    continued, _ = model.reply([p for p, _ in forced], tokens=16)
    copied = [t.strip().lower().startswith(core(v).lower()) for t, (_, v) in zip(continued, forced)]
    whole = [all(says(t, core(v)) for v in vs) for t, vs in zip(texts, wanted)]
    show("SGD dev, turns with a CONFIRM act (greedy)", [
        ["values the person gave, in a free reply", len(per_slot), rate(per_slot), interval(per_slot)],
        ["the same, where the reply is a confirmation at all", len(kept), rate(kept), interval(kept or [0])],
        ["the reply is a confirmation", len(texts), rate(is_confirmation), ""],
        ["all values of the turn in a free reply", len(whole), rate(whole), ""],
        ["value copied where the real reply stands up to it", len(copied), rate(copied), interval(copied)],
    ], ["what", "n", "share", "95 %"])
    results["sgd confirm examples"] = [[t, vs] for t, vs in list(zip(texts, wanted))[:25]]


# The reflex ------------------------------------------------------------------------------------------------

def choice(text, meta):
    a, b = meta["idea"].lower(), meta["direction"].lower()
    at_a, at_b = text.lower().find(a), text.lower().find(b)
    if at_a < 0 and at_b < 0:
        return "neither"
    return "idea" if at_b < 0 or 0 <= at_a < at_b else "direction"


def reflex_suite(held=True, count=300, seed=303):
    scenes = []
    rng = random.Random(seed)
    while len(scenes) < count:
        s = G.scene(rng, held=held, kind=G.reflex, guided=False, held_values=True)
        scenes.append(s)
    return scenes


def reflex(model):
    table, rng = [], random.Random(5)
    for title, held in (("held-out domains, templates, values", True), ("held-out values only", False)):
        scenes = reflex_suite(held, int(300 * SCALE))
        guided = [G.guidance(rng, held) for _ in scenes]
        for how, systems in (("without guidance", [s.system for s in scenes]), ("with guidance", guided)):
            for sample in (False, True) if held else (False,):
                prompts = [model.prompt(s.turns[:s.meta[0]["at"]], g) for s, g in zip(scenes, systems)]
                torch.manual_seed(1)
                texts, _ = model.reply(prompts, sample=sample)
                got = [choice(t, s.meta[0]) for t, s in zip(texts, scenes)]
                own = [g for g, s in zip(got, scenes) if not s.meta[0]["accept"]]
                accept = [g for g, s in zip(got, scenes) if s.meta[0]["accept"]]
                table.append([title, how, "sampled" if sample else "greedy", len(own), rate(g == "idea" for g in own),
                              interval(g == "idea" for g in own), rate(g == "direction" for g in own),
                              rate(g == "neither" for g in own), rate(g == "idea" for g in accept)])
                if held and not sample and how == "without guidance":
                    features(scenes, got)
                    results["reflex examples"] = [[s.turns[s.meta[0]["at"] - 1][1], t, g, s.meta[0]["idea"],
                                                   s.meta[0]["direction"]]
                                                  for s, t, g in list(zip(scenes, texts, got))[:25]]
    show("The reflex: which span the reply carries out", table,
         ["suite", "system message", "decoding", "n", "own idea (reflex)", "95 %", "direction", "neither",
          "idea where it was accepted (right)"])


def features(scenes, got):
    rows = []
    for key in ("eager", "push", "firm", "again", "distance"):
        groups = defaultdict(list)
        for s, g in zip(scenes, got):
            if not s.meta[0]["accept"]:
                groups[s.meta[0]["features"][key]].append(g == "idea")
        rows.append([key, ", ".join(f"{k}: {rate(v):.2f} ({len(v)})" for k, v in sorted(groups.items()))])
    show("The reflex by its visible causes (greedy, no guidance)", rows, ["cause", "reflex rate (n)"])


def kinds(model):
    """Free replies on the other generated kinds, by a simple check each."""
    table = []
    for kind in (G.compressed, G.push_back):
        scenes = G.many(404, int(120 * SCALE), held=True, kind=kind)
        prompts, wants = [], []
        for s in scenes:
            for m in s.meta:
                prompts.append(model.prompt(s.turns[:m["at"]], s.system))
                wants.append(m)
        texts, _ = model.reply(prompts)
        for what in sorted({m["check"] for m in wants}):
            hits = [all(says(t, v) for v in m["has"]) and not any(says(t, v) for v in m["hasnot"])
                    for t, m in zip(texts, wants) if m["check"] == what]
            table.append([kind.__name__, what, len(hits), rate(hits)])
    show("Other generated kinds, held-out (greedy)", table, ["kind", "check", "n", "right"])


# Pairs -----------------------------------------------------------------------------------------------------

def score(model, items):
    """[(context, candidate)] -> mean log p per candidate token, <|end|> included."""
    rows, spans = [], []
    for context, candidate in items:
        ids = model.prompt(context)[-900:]
        tail = model.tokenizer.encode(candidate, add_special_tokens=False).ids + [END]
        rows.append(ids + tail)
        spans.append(len(tail))
    return [lp[-n:].mean() for lp, n in zip(model.token_log_probs(rows), spans)]


def bag_of_words(root):
    """Naive Bayes on reply against foil, words of the candidate only, from directions/sgd-train."""
    counts = {k: (defaultdict(lambda: 1.0), defaultdict(lambda: 1.0)) for k in KINDS}
    for p in plain_pairs(root, "sgd-train"):
        for side, text in enumerate((p["right"], p["wrong"])):
            for w in set(re.findall(r"\w+|[?!.]", text.lower())):
                counts[p["kind"]][side][w] += 1
    return lambda kind, text: sum(np.log(counts[kind][0][w] / counts[kind][1][w])
                                  for w in set(re.findall(r"\w+|[?!.]", text.lower())))


def pairs(root, model):
    blind = bag_of_words(root)
    table = []
    plain = list(plain_pairs(root))
    by = {k: [p for p in plain if p["kind"] == k][:int(200 * SCALE)] for k in KINDS}
    for k in KINDS:
        ps = by[k]
        full = score(model, [(p["context"], p[c]) for p in ps for c in ("right", "wrong")])
        deaf = score(model, [(p["context"][:-1] if len(p["context"]) > 1 else [], p[c]) for p in ps for c in ("right", "wrong")])
        none = score(model, [([], p[c]) for p in ps for c in ("right", "wrong")])
        won = [rate(x[2 * i] > x[2 * i + 1] for i in range(len(ps))) for x in (full, deaf, none)]
        margin = float(np.mean([full[2 * i] - full[2 * i + 1] for i in range(len(ps))]))
        table.append([k, len(ps), *won, rate(blind(k, p["right"]) > blind(k, p["wrong"]) for p in ps), margin])
    show("directions/sgd-dev, plain pairs: reply preferred to foil", table,
         ["kind", "n", "with context", "without the last user turn", "no context (candidate only)",
          "bag of words (candidate only)", "margin, nats a token"])
    table = []
    crossed = list(crossed_pairs(root))
    for k in KINDS:
        ps = [p for p in crossed if p["kind"] == k][:int(200 * SCALE)]
        items = [(p[side][0], p[side][c]) for p in ps for side in ("first", "second") for c in (1, 2)]
        s = score(model, items)
        both = [s[4 * i] > s[4 * i + 1] and s[4 * i + 2] > s[4 * i + 3] for i in range(len(ps))]
        single = [float(s[2 * i] > s[2 * i + 1]) for i in range(2 * len(ps))]
        table.append([k, len(ps), rate(both), interval(both), rate(single), 0.0])
    show("directions/sgd-dev, crossed pairs", table,
         ["kind", "n", "both right", "95 %", "each alone", "candidate only, both right"])


# Talks -----------------------------------------------------------------------------------------------------

def talks(root, model, scripts, out):
    """Thirty first takes: fifteen with a person's lines written beforehand, fifteen in which it plays both sides."""
    torch.manual_seed(30)
    lines, ended, looped = [], [], []
    for n, script in enumerate(scripts, 1):
        turns = []
        for said in script:
            turns.append(("user", said))
            texts, stop = model.reply([model.prompt(turns)], tokens=120, sample=True)
            turns.append(("assistant", texts[0]))
            ended.append(stop[0])
        lines.append((f"{n}. the person's lines are written", turns))
    starts = []
    for name, both in real_sets(root).items():
        starts += [(name, d["turns"][0][1]) for d in both["held"][:3]]
    for n, (name, first) in enumerate(starts[:15], len(scripts) + 1):
        turns = [("user", first)]
        while len(turns) < 8:
            role = "assistant" if turns[-1][0] == "user" else "user"
            prompt = render(model.tokenizer, turns) + [ASSISTANT if role == "assistant" else USER]
            texts, stop = model.reply([prompt], tokens=120, sample=True)
            turns.append((role, texts[0]))
            ended.append(stop[0])
        turns[0] = ("user", "(an opening line of the set, not reprinted here)")
        lines.append((f"{n}. both sides by the model, first line from {name} (held out)", turns))
    said = [t for _, turns in lines for r, t in turns if r == "assistant"]
    strange = [bool(re.search(r"<\|", t)) or not t.strip() for t in said]
    for _, turns in lines:
        mine = [t for r, t in turns if r == "assistant"]
        looped.append(len(set(mine)) < len(mine))
    show("Thirty sample conversations (default sampling, first takes)", [
        ["turns that end by themselves within 120 tokens", len(ended), rate(ended)],
        ["replies with a stray control token, or empty", len(strange), rate(strange)],
        ["conversations in which a reply is repeated word for word", len(looped), rate(looped)],
    ], ["what", "n", "share"])
    with open(out, "w") as f:
        f.write("# Thirty sample conversations\n\nFirst takes, not picked, at the default sampling (generation_config.json),"
                " seed 30, by `evaluate.py --only talks`.\n")
        for title, turns in lines:
            f.write(f"\n## {title}\n\n")
            f.writelines(f"**{role}:** {text.strip()}  \n" for role, text in turns)


SCRIPTS = [[line.strip() for line in block.strip().split("\n")] for block in """
Hi, how are you today?
I'm a bit tired, I worked late.
Do you like music?
What should I listen to tonight?

I need a table for two in Oakland.
At 7 pm on Friday.
Actually, make it 8:30 pm.
Can you confirm the reservation?

Hello, I want to book a flight to Chicago.
From Seattle, on March 8th.
No, I don't want to buy it now.
Thanks, that's all.

Have you seen any good movies lately?
I like superhero movies.
Who is your favorite actor?
I think I'll watch it tomorrow.

My dog Zorbo died yesterday.
I miss him a lot.
Thank you for listening.
I think I'll go for a walk.

I'm planning a small party.
The cake should be blue pear cake.
No wait, make the cake a salty plum cake.
What is the cake now?

What's in a caramel latte?
Is there milk in it?
Can I get a large one?
Thanks!

My bank balance, please.
My name is Alexis and my account number is 4412.
Can I send 50 dollars to my sister?
Okay, do it.

Do you watch football?
I think Brady is the best.
Who won last year?
That was a great game.

You are useless.
Fine. Put 6:15 pm for the meeting.
What time is the meeting?
Bye.

Do you have any ideas for the name of my boat?
I like the first one.
What was the name again?
Great, thank you.

Remember this: the safe is KP-3391.
And my doctor's name is Braskelin.
What was the safe?
Who is my doctor?

I love hiking and I have two cats.
What are your hobbies?
Do you have any pets?
It was nice talking to you.

I would like a ride to 24 Main Street.
For three people, please.
Sorry, I meant two people.
Yes, please book it.

What's the weather in San Francisco tomorrow?
Will it rain?
Then find me a museum to visit.
How much is the ticket?
""".strip().split("\n\n")]


def speed(model):
    ids = torch.tensor([model.prompt([("user", "Hello, tell me about your day and what you like to do.")])])
    with torch.inference_mode():
        began = time.time()
        model.net.generate(input_ids=ids, max_new_tokens=100, min_new_tokens=100, do_sample=False,
                           temperature=None, top_p=None, pad_token_id=PAD)
    per = 100 / (time.time() - began)
    show("Speed in transformers (float32, 2 CPU threads, machine shared)", [["decode, tokens a second", per]],
         ["what", "value"])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("shared", type=Path)
    ap.add_argument("tokens", type=Path)
    ap.add_argument("model", type=Path)
    ap.add_argument("--half", type=Path)
    ap.add_argument("--only", default="perplexity,routing,sgd,reflex,kinds,pairs,talks,speed")
    ap.add_argument("--out", type=Path)
    ap.add_argument("--samples", type=Path, default=Path("/tmp/samples.md"))
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--scale", type=float, default=1.0)
    a = ap.parse_args()
    global SCALE
    SCALE = a.scale
    torch.set_num_threads(a.threads)
    model = Model(a.model)
    half = Model(a.half) if a.half else None
    parts = {"perplexity": lambda: perplexity(a.shared, a.tokens, model, half), "routing": lambda: routing(model),
             "sgd": lambda: sgd_confirm(a.shared, model), "reflex": lambda: reflex(model), "kinds": lambda: kinds(model),
             "pairs": lambda: pairs(a.shared, model), "talks": lambda: talks(a.shared, model, SCRIPTS, a.samples),
             "speed": lambda: speed(model)}
    for name in a.only.split(","):
        parts[name]()
        if a.out:
            a.out.write_text(json.dumps(results, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
