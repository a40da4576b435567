"""Writes a checkpoint as a Hugging Face folder (F16), and checks it against transformers. python export.py <checkpoint> <folder>"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from chat import BOS, END, PAD
from model import Companion, Shape

CONTEXT_MAX = 1024
SAMPLING = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "max_new_tokens": 120}


def load(checkpoint: Path) -> Companion:
    model = Companion(Shape())
    model.load_state_dict(torch.load(checkpoint, weights_only=True, map_location="cpu")["model"])
    return model.eval()


def config(s: Shape) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": s.vocab,
        "hidden_size": s.width, "intermediate_size": s.mlp, "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads, "head_dim": s.head_dim,
        "hidden_act": "silu", "max_position_embeddings": CONTEXT_MAX, "rms_norm_eps": s.eps,
        "rope_theta": s.rope_theta, "rope_scaling": None, "attention_bias": False, "mlp_bias": False,
        "attention_dropout": 0.0, "tie_word_embeddings": True, "initializer_range": 0.02,
        "use_cache": True, "torch_dtype": "float16", "bos_token_id": BOS, "eos_token_id": END,
        "pad_token_id": PAD,
    }


def export(model: Companion, folder: Path):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, p in model.state_dict().items():
        half = p.detach().to(torch.float16).contiguous()
        assert torch.isfinite(half).all(), name
        tensors[f"model.{name}"] = half
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(config(model.s), indent=2) + "\n")
    generation = {"bos_token_id": BOS, "eos_token_id": END, "pad_token_id": PAD, **SAMPLING}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    ours = Path(__file__).resolve().parent.parent
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (ours / name) != (folder / name).resolve():
            shutil.copy(ours / name, folder / name)


@torch.no_grad()
def agree(model: Companion, folder: Path) -> float:
    """The largest difference of the logits between model.py in F16-rounded weights and transformers."""
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rounded = Companion(model.s)
    rounded.load_state_dict({n: p.half().float() for n, p in model.state_dict().items()})
    ids = torch.randint(8, model.s.vocab, (2, 300))
    logits = rounded.hidden(ids) @ rounded.embed_tokens.weight.T
    return (logits - theirs(ids).logits).abs().max().item()


if __name__ == "__main__":
    companion, target = load(Path(sys.argv[1])), Path(sys.argv[2])
    export(companion, target)
    count = sum(p.numel() for p in companion.parameters())
    print(f"{count:,} weights; largest logit difference to transformers {agree(companion, target):.2e}")
