"""The companion as a plain PyTorch Llama: parameter names are Hugging Face's; knows nothing of data or tokens' meaning."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    vocab: int = 4096
    width: int = 320
    layers: int = 6
    heads: int = 10  # head_dim 32, so that W_q stays square
    kv_heads: int = 5
    mlp: int = 864
    rope_theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.width // self.heads


class RMSNorm(nn.Module):
    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (wide * self.weight).to(x.dtype)


def rotate(x, cos, sin):
    """Half-split RoPE as in Hugging Face. x: [batch, heads, length, head_dim]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Attention(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        kv = s.kv_heads * s.head_dim
        self.q_proj = nn.Linear(s.width, s.width, bias=False)
        self.k_proj = nn.Linear(s.width, kv, bias=False)
        self.v_proj = nn.Linear(s.width, kv, bias=False)
        self.o_proj = nn.Linear(s.width, s.width, bias=False)

    def forward(self, x, cos, sin, mask, goals=None):
        s, (batch, length, _) = self.s, x.shape
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))
        both = F.linear(x, weight).view(batch, length, -1, s.head_dim).transpose(1, 2)
        q, k, v = both.split((s.heads, s.kv_heads, s.kv_heads), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = s.heads // s.kv_heads  # query head h reads kv head h // group
        k, v = (t.repeat_interleave(group, dim=1) for t in (k, v))
        looked = None
        if goals is not None:
            chosen = [h for h, _ in goals]
            logits = (q[:, chosen] @ k[:, chosen].mT).float() * s.head_dim ** -0.5
            past = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
            logp = logits.masked_fill(~past, -1e9).log_softmax(-1)  # [batch, chosen, length, length]
            looked = sum(attention_loss(logp[:, i], goal) for i, (_, goal) in enumerate(goals)) / len(goals)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, s.width)), looked


class MLP(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.gate_proj = nn.Linear(s.width, s.mlp, bias=False)
        self.up_proj = nn.Linear(s.width, s.mlp, bias=False)
        self.down_proj = nn.Linear(s.mlp, s.width, bias=False)

    def forward(self, x):
        gate, up = F.linear(x, torch.cat((self.gate_proj.weight, self.up_proj.weight))).chunk(2, -1)
        return self.down_proj(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.input_layernorm = RMSNorm(s.width, s.eps)
        self.self_attn = Attention(s)
        self.post_attention_layernorm = RMSNorm(s.width, s.eps)
        self.mlp = MLP(s)

    def forward(self, x, cos, sin, mask, goals=None):
        attended, looked = self.self_attn(self.input_layernorm(x), cos, sin, mask, goals)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), looked


class Companion(nn.Module):
    """ids [batch, length], one conversation a row, padded on the right -> losses or hidden states."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.embed_tokens = nn.Embedding(s.vocab, s.width)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.norm = RMSNorm(s.width, s.eps)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02 if "embed" in name else 0.5 * p.shape[1] ** -0.5
                nn.init.normal_(p, std=std)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(p)

    def hidden(self, ids, mask, goals=None):
        """-> hidden states [batch, length, width]; with goals ({layer: [(head, goal)]}) also the attention loss."""
        length, half = ids.shape[1], self.s.head_dim // 2
        place = {"dtype": torch.float32, "device": ids.device}
        rate = self.s.rope_theta ** (-torch.arange(half, **place) / half)
        angle = torch.arange(length, **place)[:, None] * rate  # [length, half]
        x = self.embed_tokens(ids)
        if torch.is_autocast_enabled(ids.device.type):
            x = x.bfloat16()
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        total = 0.0
        for i, layer in enumerate(self.layers):
            x, looked = layer(x, cos, sin, mask, (goals or {}).get(i))
            total = total if looked is None else total + looked
        return self.norm(x) if goals is None else (self.norm(x), total)

    def forward(self, ids, mask, targets, stage=0):
        """mask: None (causal) or bool [batch, 1, length, length], true = may attend. targets: -100 does not count.

        -> the token loss and the attention loss of the guided heads (0 at stage 0).
        """
        hidden, looked = self.hidden(ids, mask, goals_of(ids, targets, stage)) if stage else (self.hidden(ids, mask), 0.0)
        logits = F.linear(hidden, self.embed_tokens.weight).float()
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100), looked


FREQUENT = 400  # token ids below are bytes and the commonest pieces: where they stood before says little


def goals_of(ids, targets, stage):
    """Where some heads are asked to look while training is young: {layer: [(head, bool [batch, row, column])]}.

    Stage 1, copying on. Layer 1, heads 0 and 2: the previous token. Layer 3, heads 0-3: what followed an earlier
    occurrence of the current token, where it is the next token again. Layer 4, heads 0-3: any earlier place of the
    next token, if it is rare. Copying needs all three at once, and waiting for them to meet by chance costs more
    tokens than there are here. Stage 2, beginning to copy. Layer 4, heads 4-7, and layer 5, heads 0-3: where the next
    two tokens stood before (at most four places), unless a copy is already under way.
    """
    length = ids.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    match = ids[:, None, :] == targets[:, :, None]  # column holds the row's next token
    same = match & before
    was = F.pad(match, (1, 0, 1, 0))[:, :-1, :-1]  # column's predecessor is the row's current token
    if stage == 1:
        rare = same & (targets >= FREQUENT)[:, :, None]
        previous = torch.zeros_like(before)
        previous[torch.arange(1, length), torch.arange(length - 1)] = True
        previous = previous & (targets >= 0)[:, :, None]
        return {1: [(0, previous), (2, previous)], 3: [(h, same & was) for h in range(4)],
                4: [(h, rare) for h in range(4)]}
    ahead = F.pad(same, (0, 1, 0, 1))[:, 1:, 1:]  # the token after next follows there too
    starts = same & ahead
    under_way = (starts & was & F.pad(was, (1, 0, 1, 0))[:, :-1, :-1]).any(-1)
    places = starts.sum(-1)
    starts = starts & ((places <= 4) & (targets > 5) & ~under_way)[:, :, None]
    return {4: [(h, starts) for h in range(4, 8)], 5: [(h, starts) for h in range(4)]}


def attention_loss(logp, goal):
    """-log of the attention mass on the goal, mean over rows that have one. logp, goal: [batch, row, column]."""
    has = goal.any(-1)
    mass = logp.masked_fill(~goal, -1e9).logsumexp(-1)
    return -(mass.masked_fill(~has, 0.0)).sum() / has.sum().clamp(min=1)
