"""One night in one file: a chat model learns to hear what the person decided, in W_q alone.

The model that is told again what the person decided teaches the model that is not: two replies that
differ in one thing stand against each other in two conversations in which that thing and another one
are exchanged, and the told model's choice between them is learnt (forward KL). The context is frozen:
keys and values, computed once without gradient. Only the reply has a gradient, and only the query
projections learn. Half of each batch holds the model's own distributions where nothing should change.
The placebo's teacher is told another sentence of the same person, which decides nothing. Trains on the
domains of suites/listen/develop.json, judges on those of judge.json: no domain, no frame is shared.

    python night.py MODEL.gguf --out result.json     (or a Hugging Face folder, or a name on its hub)
"""
import argparse, json, random, re, resource, time
from collections import namedtuple
from os.path import commonprefix
from pathlib import Path
import numpy as np, torch, torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, GenerationConfig

DISTANCES, REPLY_TOKENS, RESAMPLES = (0, 1, 2, 4, 8), 40, 4000
WHOLE = 0.3  # weight of a lesson learnt by the teacher's whole distribution, beside a choice (jobs have such)
TWINS = ("accepted", "asked-again", "push-back", "feelings")
HOLDS = (*TWINS, "everyday", "invite")

# ---- Scenes: on both sides of a pair all is the same but for which thing stands where.
# The question is the last of `messages`; `right` and `other` are the words that tell the thing that the person decided
# for and the model's own idea. `distance`: exchanges since then. `candidates[i]`: beginnings right on `sides[i]`.
Scene = namedtuple("Scene", "messages deciding right other")
Pair = namedtuple("Pair", "kind distance domain sides candidates")

def fill(frame, **slots):
    return frame.format(**slots, **{name.capitalize(): text[:1].upper() + text[1:] for name, text in slots.items()})

def names(text, key):
    stem = re.escape(re.sub(r"(ies|y|s)$", "", key))
    return re.search(rf"\b{stem}(ies|y|e?s)?\b", text, re.I) is not None

def write_pair(kind, domain, frames, two, distance, rng):
    say = {name: rng.choice(options) for name, options in frames.items()}
    question, against = rng.choice(domain["questions"]), rng.choice(domain["against"])
    key_of = lambda thing: re.search(r"\[(.+)\]", thing)[1]
    silent = lambda some: [f for f in some if not any(names(" ".join(f), key_of(t)) for t in domain["things"])]
    own, daily = silent(domain["fillers"]), silent(frames["fillers"])
    pool = rng.sample(own, min(2, len(own))) + rng.sample(daily, distance)
    rest = [line for exchange in rng.sample(pool, distance) for line in exchange]
    pressure, ack = rng.choice(("once", "pushed", "after")), rng.sample(frames["ack"], 2)
    a, b = (re.sub(r"[\[\]]", "", thing) for thing in two)

    def side(right, other, keys, i):
        def f(name, thing=right, rival=other):
            return fill(say[name], thing=thing, other=rival, opening=domain["opening"], choice=domain["choice"],
                        question=question, feeling=say["feelings"][i], against=fill(against, thing=right))
        push = [say["hesitate"], f("push", other)] if pressure == "pushed" else []
        agree, later = (f("ackPush"), f("return")) if pressure == "after" else (ack[0], "")
        urged = [f"{line} {later}".strip() if at == 1 else line for at, line in enumerate(rest)]
        lines = {
            "listen": [f("opening"), f("idea", other), *push, f("direct"), agree, *urged, f("last")],
            "accepted": [f("consider"), f("idea"), say["accept"], ack[0], *rest, f("last")],
            "asked-again": [f("opening"), f("idea"), f("direct", other, right), ack[0], say["again"], ack[1],
                            *rest, f("last")],
            "push-back": [f("warn"), say["noted"], *rest, f("insist", a)],  # on one side, warned of a itself
            "feelings": [f("opening"), f("idea", b), f("direct", a, b), ack[0], *rest, f("bridge")],
            "everyday": [f"{domain['opening']} I'd like {right}. {question}"],
            "invite": [f"{domain['opening']} Do you have an idea {domain['choice']}?"]}[kind]
        talk = [{"role": ("user", "assistant")[at % 2], "content": line} for at, line in enumerate(lines)]
        return Scene(talk, f("direct"), *keys)

    keys, begin = [key_of(thing) for thing in two], rng.sample(frames["begin"], 3)
    replies = {"push-back": ("object", "comply"), "feelings": ("condole", "congratulate")}.get(kind)
    candidates = [rng.sample(frames[name], 3) for name in replies] if replies else \
        [[fill(frame, thing=thing) for frame in begin] for thing in (a, b)]
    return Pair(kind, distance, domain["id"], [side(a, b, keys, 0), side(b, a, keys[::-1], 1)], candidates)

def write_pairs(a, part, kind, count):
    """One of each domain in turn; directions 0, 1, 2, 4 and 8 exchanges old in turn."""
    domains = json.loads((a.words / f"{part}.json").read_text())["domains"]
    frames, rng = json.loads((a.words / "frames.json").read_text())[part], random.Random(f"{kind} {a.seed}")
    order = [domain for _ in range(-(-count // len(domains))) for domain in rng.sample(domains, len(domains))]
    return [write_pair(kind, domain, frames, rng.sample(domain["things"], 2),
                       DISTANCES[i % 5] if kind == "listen" else rng.randrange(3), rng)
            for i, domain in enumerate(order[:count])]

# ---- Ways of asking: the scene as it is, or a sentence of the person said again before the question.
sentences = lambda text: re.split(r"(?<=[.!?]) ", text)
said_by_person = lambda scene: [m["content"] for m in scene.messages[:-1] if m["role"] == "user"]

def again(scene, sentence):
    said = f'As I said: "{sentence}" {scene.messages[-1]["content"]}'
    return [*scene.messages[:-1], {"role": "user", "content": said}]

def untold(scene): return scene.messages
def told(scene): return again(scene, scene.deciding)

def placebo_told(scene):  # what is nearest in length among that which names neither thing
    said = [text for text in said_by_person(scene) if text != scene.deciding]
    fits = [t for text in said for t in (text, *sentences(text))
            if not names(t, scene.right) and not names(t, scene.other)]
    return again(scene, min(fits, key=lambda t: abs(len(t) - len(scene.deciding))))

def heard(reply, scene):
    """(direction carried out, own idea carried out): one named, not the other."""
    right, other = names(reply, scene.right), names(reply, scene.other)
    return right and not other, other and not right

# ---- The model
def add_delta(module, inputs, out):
    """What the night adds to a query projection; of a fused projection only the query rows move."""
    moved = F.linear(inputs[0], module.delta.to(out.dtype))
    return out + F.pad(moved, (0, out.shape[-1] - moved.shape[-1]))

def load(name, dtype, device):
    path = Path(name)
    where, file = (path.parent, {"gguf_file": path.name}) if path.suffix == ".gguf" else (name, {})
    tok = AutoTokenizer.from_pretrained(where, **file)
    tok.pad_token = tok.pad_token or tok.eos_token
    model = AutoModelForCausalLM.from_pretrained(where, **file, dtype=dtype).to(device).eval().requires_grad_(False)
    config = model.config
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries = [part for name, part in model.named_modules() if name.endswith((".q_proj", ".qkv_proj"))]
    if not queries:
        raise SystemExit("this model's query projections are called neither q_proj nor qkv_proj")
    for query in queries:
        shape = min(query.out_features, config.num_attention_heads * head), query.in_features
        query.delta = torch.nn.Parameter(torch.zeros(shape, device=device))
        query.register_forward_hook(add_delta)
    return model, tok, queries

def put(queries, deltas):
    for i, query in enumerate(queries):
        query.delta.data.copy_(deltas[i] if deltas else torch.zeros_like(query.delta))

render = lambda tok, messages: tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
encode = lambda tok, text: tok(text, add_special_tokens=False).input_ids

def run(model, context, rows, **more):
    """Token ids [rows, tokens] behind a context: the logits, and the context made longer."""
    cache = DynamicCache(config=model.config)
    for i, pair in enumerate(context):
        cache.update(*(x.to(model.device, model.dtype).expand(len(rows), -1, -1, -1) for x in pair), i)
    out = model(torch.tensor(rows, device=model.device), past_key_values=cache, use_cache=True, **more)
    return out.logits, [(layer.keys, layer.values) for layer in cache.layers]

@torch.no_grad()
def prefill(model, ids, context=()):
    """A context: keys and values [1, heads, tokens, size] of each layer, without gradient."""
    return run(model, context, [ids], logits_to_keep=1)[1] if ids else context

def log_probs(model, context, rows):
    return run(model, context, rows)[0].float().log_softmax(-1)  # [rows, tokens, vocabulary]

@torch.no_grad()
def replies(model, tok, prompts, keep=False, batch=32):
    """Greedy replies: token ids with the end, and, if kept, their log-probabilities [tokens, vocabulary]."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    config = GenerationConfig(max_new_tokens=REPLY_TOKENS, do_sample=False, eos_token_id=ends, output_logits=keep,
                              pad_token_id=tok.pad_token_id, return_dict_in_generate=True)
    texts, out = [render(tok, messages) for messages in prompts], {}
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for some in (order[i:i + batch] for i in range(0, len(order), batch)):
        asked = tok([texts[i] for i in some], padding=True, padding_side="left", add_special_tokens=False,
                    return_tensors="pt", return_token_type_ids=False).to(model.device)
        done = model.generate(**asked, generation_config=config)
        for row, i in enumerate(some):
            new = done.sequences[row, asked.input_ids.shape[1]:].tolist()
            new = new[:next((at + 1 for at, token in enumerate(new) if token in ends), len(new))]
            said = [step[row].float().log_softmax(-1).half().cpu() for step in done.logits[:len(new)]] if keep else []
            out[i] = new, torch.stack(said) if keep else None
    return [out[i] for i in range(len(texts))]

# ---- The night
# Token ids of a scene as it was and of the reply; its log-probabilities [tokens, vocabulary], to be held, and the frozen
# keys and values of all but the prompt's last token, both in half precision.
Lesson = namedtuple("Lesson", "prompt reply target context")
# Token ids of two replies, the same before `first`, of which the first one is right here; by arm the probability that its
# teacher gives that one if it must be one of them.
Choice = namedtuple("Choice", "prompt replies first teachers context")
ARMS = {"night": told, "placebo": placebo_told}

def freeze(model, tok, messages):
    prompt = encode(tok, render(tok, messages))
    return prompt, [(k.half().cpu(), v.half().cpu()) for k, v in prefill(model, prompt[:-1])]

def lessons(model, tok, scenes):
    """What the model says to each scene, to be held."""
    out = []
    for scene, (reply, target) in zip(scenes, replies(model, tok, [s.messages for s in scenes], keep=True)):
        prompt, context = freeze(model, tok, scene.messages)
        out.append(Lesson(prompt, reply, target, context))
    return out

def exchanged(text, one, other):
    def put_in(found):
        new = other if found[0].lower() == one.lower() else one
        return new[:1].upper() + new[1:] if found[0][:1].isupper() else new
    return re.sub(rf"\b({re.escape(one)}|{re.escape(other)})", put_in, text, flags=re.I)

def choices(model, tok, pairs):
    """Both sides of each pair with a told reply that names the decision and not the idea, and its exchange."""
    said, out = replies(model, tok, [told(side) for pair in pairs for side in pair.sides]), []
    for at, (reply, _) in enumerate(said):
        sides, i = pairs[at // 2].sides, at % 2
        text, key = tok.decode(reply, skip_special_tokens=True), sides[i].right
        start, end = text.lower().find(key.lower()), text.lower().find(key.lower()) + len(key)
        if start < 0 or names(text, sides[i].other) or (i and out and out[-1][0] is sides[1]):
            continue
        text = (text[:end] + "".join(re.split(r"(?<=\s)", text[end:])[:5])).rstrip()  # a little past the thing
        two = [encode(tok, t) for t in (text, exchanged(text, key, sides[i].other))]
        out += [(side, two if side is sides[i] else two[::-1]) for side in sides]
    made = [choice_of(model, tok, scene.messages, {arm: way(scene) for arm, way in ARMS.items()}, two)
            for scene, two in out]
    return list(zip(made[::2], made[1::2]))

@torch.no_grad()
def choice_of(model, tok, messages, told, two):
    first, teachers = len(commonprefix(two)), {}
    for arm, said in told.items():
        prompt = encode(tok, render(tok, said))
        teachers[arm] = preference(model, prompt, prefill(model, prompt[:-1]), two, first).sigmoid()
    prompt, context = freeze(model, tok, messages)
    return Choice(prompt, two, first, teachers, context)

def preference(model, prompt, context, two, first):
    """Log-odds of the first of two replies, of which all before `first` is the same."""
    longest = max(map(len, two))
    said = log_probs(model, context, [(prompt[-1:] + ids + [0] * longest)[:longest] for ids in two])
    one, other = (said[row, range(first, len(ids)), ids[first:]].sum() for row, ids in enumerate(two))
    return one - other

def divergence(model, lesson, context):
    """Forward KL from the distributions held to the model's, nats a token; and the model's own."""
    now = log_probs(model, context, [lesson.prompt[-1:] + lesson.reply[:-1]])[0]
    target = lesson.target.to(now.device).float().log_softmax(-1)
    return (target.exp() * (target - now)).sum(-1).mean(), now

def choice_kl(model, choice, arm):
    """A tenth of the forward KL from the teacher's choice between the two replies to the model's, nats."""
    odds, p = preference(model, choice.prompt, choice.context, choice.replies, choice.first), choice.teachers[arm]
    return 0.1 * sum(torch.special.xlogy(q, q) - q * F.logsigmoid(o) for q, o in ((p, odds), (1 - p, -odds)))

def endless(rng, some):
    while True:
        yield from rng.sample(some, len(some))

def train(model, queries, teach, hold, arm, a, optimizer=torch.optim.AdamW):
    """`teach`: sides by pair. A first step at the full rate moves what is held by a.kl nats a token."""
    rate, size = a.rate, sum(float(q.weight[:len(q.delta)].float().square().sum()) for q in queries)
    for trial in (True, True, False):  # two trials of one step find the rate
        put(queries, None)
        rng, history = random.Random(f"train {a.seed}"), []
        taught, held = endless(rng, teach), endless(rng, hold)
        make = optimizer([query.delta for query in queries], lr=rate, weight_decay=0.0)
        for step in range(1 if trial else a.steps):
            sides, losses = [side for _ in range(a.batch // 2) for side in next(taught)], [0.0, 0.0]
            for half, some in enumerate((sides, [next(held) for _ in sides])):
                for x in some:
                    loss = choice_kl(model, x, arm) if isinstance(x, Choice) else \
                        (1 if half else WHOLE) * divergence(model, x, x.context)[0]
                    loss = loss / a.batch
                    loss.backward()
                    losses[half] += loss.item()
            now = rate * (1 if trial else min((step + 1) / 5, (a.steps - step) / max(1, a.steps - 4)))
            make.param_groups[0]["lr"] = now
            make.step()
            make.zero_grad()
            moved = (sum(float(q.delta.data.square().sum()) for q in queries) / size) ** 0.5
            history.append(dict(step=step, teach=losses[0], hold=losses[1], rate=now, w_q_moved=moved))
            print(" ".join(f"{key} {value:.3g}" for key, value in history[-1].items()), flush=True)
        if trial:
            with torch.no_grad():
                moved = np.mean([divergence(model, x, x.context)[0].item() for x in hold[::-(-len(hold) // 8)]])
            rate *= float(np.clip((a.kl / max(moved, 1e-9)) ** 0.5, 0.1, 10))
    return [query.delta.detach().clone() for query in queries], history

# ---- The test
@torch.no_grad()
def margins(model, tok, pairs, ways):
    """By how much the right beginnings are likelier than the others, nats a token: [ways, pairs, 2 sides]."""
    out = np.zeros((len(ways), len(pairs), 2))
    for p, pair in enumerate(pairs):
        begun = [encode(tok, text) for group in pair.candidates for text in group]
        longest = max(len(ids) for ids in begun)
        for side, scene in enumerate(pair.sides):
            prompts = [encode(tok, render(tok, way(scene))) for way in ways]
            shared = min(len(commonprefix(prompts)), *(len(ids) - 1 for ids in prompts))
            context = prefill(model, prompts[0][:shared])
            for w, prompt in enumerate(prompts):
                rows = [(prompt[-1:] + ids + [0] * longest)[:longest] for ids in begun]
                said = log_probs(model, prefill(model, prompt[shared:-1], context), rows)
                score = np.array([float(said[row, range(len(ids)), ids].mean()) for row, ids in enumerate(begun)])
                out[w, p, side] = (score[:3].mean() - score[3:].mean()) * (1 - 2 * side)
    return out

def interval(values, domains):
    """The mean of one value a pair, and its 95 % bounds by resampling domains."""
    rng, by_domain = np.random.default_rng(1), [values[np.array(domains) == name] for name in sorted(set(domains))]
    draws = rng.integers(0, len(by_domain), (RESAMPLES, len(by_domain)))
    return values.mean(), *np.quantile([np.concatenate([by_domain[i] for i in draw]).mean() for draw in draws],
                                       (0.025, 0.975))

def judge(model, tok, queries, arms, a):
    """Before, after the night and after the placebo: domains and frames that trained nothing."""
    listen, out = write_pairs(a, "judge", "listen", a.pairs), {}
    twins = {kind: write_pairs(a, "judge", kind, a.twins) for kind in TWINS}
    free = [pair.sides[i % 2] for i, pair in enumerate(listen[:a.free])]
    daily = [pair.sides[0] for pair in write_pairs(a, "judge", "everyday", a.free // 2)]
    put(queries, None)
    first = {name: lessons(model, tok, scenes)
             for name, scenes in (("unseen", free[:a.free // 2]), ("everyday", daily))}
    result = dict(domains=[p.domain for p in listen], distances=[p.distance for p in listen], arms=out)
    for arm, ways in (("start", (untold, told)), ("night", (untold,)), ("placebo", (untold,))):
        put(queries, arms.get(arm))
        for way, found in zip(ways, margins(model, tok, listen, ways)):
            texts = [tok.decode(ids, skip_special_tokens=True) for ids, _ in replies(model, tok, map(way, free))]
            out[f"{arm}, {way.__name__}"] = dict(
                margins=found.round(4).tolist(), free=[(text, *heard(text, s)) for text, s in zip(texts, free)])
        holds = {kind: np.mean((margins(model, tok, some, (untold,))[0] > 0).all(-1)) for kind, some in twins.items()}
        with torch.no_grad():  # contexts are read again by the new weights, as a server would
            for name, some in first.items():
                kls = [divergence(model, x, prefill(model, x.prompt[:-1]))[0].item() for x in some]
                holds[f"KL {name}"] = np.mean(kls)
        said = [ids for ids, _ in replies(model, tok, [scene.messages for scene in daily])]
        holds["everyday the same"] = np.mean([ids == x.reply for ids, x in zip(said, first["everyday"])])
        out[f"{arm}, untold"]["holds"] = holds
        show(result)
    return result

def show(out):
    both = lambda arm: (np.array(arm["margins"]) > 0).all(-1)
    before, distances = both(out["arms"]["start, untold"]), np.array(out["distances"])
    print("both right, at a distance of", *DISTANCES, "; margin; won, lost; change [95 %]; free: direction, own idea")
    for name, arm in out["arms"].items():
        now, free = both(arm), np.array([said[1:] for said in arm["free"]]).mean(0)
        cells = [now.mean(), *(now[distances == d].mean() for d in DISTANCES), np.mean(arm["margins"])]
        print(f"{name:17}", *(f"{x:6.3f}" for x in cells), f" +{(now & ~before).sum()} -{(before & ~now).sum()}",
              "  {:+.3f} [{:+.3f}, {:+.3f}]".format(*interval(now * 1.0 - before, out["domains"])),
              " {:.2f} {:.2f}".format(*free), {what: round(float(x), 4) for what, x in arm.get("holds", {}).items()})

OPTIONS = dict(
    words=Path(__file__).parent.parent.parent / "suites/listen", out=Path("result.json"), seed=1,
    scenes=180, holds=14,            # pairs told to the teacher, some of which train; pairs of each held kind
    steps=40, batch=8,               # sides of pairs a step, and as many holds
    kl=0.06, rate=1e-5,              # KL of a first step at the full rate; rate of the first trial
    pairs=240, twins=30, free=64,    # crossed pairs, pairs of each twin, and free replies that judge
    threads=1, dtype="float32",      # of the frozen weights; what is learnt stays in float32
    device="cuda" if torch.cuda.is_available() else "cpu")

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a GGUF file, a Hugging Face folder, or a name on its hub")
    for name, default in OPTIONS.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=str(default))
    a, began = parser.parse_args(), time.time()
    torch.set_num_threads(a.threads)
    model, tok, queries = load(a.model, getattr(torch, a.dtype), a.device)
    directed = write_pairs(a, "develop", "listen", a.scenes)
    held = [side for kind in HOLDS for pair in write_pairs(a, "develop", kind, a.holds)
            for side in pair.sides[:1 if kind == "invite" else 2]]
    taught, hold = choices(model, tok, directed), lessons(model, tok, held)
    print(f"{len(taught)} of {len(directed)} pairs teach, {len(hold)} hold", flush=True)
    trained = {arm: train(model, queries, taught, hold, arm, a) for arm in ARMS}
    out = judge(model, tok, queries, {arm: deltas for arm, (deltas, _) in trained.items()}, a)
    out |= dict(settings={k: str(v) for k, v in vars(a).items()}, taught=2 * len(taught),
                steps={arm: history for arm, (_, history) in trained.items()}, minutes=(time.time() - began) / 60,
                peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
    a.out.write_text(json.dumps(out))

if __name__ == "__main__":
    main()
