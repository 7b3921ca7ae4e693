"""An external memory of keys and values: an input attends to the keys and takes up the values, in several hops.

Shape letters: B documents, N inputs (sub-words or spans of all documents), D input width, K slots, M key size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from model.memory.extended import ContentRead, Extended
from model.memory.similarity import build_similarity
from model.settings import KeyValueReadSettings, RecurrentReadSettings

INITIAL_DEVIATION = 0.1
"""Of keys and values. No classifier pulls the slots apart, so they start further from each other than the memories of
the categories do. Source: MemN2N (arXiv 1503.08895), section 4.2."""


class KeyValueMemory(nn.Module):
    """K learned keys and values, the same for all documents.

    They are parameters, and "writing" is the step of the optimiser on the losses of all sub-tasks, through the reads:
    while nothing is read, nothing is written.

    Source: Key-Value Memory Networks (Miller et al. 2016, arXiv 1606.03126), section 3. There keys and values are
    embeddings of the facts of a knowledge base, chosen for each question; an extractor has no such base, so that they
    are learned and all are addressed.
    """

    def __init__(self, settings: KeyValueReadSettings, width: int) -> None:
        super().__init__()
        self.keys = nn.Parameter(torch.empty(settings.slots, settings.key_size or width))
        self.values = nn.Parameter(torch.empty(settings.slots, width))

    def draw(self) -> None:
        """Initial keys and values."""
        nn.init.normal_(self.keys, std=INITIAL_DEVIATION)
        nn.init.normal_(self.values, std=INITIAL_DEVIATION)

    def forward(self, x_TD: Tensor, length_B: Sequence[int]) -> dict[str, Tensor]:
        """`keys` [K, M] and `values` [K, D], whatever the documents are."""
        return {"keys": self.keys, "values": self.values}


class KeyValueRead(ContentRead):
    """Add to each input what it finds under the keys that it resembles, hop after hop.

        q_1     = x
        A_h[k]  = softmax over the slots k of  S(q_h, key_k)        key addressing
        o_h     = sum_k A_h[k] value_k                              value reading
        q_{h+1} = q_h + o_h
        y       = x combined with o_1 … o_H

    With the mean, y is q_{H+1} / (H + 1). All hops share S, and the sites share the memory, not S, as with the memories
    of the categories.

    Source: key addressing and value reading: Miller et al. 2016 (arXiv 1606.03126), section 3.1; its R_h is the
    identity here, as between the layers of MemN2N (Sukhbaatar et al. 2015, arXiv 1503.08895, section 2.2).
    """

    def __init__(self, settings: KeyValueReadSettings | RecurrentReadSettings, d_input: int, d_key: int) -> None:
        similarity = build_similarity(settings.similarity, d_input, d_key)
        super().__init__(similarity, settings.combined_by, d_input, [d_input] * settings.hops)
        self.hops = settings.hops

    def forward(self, x_ND: Tensor, document_N: Tensor, n_documents: int, memories: Mapping[str, Tensor]) -> Extended:
        """`memories` has `keys` and `values`: [K, ·], one memory for all documents, or [B, K, ·], one for each."""
        key, value = memories["keys"], memories["values"]
        query_ND = x_ND
        read, attention_NK = [], {}
        for hop in range(1, self.hops + 1):
            weight_NK = self._address(query_ND, key, document_N).float().softmax(dim=1)
            read_ND = _weighted(weight_NK.to(value.dtype), value, document_N)
            query_ND = query_ND + read_ND
            read.append(read_ND)
            attention_NK[f"hop {hop}"] = weight_NK
        return Extended(self.combine(x_ND, read), attention_NK)

    def _address(self, query_ND: Tensor, key: Tensor, document_N: Tensor) -> Tensor:
        """Scores of inputs and the slots that they may read."""
        if key.dim() == 2:
            return self.similarity(query_ND, key)
        # against the slots of all documents in one product, of which each input keeps those of its own
        score_NBK = self.similarity(query_ND, key.flatten(0, 1)).unflatten(1, key.shape[:2])
        return score_NBK.gather(1, _own(document_N, key)).squeeze(1)


def _weighted(weight_NK: Tensor, value: Tensor, document_N: Tensor) -> Tensor:
    """The values by their weights: [N, D]."""
    if value.dim() == 2:
        return weight_NK @ value
    weight_NBK = weight_NK.new_zeros(len(weight_NK), *value.shape[:2])
    weight_NBK = weight_NBK.scatter(1, _own(document_N, value), weight_NK[:, None])
    return weight_NBK.flatten(1) @ value.flatten(0, 1)


def _own(document_N: Tensor, slots_BKM: Tensor) -> Tensor:
    """Index of each input's own slots among those of all documents: [N, 1, K]."""
    return document_N[:, None, None].expand(-1, 1, slots_BKM.shape[1])
