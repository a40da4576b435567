"""Pairs and crossed pairs from directions/sgd-dev: the same two candidates in two contexts where opposite ones are right."""

import difflib
import re
from pathlib import Path

from data import clean, read

KINDS = ("decline_push", "reject_offer_alts", "change_mind", "correct_confirm")


def context_of(event):
    return [(t["role"], clean(t["text"])) for t in event["context"]]


def plain_pairs(root: Path, split="sgd-dev"):
    for event in read(root / f"directions/{split}.jsonl.gz"):
        foil = event.get("foil")
        if foil and "dontcare" not in foil and event["reply"] != foil:
            yield {"id": event["id"], "kind": event["kind"], "context": context_of(event) if "context" in event else None,
                   "right": clean(event["reply"]), "wrong": clean(foil)}


def exchange(text: str, pairs) -> str:
    """Each old value becomes the new one and the other way round, throughout."""
    table = {}
    for old, new in pairs:
        table |= {old.lower(): new, new.lower(): old}
    pattern = r"(?<!\w)(" + "|".join(re.escape(v) for v in sorted(table, key=len, reverse=True)) + r")(?!\w)"
    return re.sub(pattern, lambda m: table[m.group(0).lower()], text, flags=re.I)


def replaced(foil: str, reply: str):
    """The word spans in which foil and reply differ, as (old, new); None where it is no plain exchange."""
    a, b = (re.findall(r"\w[\w:.,$'&-]*\w|\S", t) for t in (foil, reply))
    pairs = []
    for how, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if how == "replace":
            pairs.append((" ".join(a[i:j]), " ".join(b[k:m])))
        elif how != "equal":
            return None
    return pairs


def has(text: str, v: str) -> bool:
    return re.search(r"(?<!\w)" + re.escape(v) + r"(?!\w)", text, flags=re.I) is not None


def accepts(root: Path):
    """Plain acceptances of an offered intent, as the people of the dev split said them, by service."""
    found: dict = {}
    for d in read(root / "pretrain/sgd/dev.jsonl.gz"):
        for t in d["turns"]:
            if t["role"] == "user" and t.get("acts") and {a[0] for a in t["acts"]} == {"AFFIRM_INTENT"}:
                for service in (*d["services"], "any"):
                    found.setdefault(service, []).append(clean(t["text"]))
    return found


def crossed_pairs(root: Path):
    """-> {kind, first: (context, right, wrong), second: (context, right, wrong)}, candidates exchanged."""
    yes, taken = accepts(root), 0
    for event in read(root / "directions/sgd-dev.jsonl.gz"):
        foil, reply, context = event.get("foil"), clean(event["reply"]), context_of(event)
        if not foil or "dontcare" in foil or foil == reply:
            continue
        foil = clean(foil)
        text = " ".join(t for _, t in context)
        if event["kind"] == "decline_push":
            texts = yes.get(event["services"][0]) or yes["any"]
            other = context[:-1] + [("user", texts[taken * 37 % len(texts)])]
            taken += 1
        else:
            if event["kind"] == "reject_offer_alts":
                pairs = replaced(foil, reply)
                in_context = pairs and all(has(text, old) and not has(text, new) for old, new in pairs)
            else:
                pairs = [(old, new) for _, old, new in event["changes"] if old and new]
                in_context = len(pairs) == 1 and all(has(text, v) for v in pairs[0])
            clear = in_context and all(len(v) > 2 and not has(old, new) and not has(new, old)
                                       for old, new in pairs for v in (old, new))
            if not clear or exchange(reply, pairs) != foil or exchange(foil, pairs) != reply:
                continue
            other = [(role, exchange(t, pairs)) for role, t in context]
        yield {"id": event["id"], "kind": event["kind"], "first": (context, reply, foil),
               "second": (other, foil, reply)}
