"""Trains the companion: length-bucketed whole conversations, Muon + AdamW, warm-up, stable rate, decay; resumable.

python train.py <token folder> <run folder> --minutes 80            (ends at a time)
python train.py <token folder> <run folder> --tokens 100000000      (ends at a budget; e.g. on a GPU)
While it runs, `echo <unix time> > <run folder>/deadline` moves the end, and with it the decay's beginning.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from model import Companion, Shape

# Share of the tokens per set; `<run folder>/mix.json` changes it while it runs. Generated talk (generate.py) is there from the first step: copying must emerge early.
MIX = {
    "sgd": 0.12, "sgd_exchanged": 0.24, "self_dialogue": 0.03, "star": 0.02, "persona": 0.03, "topical": 0.01,
    "taskmaster3": 0.01, "taskmaster4": 0.01, "generated": 0.18, "reflex": 0.20, "routing": 0.14, "echo": 0.01,
}
PIECE = 100_000  # tokens drawn at once, then sorted into buckets of equal length
COMMON = 150     # so many tokens count as function words: where they stood before says little (model.copies)
ROUND = 32       # a bucket's length is a multiple of this; rows are padded up to it


class Talks:
    """An endless, seeded stream of micro-batches (ids, targets) of about `micro` tokens."""

    def __init__(self, folder: Path, micro: int, seed: int, state=None, mix: Path | None = None):
        self.mix_path = mix
        self.micro, self.seed, self.sets = micro, seed, {}
        for name in MIX:
            path = folder / f"{name}.train.npz"
            if path.exists():
                z = np.load(path)
                self.sets[name] = (z["ids"], z["offsets"])
        self.state = state or {"piece": 0, "drawn": {}}

    def draw(self, name: str, tokens: int):
        ids, offsets = self.sets[name]
        count = len(offsets) - 1
        drawn = self.state["drawn"].get(name, 0)
        taken, rows = 0, []
        order, epoch = None, -1
        while taken < tokens:
            if drawn // count != epoch:
                epoch = drawn // count
                order = np.random.default_rng([self.seed, epoch, len(name)]).permutation(count)
            i = order[drawn % count]
            rows.append(ids[offsets[i]:offsets[i + 1]])
            taken += len(rows[-1])
            drawn += 1
        self.state["drawn"][name] = drawn
        return rows

    def __iter__(self):
        while True:
            changed = self.mix_path is not None and self.mix_path.exists()
            mix = json.loads(self.mix_path.read_text()) if changed else MIX
            whole = sum(mix.get(n, 0) for n in self.sets)
            buckets: dict[int, list] = {}
            for name in self.sets:
                for row in self.draw(name, int(PIECE * mix.get(name, 0) / whole)):
                    length = -(-(len(row) - 1) // ROUND) * ROUND
                    length = length if length <= 512 else (768 if length <= 768 else 1024)
                    buckets.setdefault(max(length, 64), []).append(row)
            self.state["piece"] += 1
            rng = np.random.default_rng([self.seed, self.state["piece"]])
            batches = []
            for length, rows in sorted(buckets.items()):
                rng.shuffle(rows)
                per = max(1, self.micro // length)
                batches += [(length, rows[i:i + per]) for i in range(0, len(rows) - per + 1, per)]
            rng.shuffle(batches)
            for length, rows in batches:
                yield self.pad(length, rows)

    @staticmethod
    def pad(length, rows):
        ids = np.zeros((len(rows), length), dtype=np.int64)
        targets = np.full((len(rows), length), -100, dtype=np.int64)
        for r, row in enumerate(rows):
            n = len(row) - 1
            ids[r, :n], targets[r, :n] = row[:-1], row[1:]
        return torch.from_numpy(ids), torch.from_numpy(targets)


@torch.no_grad()
def orthogonal(g):
    """Newton-Schulz, five rounds, on a stack of matrices. Source: Keller Jordan, Muon (2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    if tall := x.shape[-2] > x.shape[-1]:
        x = x.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """Muon for the matrices, AdamW for embedding and norms. Its state may lie in shared memory."""

    def __init__(self, model):
        self.params = list(model.named_parameters())
        self.state = {n: (torch.zeros_like(p.data), torch.zeros_like(p.data)) for n, p in self.params}
        self.groups: dict = {}
        for name, p in self.params:
            if p.dim() == 2 and "embed" not in name:
                self.groups.setdefault(tuple(p.shape), []).append((name, p))

    @torch.no_grad()
    def step(self, grads, count: int, muon: float, adam: float, part: int = 0, parts: int = 1):
        """Updates every `parts`-th tensor. grads: name -> summed gradient; count: steps done, for AdamW's bias."""
        for shape, group in self.groups.items():
            mine = group[part::parts]
            for name, _ in mine:
                self.state[name][0].lerp_(grads[name], 0.05)
            stack = torch.stack([grads[name].lerp(self.state[name][0], 0.95) for name, _ in mine])
            scale = muon * max(1.0, shape[0] / shape[1]) ** 0.5
            for (_, p), update in zip(mine, orthogonal(stack)):
                p.mul_(1 - muon * 0.01).sub_(update, alpha=scale)
        others = [(n, p) for n, p in self.params if p.dim() != 2 or "embed" in n]
        for name, p in others[part::parts]:
            first, second = self.state[name]
            first.lerp_(grads[name], 0.1)
            second.lerp_(grads[name].square(), 0.05)
            fair = (second / (1 - 0.95 ** count)).sqrt_().add_(1e-10)
            p.addcdiv_(first / (1 - 0.9 ** count), fair, value=-adam)


class Team:
    """What the workers share: weights, optimizer state, a gradient buffer each, the next micro-batch's number."""

    def __init__(self, a, context):
        torch.manual_seed(a.seed)
        self.model = Companion(Shape())
        often = np.bincount(np.load(a.data / "sgd.train.npz")["ids"], minlength=Shape().vocab)
        words = json.loads((Path(__file__).parent.parent / "tokenizer.json").read_text())["model"]["vocab"]
        digits = {i for word, i in words.items() if any(c.isdigit() for c in word)}
        self.model.common[[i for i in np.argsort(-often)[:COMMON].tolist() if i not in digits]] = True
        self.model.to(a.device)
        self.optimizer = Optimizer(self.model)
        self.grads = [{n: torch.zeros_like(p.data) for n, p in self.model.named_parameters()} for _ in range(a.workers)]
        self.control = torch.zeros(7, dtype=torch.float64)  # rate, loss, target tokens, attention loss, its stage, loss where copies begin, focus
        self.next, self.lock = context.Value("l", 0), context.Lock()
        self.barrier = context.Barrier(a.workers)
        self.start = {"step": 0, "seen": 0, "spent": 0.0, "count": 0, "talks": None}
        latest = a.run / "latest.pt"
        if latest.exists():
            c = torch.load(latest, weights_only=True, map_location=a.device)
            self.model.load_state_dict(c["model"])
            for name, pair in c["optimizer"].items():
                for mine, saved in zip(self.optimizer.state[name], pair):
                    mine.copy_(saved)
            self.start = c["start"]
        if a.workers > 1:
            self.model.share_memory()
            for tensors in (*(s for s in self.optimizer.state.values()), *(g.values() for g in self.grads)):
                for t in tensors:
                    t.share_memory_()
            self.control.share_memory_()

    def save(self, path: Path, start: dict):
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state, "start": start},
                   path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)


def work(rank: int, a, team: Team):
    """One worker. All draw the same stream; whoever is free takes the next micro-batch of the step."""
    torch.set_num_threads(a.threads)
    model, start = team.model, dict(team.start)
    model.compiled = None if a.no_compile else {}
    talks = Talks(a.data, a.micro, a.seed, start["talks"], a.run / "mix.json")
    stream, position = iter(talks), 0
    base = start["step"] * a.accumulate
    began, saved, logged, log_seen, losses = time.time(), time.time(), time.time(), start["seen"], []
    beginnings: list[float] = []
    halfway = (a.run / "half.pt").exists()

    def progress():
        """The share of the run that is over, by budget or by the clock."""
        if a.tokens:
            return start["seen"] / a.tokens
        left = int((a.run / "deadline").read_text()) - time.time()
        done = team.start["spent"] + time.time() - began
        return done / (done + max(left, 0.0))

    while True:
        if rank == 0:
            share = progress()
            team.control[:] = 0
            team.control[0] = -1 if share >= 1 else min(1.0, (start["step"] + 1) / a.warmup, (1 - share) / a.decay)
            team.control[4] = next((i for i, end in enumerate(a.stages, 1) if share < end), 0)
            team.control[6] = a.focus if share < a.focused else 0.0
            team.next.value = start["step"] * a.accumulate - base
        team.barrier.wait()
        rate, stage, focus = team.control[0].item(), int(team.control[4]), team.control[6].item()
        if rate < 0:
            break
        last = (start["step"] + 1) * a.accumulate - base
        while True:
            with team.lock:
                mine = team.next.value
                team.next.value += 1
            if mine >= last:
                break
            while position <= mine:
                ids, targets = next(stream)
                position += 1
            with torch.autocast(a.device, torch.bfloat16):
                loss, looked, beginning = model(ids.to(a.device), targets.to(a.device), stage, focus)
            ((loss + a.guide * looked) / a.accumulate).backward()
            with team.lock:
                team.control[1] += loss.item() / a.accumulate
                team.control[5] += beginning.item() / a.accumulate
                team.control[3] += float(torch.as_tensor(looked).detach()) / a.accumulate
                team.control[2] += int((targets >= 0).sum())
        while position < last:
            next(stream)
            position += 1
        for name, p in model.named_parameters():
            if p.grad is None:
                team.grads[rank][name].zero_()
            else:
                team.grads[rank][name].copy_(p.grad)
                p.grad.zero_()
        team.barrier.wait()
        whole = {n: sum(g[n] for g in team.grads[1:]) + team.grads[0][n] if a.workers > 1 else team.grads[0][n]
                 for n in team.grads[0]}
        start["count"] += 1
        team.optimizer.step(whole, start["count"], a.muon * rate, a.adam * rate, rank, a.workers)
        start["step"] += 1
        start["seen"] += int(team.control[2])
        team.barrier.wait()
        if rank > 0:
            continue
        losses.append(team.control[1].item())
        beginnings.append(team.control[5].item())
        start |= {"talks": talks.state, "spent": team.start["spent"] + time.time() - began}
        if start["step"] % 20 == 0:
            line = {"step": start["step"], "tokens": start["seen"], "loss": round(float(np.mean(losses)), 4), "looked": round(team.control[3].item(), 3),
                    "beginning": round(float(np.mean(beginnings)), 3),
                    "rate": round(rate, 4), "share": round(share, 4), "seconds": round(start["spent"]),
                    "tokens_per_second": round((start["seen"] - log_seen) / (time.time() - logged))}
            with open(a.run / "log.jsonl", "a") as f:
                f.write(json.dumps(line) + "\n")
            logged, log_seen, losses = time.time(), start["seen"], []
            beginnings = []
        if not halfway and share >= 0.5:
            team.save(a.run / "half.pt", start)
            halfway = True
        if time.time() - saved > 150:
            team.save(a.run / "latest.pt", start)
            saved = time.time()
    if rank == 0:
        team.save(a.run / "latest.pt", start)
        team.save(a.run / "final.pt", start)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("data", type=Path)
    ap.add_argument("run", type=Path)
    ap.add_argument("--minutes", type=float)
    ap.add_argument("--tokens", type=int)
    ap.add_argument("--decay", type=float, default=0.9, help="share of the run in which the rate falls to zero")
    ap.add_argument("--muon", type=float, default=0.012)
    ap.add_argument("--adam", type=float, default=0.003)
    ap.add_argument("--guide", type=float, default=0.1, help="weight of the attention loss")
    ap.add_argument("--stages", type=float, nargs=2, default=(0.3, 0.6), help="shares of the run at which its stages end")
    ap.add_argument("--focus", type=float, default=4.0, help="added weight of a token that begins a copy")
    ap.add_argument("--focused", type=float, default=0.7, help="share of the run at which that weight ends")
    ap.add_argument("--micro", type=int, default=1536)
    ap.add_argument("--accumulate", type=int, default=2)
    ap.add_argument("--warmup", type=int, default=40)
    ap.add_argument("--seed", type=int, default=3)
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--workers", type=int, default=2, help="processes that share a step's micro-batches")
    ap.add_argument("--threads", type=int, default=1, help="per worker")
    ap.add_argument("--no-compile", action="store_true")
    a = ap.parse_args()
    a.run.mkdir(parents=True, exist_ok=True)
    if a.minutes and not (a.run / "deadline").exists():
        (a.run / "deadline").write_text(str(int(time.time() + 60 * a.minutes)))
    torch.set_num_threads(a.threads)
    context = torch.multiprocessing.get_context("spawn")
    team = Team(a, context)
    others = [context.Process(target=work, args=(rank, a, team), daemon=True) for rank in range(1, a.workers)]
    for p in others:
        p.start()
    work(0, a, team)
    for p in others:
        p.join()


if __name__ == "__main__":
    main()
