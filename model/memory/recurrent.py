"""A memory with a state that a document writes as it is read, segment by segment.

Shape letters: B documents, T sub-words of all documents, C segments, L sub-words of a segment, K slots, D input width,
M slot size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.settings import RecurrentReadSettings


class RecurrentMemory(nn.Module):
    """K gated slots, each with a learned key w and a state h of norm 1, written by one segment after another.

        z_i     = P x_i                                                     a sub-word in the width of a slot
        s_k     = sum_i a_i z_i,  a = softmax over the sub-words i of the segment of  w_k · z_i
        g_k     = σ(s_k · h_k + s_k · w_k)                                  Eq. (2): does the segment concern the slot?
        c_k     = φ(U h_k + V w_k + W s_k)                                  Eq. (3), φ a parametric ReLU
        h_k     ← h_k + g_k c_k,  then  h_k ← h_k / |h_k|                   Eq. (4), (5): normalising forgets
        value_k = H h_k,  at the end of the document

    Slots share all weights but their keys, from which each document starts anew: h_k = w_k / |w_k|. Reads address the
    state as it is at the end of the document, as `KeyValueRead` addresses keys. So a sub-word also learns of what comes
    after it, as it does in the encoder.

    Source: Recurrent Entity Networks (Henaff et al. 2017, arXiv 1612.03969), section 2; H is that of its output module.
    Where we differ: a segment is a number of sub-words, as in the Recurrent Memory Transformer (Bulatov et al.
    2022, arXiv 2207.06881), not a sentence; each slot attends to the segment, as memory does there, where the source
    has one sum of the words for all slots; W s_k has a bias.
    """

    def __init__(self, settings: RecurrentReadSettings, width: int) -> None:
        super().__init__()
        size = settings.slot_size or width
        self.segment = settings.segment
        self.keys = nn.Parameter(torch.empty(settings.slots, size))
        self.inputs = nn.Linear(width, size, bias=False)
        self.state_update = nn.Linear(size, size, bias=False)
        self.key_update = nn.Linear(size, size, bias=False)
        self.segment_update = nn.Linear(size, size)
        self.activation = nn.PReLU()
        self.values = nn.Linear(size, width, bias=False)

    def draw(self) -> None:
        """Initial keys, of norm 1 or so."""
        nn.init.normal_(self.keys, std=self.keys.shape[1] ** -0.5)

    def forward(self, x_TD: Tensor, length_B: Sequence[int]) -> dict[str, Tensor]:
        """`keys` [B, K, M], the states, and `values` [B, K, D]. length_B: sub-words of every document, in order."""
        z_BCLM, real_BCL = self._segments(self.inputs(x_TD), length_B)
        # padding has the lowest finite score: a segment of nothing but padding has no NaN in its gradient
        score_BCLK = functional.linear(z_BCLM, self.keys).float()
        score_BCLK = score_BCLK.masked_fill(~real_BCL[..., None], torch.finfo(torch.float32).min)
        weight_BCKL = score_BCLK.softmax(dim=2).transpose(2, 3)
        segment_BCKM = weight_BCKL.to(z_BCLM.dtype) @ z_BCLM
        # all that does not depend on the state, before the only loop
        update_BCKM = self.segment_update(segment_BCKM) + self.key_update(self.keys)
        key_gate_BCK = (segment_BCKM * self.keys).sum(dim=-1)
        written_BC = real_BCL.any(dim=2)
        state_BKM = functional.normalize(self.keys, dim=-1).expand(len(length_B), -1, -1)
        for c in range(z_BCLM.shape[1]):
            gate_BK = torch.sigmoid((segment_BCKM[:, c] * state_BKM).sum(dim=-1) + key_gate_BCK[:, c])
            candidate_BKM = self.activation(self.state_update(state_BKM) + update_BCKM[:, c])
            new_BKM = functional.normalize(state_BKM + gate_BK[..., None] * candidate_BKM, dim=-1)
            # a document that has ended keeps its state while longer ones go on
            state_BKM = torch.where(written_BC[:, c, None, None], new_BKM, state_BKM)
        return {"keys": state_BKM, "values": self.values(state_BKM)}

    def _segments(self, z_TM: Tensor, length_B: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Sub-words as segments of their documents, z_BCLM, and which of them are no padding, real_BCL."""
        n_segments = max(-(-max(length_B) // self.segment), 1)
        shape = (len(length_B), n_segments, self.segment)
        length = np.array(length_B, dtype=np.int64)
        real_BP = np.arange(n_segments * self.segment) < length[:, None]
        place_T = torch.from_numpy(np.flatnonzero(real_BP)).to(z_TM.device, non_blocking=True)
        real_BCL = torch.from_numpy(real_BP.reshape(shape)).to(z_TM.device, non_blocking=True)
        z_PM = z_TM.new_zeros(real_BP.size, z_TM.shape[1]).index_copy(0, place_T, z_TM)
        return z_PM.unflatten(0, shape), real_BCL
