"""Items of several documents laid end to end, without padding: what every part computes on.

A batch has B documents; its sub-words (T), spans (S), pairs and so on are flat lists, and a `segment` index says to
which document, cluster or pair an item belongs. Nothing is padded, so nothing needs a mask.

Shape letters: N items, G segments, D width, K categories, R ranges.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def segment_softmax(score_NK: Tensor, segment_N: Tensor, n_segments: int) -> Tensor:
    """Softmax of every column over the items of each segment: weight_NK, in float32.

    Within a segment each column sums to 1. A segment without items has no weights.
    """
    score_NK = score_NK.float()
    index_NK = segment_N[:, None].expand_as(score_NK)
    lowest_GK = score_NK.new_full((n_segments, score_NK.shape[1]), -torch.inf)
    highest_GK = lowest_GK.scatter_reduce(0, index_NK, score_NK.detach(), "amax")
    power_NK = (score_NK - highest_GK[segment_N]).exp()
    total_GK = torch.zeros_like(highest_GK).index_add(0, segment_N, power_NK)
    return power_NK / total_GK[segment_N]


def segment_size(segment_N: Tensor, n_segments: int) -> Tensor:
    """Number of items of each segment, as float: size_G."""
    one_N = torch.ones(len(segment_N), device=segment_N.device)
    return one_N.new_zeros(n_segments).index_add(0, segment_N, one_N)


def segment_max(x_ND: Tensor, segment_N: Tensor, n_segments: int) -> Tensor:
    """Element-wise maximum over the items of each segment: y_GD. Each segment has at least one item."""
    index_ND = segment_N[:, None].expand_as(x_ND)
    lowest_GD = x_ND.new_full((n_segments, x_ND.shape[1]), -torch.inf)
    return lowest_GD.scatter_reduce(0, index_ND, x_ND, "amax")


class RangeMaximum:
    """Element-wise maxima of a sequence over many ranges, each by two look-ups.

    Level k of the table holds the maxima of all runs of 2^k items, so a range is covered by two runs of one level that
    may overlap. The result is that of a maximum over the range, to the last bit; where the runs overlap, each passes on
    half of the gradient to the same item.
    """

    def __init__(self, x_ND: Tensor, longest: int) -> None:
        """`longest`: the greatest range that will be asked for, in items; it decides how many levels are made."""
        levels = [x_ND]
        run = 1
        while 2 * run <= min(longest, len(x_ND)):
            below = levels[-1]
            levels.append(torch.maximum(below[: len(below) - run], below[run:]))
            run *= 2
        self._table_LD = torch.cat(levels) if len(levels) > 1 else x_ND
        offset = [0]
        for level in levels[:-1]:
            offset.append(offset[-1] + len(level))
        self._offset = torch.tensor(offset, device=x_ND.device)

    def __call__(self, start_R: Tensor, end_R: Tensor) -> Tensor:
        """Maxima over [start, end): y_RD. An empty range gives zeros."""
        length_R = end_R - start_R
        # exact for all lengths below 2^24, far above any document
        level_R = length_R.clamp(min=1).float().log2().floor().long()
        run_R = torch.ones_like(level_R) << level_R
        empty_R = length_R <= 0
        first_R = (self._offset[level_R] + start_R).masked_fill(empty_R, 0)
        second_R = (self._offset[level_R] + end_R - run_R).masked_fill(empty_R, 0)
        y_RD = torch.maximum(self._table_LD.index_select(0, first_R), self._table_LD.index_select(0, second_R))
        return y_RD.masked_fill(empty_R[:, None], 0.0)


class BlockLinear(nn.Module):
    """A linear layer on a concatenation [a ; b ; …] whose parts are shared by many rows.

        y[i] = W [a[i_a] ; b[i_b] ; …] + bias = W_a a[i_a] + W_b b[i_b] + … + bias

    Every part is projected once and then picked by index, so a mention that stands in a hundred pairs is multiplied
    once. Equal to `nn.Linear` on the concatenation up to rounding; its weight has the same layout.
    """

    def __init__(self, widths: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.widths = list(widths)
        self.weight = nn.Parameter(torch.empty(out_features, sum(widths)))
        self.bias = nn.Parameter(torch.empty(out_features))

    def forward(self, *parts: tuple[Tensor, Tensor | None]) -> Tensor:
        """`parts`: (x, index) in the order of `widths`; y row i takes x[index[i]], or x[i] where the index is None."""
        if [x.shape[-1] for x, _ in parts] != self.widths:
            raise ValueError(f"expected parts of widths {self.widths}, got {[x.shape[-1] for x, _ in parts]}")
        y: Tensor | None = None
        for (x, index), weight in zip(parts, self.weight.split(self.widths, dim=1), strict=True):
            projected = functional.linear(x, weight)
            if index is not None:
                projected = projected.index_select(0, index)
            y = projected if y is None else y + projected
        assert y is not None
        return y + self.bias
