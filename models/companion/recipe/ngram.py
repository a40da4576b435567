"""An interpolated Kneser-Ney n-gram model on token ids, in sorted numpy arrays: the perplexity baseline."""

import numpy as np

BITS = 12  # 4,096 tokens
DISCOUNT = 0.75


def grams(ids, n):
    """Each run of n ids as one integer, the last token in the lowest bits."""
    ids = ids.astype(np.uint64)
    key = np.zeros(len(ids) - n + 1, dtype=np.uint64)
    for i in range(n):
        key = (key << np.uint64(BITS)) | ids[i:len(ids) - n + 1 + i]
    return key


def find(keys, values, query):
    at = np.minimum(np.searchsorted(keys, query), len(keys) - 1)
    return np.where(keys[at] == query, values[at], 0)


class KneserNey:
    """p(w|h) = max(c(hw) - D, 0) / c(h) + D N(h) / c(h) p(w|h'); lower orders count left neighbours.

    Source: Chen and Goodman (1998), interpolated Kneser-Ney with one discount.
    """

    def __init__(self, ids, order=4):
        self.order, self.tables = order, {}
        keys, counts = np.unique(grams(ids, order), return_counts=True)
        for n in range(order, 0, -1):
            history, start = np.unique(keys >> np.uint64(BITS), return_index=True)
            self.tables[n] = (keys, counts, history, np.add.reduceat(counts, start),
                              np.diff(np.append(start, len(keys))))
            keys, counts = np.unique(keys & np.uint64((1 << (BITS * (n - 1))) - 1), return_counts=True)

    def log_probs(self, ids, vocab=4096):
        """log p of ids[order-1:], each given its order-1 predecessors."""
        p = np.full(len(ids) - self.order + 1, 1.0 / vocab)
        for n in range(1, self.order + 1):
            keys, counts, history, total, kinds = self.tables[n]
            key = grams(ids, n)[self.order - n:]
            h = key >> np.uint64(BITS)
            c, whole, kind = find(keys, counts, key), find(history, total, h), find(history, kinds, h)
            seen = whole > 0
            safe = np.where(seen, whole, 1)
            p = np.where(seen, np.maximum(c - DISCOUNT, 0) / safe + DISCOUNT * kind / safe * p, p)
        return np.log(p)
