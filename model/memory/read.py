"""Reading the memories of the categories: two directions, one similarity.

    inverse read     a category looks up the inputs that resemble it      weights sum to 1 over the inputs
    slot-wise read   an input looks up the categories that it resembles   weights sum to 1 over the categories

Memories beside them are read as in `key_value`.

Shape letters: N inputs (sub-words or spans of all documents), D input width, K categories, M slot size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from model.memory.extended import ContentRead, Extended
from model.memory.key_value import KeyValueRead
from model.memory.similarity import build_similarity
from model.ragged import segment_size, segment_softmax
from model.settings import (
    InverseReadSettings,
    KeyValueReadSettings,
    ReadSettings,
    RecurrentReadSettings,
    SlotwiseReadSettings,
)


def _similarities(
    settings: InverseReadSettings | SlotwiseReadSettings, d_input: int, memories: Mapping[str, Tensor]
) -> nn.ModuleDict:
    """One similarity a memory, each with weights of its own."""
    return nn.ModuleDict(
        {
            memory: build_similarity(settings.similarity, d_input, memories[memory].shape[1])
            for memory in settings.memories
        }
    )


class InverseRead(nn.Module):
    """Scale each input by how much attention the categories pay to it.

        A[x, k] = softmax over the inputs x of one document of  S(x, m_k)       Eq. (1)
        a[x]    = sum_k A[x, k]
        x'      = a[x] · x                                                      Eq. (2)
        y       = mean of x and the x' of every memory that is read

    With `normalisation: rescaled`, a[x] is multiplied by n / K for n inputs, so that its mean is 1 whatever n is; else
    the mean of the factor is (1 + K / n) / 2 for one memory, and depends on how many candidates there are.

    Source: MRE, section 3.1, Eq. (1), Eq. (2). The paper leaves open over what the softmax runs; as in the released
    code it runs over the inputs, for each category by itself.
    """

    def __init__(self, settings: InverseReadSettings, d_input: int, memories: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.settings = settings
        self.similarity = _similarities(settings, d_input, memories)

    def forward(self, x_ND: Tensor, document_N: Tensor, n_documents: int, memories: Mapping[str, Tensor]) -> Extended:
        """`document_N`: the document of each input. Documents without inputs are allowed."""
        slots = {
            name: memories[name] if self.settings.gradient else memories[name].detach() for name in self.similarity
        }
        score = [similarity(x_ND, slots[memory]) for memory, similarity in self.similarity.items()]
        # of all memories at once, as each category is by itself
        weight_NK = segment_softmax(torch.cat(score, dim=1), document_N, n_documents)
        attention_NK = dict(zip(slots, weight_NK.split([len(memory) for memory in slots.values()], dim=1), strict=True))
        if self.settings.normalisation == "rescaled":
            gate_N = torch.stack([weight.mean(dim=1) for weight in attention_NK.values()]).sum(dim=0)
            gate_N = gate_N * segment_size(document_N, n_documents).index_select(0, document_N)
        else:
            gate_N = weight_NK.sum(dim=1)
        factor_N = (1 + gate_N) / (1 + len(slots))
        return Extended(x_ND * factor_N[:, None].to(x_ND.dtype), attention_NK)


class SlotwiseRead(ContentRead):
    """Add to each input what it finds in the categories that it resembles.

        A[x, k] = softmax over k of  S(x, m_k)
        r[x]    = sum_k A[x, k] m_k
        y       = x combined with the r of every memory that is read

    Source: TriMF (arXiv 2101.10213), section 3.2, Eq. (1), Eq. (2), its "normal read".
    """

    def __init__(self, settings: SlotwiseReadSettings, d_input: int, memories: Mapping[str, Tensor]) -> None:
        widths = [memories[memory].shape[1] for memory in settings.memories]
        super().__init__(_similarities(settings, d_input, memories), settings.combined_by, d_input, widths)
        self.settings = settings

    def forward(self, x_ND: Tensor, document_N: Tensor, n_documents: int, memories: Mapping[str, Tensor]) -> Extended:
        assert isinstance(self.similarity, nn.ModuleDict)
        attention_NK = {}
        read = []
        for memory, similarity in self.similarity.items():
            memory_KM = memories[memory] if self.settings.gradient else memories[memory].detach()
            attention_NK[memory] = similarity(x_ND, memory_KM).float().softmax(dim=1)
            read.append(attention_NK[memory].to(x_ND.dtype) @ memory_KM.to(x_ND.dtype))
        return Extended(self.combine(x_ND, read), attention_NK)


Read = InverseRead | SlotwiseRead | KeyValueRead


def build_read(settings: ReadSettings, d_input: int, memories: Mapping[str, Tensor]) -> Read:
    """A read at one site. `memories`: those of the categories, for their slot sizes."""
    match settings:
        case InverseReadSettings():
            return InverseRead(settings, d_input, memories)
        case SlotwiseReadSettings():
            return SlotwiseRead(settings, d_input, memories)
        case KeyValueReadSettings(key_size=size) | RecurrentReadSettings(slot_size=size):
            return KeyValueRead(settings, d_input, size or d_input)
