"""Runs PyTorch on request: one JSON line in, one out. A plain Llama with the fused attention of torch."""

import json
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

folder = sys.argv[1]
config = json.load(open(f"{folder}/config.json"))
weights = load_file(f"{folder}/model.safetensors")
layers, heads, kv_heads = (config[k] for k in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads"))
head_dim, hidden = config["head_dim"], config["hidden_size"]
inverse = 1.0 / (config["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim))
queries = [weights[f"model.layers.{i}.self_attn.q_proj.weight"] for i in range(layers)]
lora = []


def norm(x, name):
    return F.rms_norm(x, (hidden,), weights[name], config["rms_norm_eps"])


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def forward(ids, past, use_lora):
    """(length) ids upon a past of (kv_heads, p, head_dim) pairs → logits (length, vocabulary)."""
    start = past[0][0].shape[1] if past else 0
    length = ids.shape[0]
    angles = torch.outer(torch.arange(start, start + length).float(), inverse)
    cos, sin = angles.cos(), angles.sin()
    x = weights["model.embed_tokens.weight"][ids]
    mask = None
    if start:
        mask = torch.ones(length, start + length, dtype=torch.bool).tril(start)
    for i in range(layers):
        p = f"model.layers.{i}."
        y = norm(x, p + "input_layernorm.weight")
        q = y @ queries[i].T
        if use_lora:
            q = q + (y @ lora[i][0]) @ lora[i][1]
        q = q.view(length, heads, head_dim).transpose(0, 1)
        k = (y @ weights[p + "self_attn.k_proj.weight"].T).view(length, kv_heads, head_dim).transpose(0, 1)
        v = (y @ weights[p + "self_attn.v_proj.weight"].T).view(length, kv_heads, head_dim).transpose(0, 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if past:
            k, v = torch.cat((past[i][0], k), 1), torch.cat((past[i][1], v), 1)
        a = F.scaled_dot_product_attention(q[None], k[None], v[None], mask, is_causal=mask is None, enable_gqa=True)[0]
        x = x + a.transpose(0, 1).reshape(length, hidden) @ weights[p + "self_attn.o_proj.weight"].T
        y = norm(x, p + "post_attention_layernorm.weight")
        gate = F.silu(y @ weights[p + "mlp.gate_proj.weight"].T) * (y @ weights[p + "mlp.up_proj.weight"].T)
        x = x + gate @ weights[p + "mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight") @ weights["model.embed_tokens.weight"].T


def frozen_step(ids, context):
    """Gradient of the decision's loss for every W_q; the cache of the context is at hand."""
    for q in queries:
        q.requires_grad_(True)
        q.grad = None
    torch.manual_seed(0)
    past = [tuple(torch.randn(kv_heads, context, head_dim) for _ in "kv") for _ in range(layers)]
    start = time.perf_counter()
    loss = F.cross_entropy(forward(ids[:-1], past, False), ids[1:])
    loss.backward()
    return (time.perf_counter() - start) * 1000


def lora_step(ids, context):
    """The usual way: the whole sequence with gradient, a rank-16 adapter on every q_proj."""
    for q in queries:
        q.requires_grad_(False)
    if not lora:
        for _ in range(layers):
            pair = torch.randn(hidden, 16) / 20, torch.zeros(16, heads * head_dim)
            lora.append(tuple(t.requires_grad_(True) for t in pair))
    whole = torch.cat((torch.arange(context) % config["vocab_size"], ids))
    start = time.perf_counter()
    logits = forward(whole[:-1], None, True)
    F.cross_entropy(logits[context:], whole[1 + context :]).backward()
    return (time.perf_counter() - start) * 1000


print(json.dumps({"ready": True, "version": torch.__version__}), flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    torch.set_num_threads(ask["threads"])
    step = frozen_step if ask["do"] == "frozen" else lora_step
    print(json.dumps({"ms": step(torch.tensor(ask["ids"]), ask["context"])}), flush=True)
