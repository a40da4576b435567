"""The products, the decode and the W_q step of check.mjs in PyTorch, in f32; prints one JSON line.

Usage: torch_side.py '{"device": "cuda", "hidden": 3072, …}', called by check.mjs.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F

given = json.loads(sys.argv[1])
device = given["device"]
if device != "cpu":
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None
if device is None:
    sys.exit("PyTorch sees no graphics card")
torch.set_float32_matmul_precision("highest")
torch.manual_seed(1)

heads, kv_heads = given["heads"], given["kvHeads"]
hidden, inner, size = given["hidden"], given["inner"], given["hidden"] // given["heads"]


def random(rows, columns):
    return torch.randn(rows, columns, device=device) / columns**0.5


def seconds(run, rounds):
    """Best time of some runs; the first is not counted."""
    best = float("inf")
    for i in range(rounds + 1):
        start = time.perf_counter()
        run().cpu()  # waits for the device
        if i > 0:
            best = min(best, time.perf_counter() - start)
    return best


def matrices():
    shapes = {
        **{"q": (hidden, hidden), "k": (kv_heads * size, hidden), "v": (kv_heads * size, hidden)},
        **{"o": (hidden, hidden), "gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)},
    }
    return {name: random(*shape) for name, shape in shapes.items()}


embedding = random(given["vocabulary"], hidden)
layers = [matrices() for _ in range(given["layers"])]


def norm(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def rotated(x, start):
    at = torch.arange(start, start + x.shape[1], device=device).float()
    steps = 10_000 ** (-torch.arange(0, size, 2, device=device).float() / size)
    angles = torch.cat([at[:, None] * steps] * 2, -1)
    half = torch.cat([-x[..., size // 2 :], x[..., : size // 2]], -1)
    return x * angles.cos() + half * angles.sin()


def forward(ids, past):
    """Logits (tokens, vocabulary), and the keys and values of past and new tokens by layer."""
    count, start = len(ids), 0 if past is None else past[0][0].shape[1]
    seen = torch.ones(count, start + count, dtype=torch.bool, device=device).tril(start)
    x, present = embedding[ids], []
    for i, w in enumerate(layers):
        y = norm(x)
        q, k, v = ((y @ w[name].T).view(count, -1, size).transpose(0, 1) for name in "qkv")
        q, k = rotated(q, start), rotated(k, start)
        if past is not None:
            k, v = torch.cat([past[i][0], k], 1), torch.cat([past[i][1], v], 1)
        present.append((k, v))
        k, v = (each.repeat_interleave(heads // kv_heads, 0) for each in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        x = x + y.transpose(0, 1).reshape(count, hidden) @ w["o"].T
        y = norm(x)
        x = x + (F.silu(y @ w["gate"].T) * (y @ w["up"].T)) @ w["down"].T
    return norm(x) @ embedding.T, present


def some(count):
    return torch.arange(count, device=device) * 7919 % given["vocabulary"]


def peak():
    side, products = given["side"], given["products"]
    x = torch.full((side, side), 1 / side, device=device)

    def run():
        y = x
        for _ in range(products):
            y = y @ x
        return y.sum()

    return 2 * products * side**3 / seconds(run, 4) / 1e9


@torch.no_grad()
def decode():
    def reply(prompt, count):
        start = time.perf_counter()
        logits, past = forward(some(prompt), None)
        token = logits[-1:].argmax(-1)
        token.cpu()
        first = time.perf_counter()
        for _ in range(count - 1):
            logits, past = forward(token, past)
            token = logits.argmax(-1)
            token.cpu()
        return prompt / (first - start), (count - 1) / (time.perf_counter() - first)

    reply(8, 2)
    return reply(given["prompt"], given["reply"])


def step():
    with torch.no_grad():
        past = forward(some(given["context"]), None)[1]
        told = F.softmax(forward(some(given["decision"]), past)[0] * 0.9, -1)
    for w in layers:
        w["q"].requires_grad_()

    def run():
        loss = F.kl_div(F.log_softmax(forward(some(given["decision"]), past)[0], -1), told, reduction="batchmean")
        loss.backward()
        return layers[0]["q"].grad.sum()

    return seconds(run, 3) * 1000


gigaflops = peak()
prefill, tokens = decode()
found = {"torch": torch.__version__, "device": device, "gigaflops": gigaflops}
found.update(prefillTokensPerSecond=prefill, tokensPerSecond=tokens, stepMs=step())
print(json.dumps(found))
