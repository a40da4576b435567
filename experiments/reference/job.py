"""Trains a job that `attune night export-job` wrote, where the model and a graphics card are.

Its lessons are those of a person's night: moments, what their teacher is told, and what the placebo's is told. They are
learnt as night.py learns its own (crossed replies by the teacher's choice, others by its whole distribution), beside
what is held. Two adapters of PEFT come out: `adapter` and `placebo`. Nothing is judged here: the gate does that at home.

    python job.py MODEL.gguf           (in the folder of the job; or a Hugging Face folder, or a name on its hub)
"""
import argparse, json, time
from pathlib import Path
import torch
from safetensors.torch import save_file
from night import ARMS, Lesson, choice_of, encode, freeze, load, log_probs, prefill, put, render, train

CHOICE_TOKENS = 12  # that count, from the first one in which two replies differ
FOLDERS = {"night": "adapter", "placebo": "placebo"}

@torch.no_grad()
def whole(model, tok, messages, told, reply, most):
    """A reply to messages, with the distributions of the model that is told something else."""
    teacher, ids = encode(tok, render(tok, told)), (encode(tok, reply) + [tok.eos_token_id])[:most]
    target = log_probs(model, prefill(model, teacher[:-1]), [teacher[-1:] + ids[:-1]])[0]
    prompt, context = freeze(model, tok, messages)
    return Lesson(prompt, ids, target.half().cpu(), context)

def crossed(tok, one, most):
    """The beginnings of both replies, a little past their first difference; None where one alone is learnt."""
    if "pair" not in one or "rejected" not in one:
        return None
    two = [encode(tok, one[name])[:most] for name in ("chosen", "rejected")]
    first = next((i for i, (a, b) in enumerate(zip(*two)) if a != b), None)
    return None if first is None else [ids[:first + CHOICE_TOKENS] for ids in two]

def lessons_of(model, tok, given, most):
    """By arm, the sides of each pair together."""
    units = {arm: {} for arm in ARMS}
    for one in given:
        messages, said = one["messages"], {"night": (one["teacher"]["last"], one["chosen"])}
        if "placebo" in one:
            said["placebo"] = one["placebo"]["last"], one["placebo"]["reply"]
        told = {arm: [*messages[:-1], {"role": "user", "content": last}] for arm, (last, _) in said.items()}
        two = crossed(tok, one, most)
        choice = two and choice_of(model, tok, messages, told, two)
        for arm, (_, reply) in said.items():
            lesson = choice or whole(model, tok, messages, told[arm], reply, most)
            units[arm].setdefault(one["pair"]["id"] if two else one["id"], []).append(lesson)
    return {arm: list(of.values()) for arm, of in units.items()}

def save(folder, model, queries, deltas, rank, base):
    """As PEFT has an adapter: the factors of each delta that keep most of it at this rank."""
    folder.mkdir(exist_ok=True)
    names, tensors = {part: name for name, part in model.named_modules()}, {}
    for query, delta in zip(queries, deltas):
        u, s, v = torch.linalg.svd(delta.float().cpu(), full_matrices=False)
        root, where = s[:rank].sqrt(), f"base_model.model.{names[query]}"
        tensors[f"{where}.lora_A.weight"] = (root[:, None] * v[:rank]).contiguous()
        tensors[f"{where}.lora_B.weight"] = (u[:, :rank] * root).contiguous()
    save_file(tensors, folder / "adapter_model.safetensors")
    rank = min(rank, *(min(delta.shape) for delta in deltas))
    config = dict(peft_type="LORA", task_type="CAUSAL_LM", base_model_name_or_path=base, r=rank, lora_alpha=rank,
                  target_modules=["q_proj"], lora_dropout=0, bias="none", inference_mode=True)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2))

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a GGUF file, a Hugging Face folder, or a name on its hub")
    parser.add_argument("--job", type=Path, default=Path(__file__).parent, help="folder of the job (default: this one)")
    parser.add_argument("--steps", type=int, help="other than the job says")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32", help="of the frozen weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    a = argparse.Namespace(**json.loads((given.job / "job.json").read_text()), rate=1e-5)
    a.steps = given.steps or a.steps
    torch.set_num_threads(given.threads)
    torch.manual_seed(a.seed)
    model, tok, queries = load(given.model, getattr(torch, given.dtype), given.device)
    read = lambda name: [json.loads(line) for line in (given.job / name).read_text().splitlines()]
    taught = lessons_of(model, tok, read("lessons.jsonl"), a.replyTokens)
    hold = [whole(model, tok, x["messages"], x["messages"], x["chosen"], a.replyTokens) for x in read("holds.jsonl")]
    for arm, units in taught.items():
        if not units:
            continue
        began = time.time()
        deltas, history = train(model, queries, units, hold, arm, a)
        save(given.job / FOLDERS[arm], model, queries, deltas, a.rank, given.model)
        out = dict(steps=len(history), seconds=time.time() - began, history=history)
        (given.job / f"{FOLDERS[arm]}.json").write_text(json.dumps(out))
    put(queries, None)

if __name__ == "__main__":
    main()
