"""The extended representation: what a read makes of its inputs, and how what is read is combined with them.

Shape letters: N inputs (sub-words or spans of all documents), D input width, K categories or slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.settings import Combination


@dataclass(frozen=True)
class Extended:
    """The inputs after a read, and what each memory paid attention to.

    `attention_NK`: the weights of inputs and categories of each memory, or, of a memory that is read in hops, the
    weights of inputs and slots of each hop (`hop 1`, …); empty where nothing was read.
    """

    x_ND: Tensor
    attention_NK: Mapping[str, Tensor]


class ContentRead(nn.Module):
    """A read that takes something up, the vectors r_1 … r_n, where the inverse read scales what is there.

        mean            y = (x + r_1 + … + r_n) / (n + 1)
        projection      y = U [x ; r_1 ; … ; r_n],  U the identity on x and small weights at first

    Source: by the mean MRE extends an input (arXiv 2307.11762, section 3.1, below Eq. (2)); the projection of the
    concatenation is that of its released code, which no published configuration uses.
    """

    def __init__(self, similarity: nn.Module, combined_by: Combination, d_input: int, widths: Sequence[int]) -> None:
        """`widths`: of the vectors that are read. Raises ValueError for a mean of vectors of other widths than x."""
        super().__init__()
        self.similarity = similarity
        if combined_by == "mean" and set(widths) != {d_input}:
            raise ValueError(
                f"combined_by is mean, which takes vectors of one width, got inputs of {d_input} and read vectors of "
                f"{list(widths)}; use projection, or leave the slot size out"
            )
        self.projection = nn.Linear(d_input + sum(widths), d_input) if combined_by == "projection" else None

    def start_near_identity(self) -> None:
        """Called after the weights are drawn."""
        if self.projection is not None:
            d_input = self.projection.out_features
            with torch.no_grad():
                self.projection.weight[:, :d_input] = torch.eye(d_input)

    def combine(self, x_ND: Tensor, read: Sequence[Tensor]) -> Tensor:
        """y_ND of the inputs and what was read, in the order of `widths`."""
        if self.projection is not None:
            return self.projection(torch.cat([x_ND, *read], dim=1))
        return sum((r.to(x_ND.dtype) for r in read), start=x_ND) / (len(read) + 1)
