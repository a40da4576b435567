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

    def heads(self, x, cos, sin):
        """-> q, k, v, each [batch, heads, length, head_dim]."""
        s, (batch, length, _) = self.s, x.shape
        weight = torch.cat((self.q_proj.weight, self.k_proj.weight, self.v_proj.weight))
        both = F.linear(x, weight).view(batch, length, -1, s.head_dim).transpose(1, 2)
        q, k, v = both.split((s.heads, s.kv_heads, s.kv_heads), dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        group = s.heads // s.kv_heads  # query head h reads kv head h // group
        return q, *(t.repeat_interleave(group, dim=1) for t in (k, v))

    def mix(self, q, k, v):
        """Causal attention -> [batch, length, width]. On the CPU PyTorch's fused one is slower going back."""
        length = q.shape[2]
        if q.device.type == "cpu":
            logits = (q @ k.mT).float() * self.s.head_dim ** -0.5
            ahead = torch.arange(length)[:, None] < torch.arange(length)
            out = logits.masked_fill(ahead, -1e9).softmax(-1).to(v.dtype) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(q.shape[0], length, self.s.width))

    def look(self, q, k, goals):
        """The attention loss of some heads; goals: [(head, bool [batch, row, column])]."""
        length, chosen = q.shape[2], [h for h, _ in goals]
        logits = (q[:, chosen] @ k[:, chosen].mT).float() * self.s.head_dim ** -0.5
        past = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
        logp = logits.masked_fill(~past, -1e9).log_softmax(-1)  # [batch, chosen, length, length]
        return sum(attention_loss(logp[:, i], goal) for i, (_, goal) in enumerate(goals)) / len(goals)


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

    def heads(self, x, cos, sin):
        return self.self_attn.heads(self.input_layernorm(x), cos, sin)

    def rest(self, x, q, k, v):
        x = x + self.self_attn.mix(q, k, v)
        return x + self.mlp(self.post_attention_layernorm(x))


def weighted(hidden, embedding, targets, weight):
    """-> weighted mean loss, loss of each token."""
    logits = F.linear(hidden, embedding).float()
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="none")
    return (each * weight).sum() / weight.sum(), each


class Companion(nn.Module):
    """ids [batch, length], one conversation a row, padded on the right -> losses or hidden states."""

    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.compiled: dict | None = None  # {} asks for compilation
        self.embed_tokens = nn.Embedding(s.vocab, s.width)
        self.layers = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.norm = RMSNorm(s.width, s.eps)
        self.register_buffer("common", torch.zeros(s.vocab, dtype=torch.bool), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                std = 0.02 if "embed" in name else 0.5 * p.shape[1] ** -0.5
                nn.init.normal_(p, std=std)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(p)

    def hidden(self, ids, goals=None):
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
            q, k, v = self.call(Layer.heads)(layer, x, cos, sin)
            if goals and i in goals:
                total = total + layer.self_attn.look(q, k, goals[i])
            x = self.call(Layer.rest)(layer, x, q, k, v)
        return self.norm(x) if goals is None else (self.norm(x), total)

    def call(self, part):
        """A part of the network, compiled if asked: small parts compile in seconds and serve every length."""
        if self.compiled is None:
            return part
        return self.compiled.setdefault(part, torch.compile(part, dynamic=True))

    def forward(self, ids, targets, stage=0, focus=0.0):
        """targets: -100 does not count.

        -> the token loss (tokens that begin a copy count 1 + focus times), the attention loss of the guided heads (0 at
        stage 0), and the plain loss of the tokens that begin a copy.
        """
        places, begins = copies(ids, targets, self.common)
        goals = goals_of(ids, targets, places, stage) if stage else None
        hidden, looked = self.hidden(ids, goals) if stage else (self.hidden(ids), 0.0)
        begins = begins.flatten().float()
        weight = (targets.flatten() >= 0).float() + focus * begins
        loss, each = self.call(weighted)(hidden, self.embed_tokens.weight, targets, weight)
        return loss, looked, (each.detach() * begins).sum() / begins.sum().clamp(min=1)


FREQUENT = 400  # token ids below are bytes and the commonest pieces: where they stood before says little


FAR = 24         # a copy from closer by is easy (the slot that was just asked about) and does not count
WINDOW = 14      # a copy's source: the value's first token and what follows it, for a slot may be named after its value


def copies(ids, targets, common):
    """Rows whose next two tokens begin a copy -> (places [batch, row, column] where they stood before, begins [batch, row]).

    At most four places, all `FAR` back; none with the row's own token before it, unless that is one of the `common` (bool [vocab]): else a
    copy is under way already, where `is` before a value says nothing.
    """
    length = ids.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    same = (ids[:, None, :] == targets[:, :, None]) & before  # column holds the row's next token
    ahead = F.pad(same, (0, 1, 0, 1))[:, 1:, 1:]  # the token after next follows there too
    was = F.pad(ids[:, None, :] == ids[:, :, None], (1, 0))[:, :, :-1]  # column's predecessor is the row's token
    starts = same & ahead
    count = starts.sum(-1)
    under_way = (starts & was).any(-1) & ~common[ids]
    at = torch.arange(length, device=ids.device)
    close = (starts & (at[:, None] - at < FAR)).any(-1)
    begins = ~close & (count > 0) & (count <= 4) & ~common[targets.clamp(min=0)] & (targets > 5) & ~under_way
    return starts & begins[:, :, None], begins


def goals_of(ids, targets, places, stage):
    """Where some heads are asked to look while training is young: {layer: [(head, bool [batch, row, column])]}.

    Stage 1, copying on. Layer 1, heads 0 and 2: the previous token. Layer 3, heads 0-3: what followed an earlier
    occurrence of the current token, where it is the next token again. Layer 4, heads 0-3: any earlier place of the
    next token, if it is rare. Copying needs all three at once, and waiting for them to meet by chance costs more
    tokens than there are here. Stage 2, beginning to copy. Layer 4, heads 4-7, and layer 5, heads 0-3: within `WINDOW`
    tokens from where the next two tokens stood before.
    """
    length = ids.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    if stage == 1:
        same = (ids[:, None, :] == targets[:, :, None]) & before
        was = F.pad(ids[:, None, :] == ids[:, :, None], (1, 0))[:, :, :-1]
        rare = same & (targets >= FREQUENT)[:, :, None]
        previous = torch.zeros_like(before)
        previous[torch.arange(1, length), torch.arange(length - 1)] = True
        previous = previous & (targets >= 0)[:, :, None]
        return {1: [(0, previous), (2, previous)], 3: [(h, same & was) for h in range(4)],
                4: [(h, rare) for h in range(4)]}
    near = F.max_pool1d(F.pad(places.float().flatten(0, 1)[:, None], (WINDOW - 1, 0)), WINDOW, 1)
    near = (near[:, 0].view_as(places) > 0) & before
    return {4: [(h, near) for h in range(4, 8)], 5: [(h, near) for h in range(4)]}


def attention_loss(logp, goal):
    """-log of the attention mass on the goal, mean over rows that have one. logp, goal: [batch, row, column]."""
    has = goal.any(-1)
    mass = logp.masked_fill(~goal, -1e9).logsumexp(-1)
    return -(mass.masked_fill(~has, 0.0)).sum() / has.sum().clamp(min=1)
