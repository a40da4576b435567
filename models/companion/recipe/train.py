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

# Share of the tokens per set. Generated talk (generate.py) is there from the first step: copying must emerge early.
MIX = {
    "sgd": 0.28, "self_dialogue": 0.09, "star": 0.06, "persona": 0.06, "topical": 0.05,
    "taskmaster3": 0.015, "taskmaster4": 0.01, "generated": 0.435,
}
PIECE = 300_000  # tokens drawn at once, then sorted into buckets of equal length
ROUND = 64       # a bucket's length is a multiple of this; rows are padded up to it


class Talks:
    """An endless, seeded stream of micro-batches (ids, targets) of about `micro` tokens."""

    def __init__(self, folder: Path, micro: int, seed: int, state=None):
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
        whole = sum(MIX[n] for n in self.sets)
        while True:
            buckets: dict[int, list] = {}
            for name in self.sets:
                for row in self.draw(name, int(PIECE * MIX[name] / whole)):
                    length = -(-(len(row) - 1) // ROUND) * ROUND
                    length = length if length <= 512 else (768 if length <= 768 else 1024)
                    buckets.setdefault(max(length, 128), []).append(row)
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


class Muon:
    """Momentum, orthogonalised. Matrices of one shape go through Newton-Schulz together."""

    def __init__(self, params, momentum=0.95, decay=0.01):
        self.groups: dict = {}
        for p in params:
            self.groups.setdefault(p.shape, []).append(p)
        self.velocity = {p: torch.zeros_like(p) for ps in self.groups.values() for p in ps}
        self.momentum, self.decay = momentum, decay

    @torch.no_grad()
    def step(self, rate: float):
        for shape, ps in self.groups.items():
            for p in ps:
                self.velocity[p].lerp_(p.grad, 1 - self.momentum)
            stack = torch.stack([p.grad.lerp(self.velocity[p], self.momentum) for p in ps])
            scale = rate * max(1.0, shape[0] / shape[1]) ** 0.5
            for p, update in zip(ps, orthogonal(stack)):
                p.mul_(1 - rate * self.decay).sub_(update, alpha=scale)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("data", type=Path)
    ap.add_argument("run", type=Path)
    ap.add_argument("--minutes", type=float)
    ap.add_argument("--tokens", type=int)
    ap.add_argument("--decay", type=float, default=0.25, help="share of the run in which the rate falls to zero")
    ap.add_argument("--muon", type=float, default=0.02)
    ap.add_argument("--adam", type=float, default=0.003)
    ap.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    ap.add_argument("--micro", type=int, default=4096)
    ap.add_argument("--accumulate", type=int, default=2)
    ap.add_argument("--warmup", type=int, default=60)
    ap.add_argument("--seed", type=int, default=3)
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--no-compile", action="store_true")
    a = ap.parse_args()
    a.run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)

    model = Companion(Shape()).to(a.device)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    muon = Muon(matrices) if a.optimizer == "muon" else None
    adam = torch.optim.AdamW(rest if muon else list(model.parameters()), lr=a.adam,
                             betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    step, seen, spent, state = 0, 0, 0.0, None
    latest = a.run / "latest.pt"
    if latest.exists():
        c = torch.load(latest, weights_only=True)
        model.load_state_dict(c["model"])
        adam.load_state_dict(c["adam"])
        if muon:
            for p, v in zip((p for ps in muon.groups.values() for p in ps), c["muon"]):
                muon.velocity[p].copy_(v)
        step, seen, spent, state = c["step"], c["seen"], c["spent"], c["state"]
    run = model if a.no_compile else torch.compile(model, dynamic=True)
    torch._dynamo.config.cache_size_limit = 32
    talks = Talks(a.data, a.micro, a.seed, state)
    stream = iter(talks)
    began = time.time()
    if a.minutes and not (a.run / "deadline").exists():
        (a.run / "deadline").write_text(str(int(began + 60 * a.minutes)))

    def save(path):
        torch.save({"model": model.state_dict(), "adam": adam.state_dict(), "step": step, "seen": seen,
                    "muon": [muon.velocity[p] for ps in muon.groups.values() for p in ps] if muon else [],
                    "spent": spent + time.time() - began, "state": talks.state}, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)

    def progress():
        """The share of the run that is over, by budget or by the clock."""
        if a.tokens:
            return seen / a.tokens
        left = int((a.run / "deadline").read_text()) - time.time()
        done = spent + time.time() - began
        return done / (done + max(left, 0.0))

    saved, logged, log_seen, losses = time.time(), time.time(), seen, []
    halfway = (a.run / "half.pt").exists()
    while (share := progress()) < 1.0:
        rate = min(1.0, (step + 1) / a.warmup, (1 - share) / a.decay)
        total = 0
        for _ in range(a.accumulate):
            ids, targets = next(stream)
            with torch.autocast(a.device, torch.bfloat16):
                loss = run(ids.to(a.device), None, targets.to(a.device)) / a.accumulate
            loss.backward()
            losses.append(loss.item() * a.accumulate)
            total += int((targets >= 0).sum())
        if muon:
            muon.step(a.muon * rate)
        else:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in adam.param_groups:
            group["lr"] = a.adam * rate
        adam.step()
        model.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + total
        if step % 10 == 0:
            line = {"step": step, "tokens": seen, "loss": round(float(np.mean(losses)), 4),
                    "rate": round(rate, 4), "share": round(share, 4),
                    "tokens_per_second": round((seen - log_seen) / (time.time() - logged)),
                    "seconds": round(spent + time.time() - began)}
            with open(a.run / "log.jsonl", "a") as f:
                f.write(json.dumps(line) + "\n")
            logged, log_seen, losses = time.time(), seen, []
        if not halfway and share >= 0.5:
            save(a.run / "half.pt")
            halfway = True
        if time.time() - saved > 150:
            save(latest)
            saved = time.time()
    save(latest)
    save(a.run / "final.pt")


if __name__ == "__main__":
    main()
