"""Items of several documents laid end to end, without padding: what every part computes on.

A batch has B documents; its sub-words (T), spans (S), pairs and so on are flat lists, and a `segment` index says to
which document, cluster or pair an item belongs. Nothing is padded, so nothing needs a mask.

Shape letters: N items, G segments, D width, K categories, R ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# ------------------------------------------------------------------------------------------------------------ segments


def segment_softmax(score_NK: Tensor, segment_N: Tensor, n_segments: int) -> Tensor:
    """Softmax of every column over the items of each segment: weight_NK, in float32.

    Within a segment each column sums to 1. A segment without items has no weights.
    """
    return _SegmentSoftmax.apply(score_NK.float(), segment_N, n_segments)


class _SegmentSoftmax(Function):
    @staticmethod
    def forward(ctx: Any, score_NK: Tensor, segment_N: Tensor, n_segments: int) -> Tensor:
        highest_GK = score_NK.new_full((n_segments, score_NK.shape[1]), -torch.inf)
        highest_GK.scatter_reduce_(0, segment_N[:, None].expand_as(score_NK), score_NK, "amax")
        power_NK = (score_NK - highest_GK.index_select(0, segment_N)).exp_()
        total_GK = torch.zeros_like(highest_GK).index_add_(0, segment_N, power_NK)
        weight_NK = power_NK.div_(total_GK.index_select(0, segment_N))
        ctx.save_for_backward(weight_NK, segment_N)
        ctx.n_segments = n_segments
        return weight_NK

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight_NK, segment_N = ctx.saved_tensors
        weighted_NK = grads[0] * weight_NK
        total_GK = weighted_NK.new_zeros(ctx.n_segments, weighted_NK.shape[1]).index_add_(0, segment_N, weighted_NK)
        return weighted_NK.addcmul_(weight_NK, total_GK.index_select(0, segment_N), value=-1), None, None


def segment_size(segment_N: Tensor, n_segments: int) -> Tensor:
    """Number of items of each segment, as float: size_G."""
    one_N = torch.ones(len(segment_N), device=segment_N.device)
    return one_N.new_zeros(n_segments).index_add(0, segment_N, one_N)


def segment_max(x_ND: Tensor, segment_N: Tensor, n_segments: int) -> Tensor:
    """Element-wise maximum over the items of each segment: y_GD. Each segment has at least one item.

    Not by `torch.segment_reduce`, which gives equal items too much of a negative gradient (torch 2.13).
    """
    index_ND = segment_N[:, None].expand_as(x_ND)
    lowest_GD = x_ND.new_full((n_segments, x_ND.shape[1]), -torch.inf)
    return lowest_GD.scatter_reduce(0, index_ND, x_ND, "amax")


# -------------------------------------------------------------------------------------------------------------- ranges


@dataclass(frozen=True)
class Ranges:
    """Ranges of a sequence, by the two runs of 2^k items that cover each: their rows in the table of `RangeMaximum`.

    The runs may overlap. Row 0 is that of the empty range.
    """

    first_R: Tensor
    second_R: Tensor
    n_levels: int
    """Of the table, for the longest range."""

    @classmethod
    def of(cls, start_R: np.ndarray, end_R: np.ndarray, n_items: int) -> Ranges:
        """Ranges [start, end) of a sequence of `n_items`."""
        length_R = np.maximum(end_R - start_R, 0)
        level_R = np.frexp(np.maximum(length_R, 1))[1].astype(np.int64) - 1
        row_R = level_row(level_R, n_items)
        first_R = np.where(length_R > 0, row_R + start_R, 0)
        second_R = np.where(length_R > 0, row_R + end_R - (1 << level_R), 0)
        return cls(torch.from_numpy(first_R), torch.from_numpy(second_R), n_levels(int(length_R.max(initial=1))))

    def __len__(self) -> int:
        return len(self.first_R)


def n_levels(longest: int) -> int:
    """Levels of a table for ranges of up to so many items."""
    return max(longest, 1).bit_length()


def level_row(level: Any, n_items: int) -> Any:
    """Where a level begins: behind the row of the empty range, and n - 2^j + 1 runs of each level j below."""
    return 2 + level * (n_items + 1) - (1 << level)


class RangeMaximum:
    """Element-wise maxima of a sequence over many ranges, each by two look-ups.

    Level k of the table holds the maxima of all runs of 2^k items. The result is that of a maximum over the range, to
    the last bit. Its gradient goes to the greatest item; of equal ones, as by `torch.max`, to the first.
    """

    def __init__(self, x_ND: Tensor, n_levels: int) -> None:
        """`n_levels`: at least that of all ranges that will be asked for, and no run longer than the sequence."""
        self._x_ND = x_ND
        self._has_gradient = torch.is_grad_enabled() and x_ND.requires_grad
        with torch.no_grad():
            self._table_LD = _table(_keys(x_ND) if self._has_gradient else x_ND, min(n_levels, len(x_ND).bit_length()))

    @property
    def device(self) -> torch.device:
        return self._x_ND.device

    def __call__(self, ranges: Ranges) -> Tensor:
        """Maxima: y_RD. An empty range gives zeros."""
        if self._has_gradient:
            return _RangeMaximum.apply(self._x_ND, self._table_LD, ranges.first_R, ranges.second_R)
        return _covered(self._table_LD, ranges.first_R, ranges.second_R)


def _table(x_ND: Tensor, n_levels: int) -> Tensor:
    n = len(x_ND)
    table_LD = x_ND.new_empty(level_row(n_levels, n), x_ND.shape[1])
    table_LD[0] = 0
    table_LD[1 : 1 + n] = x_ND
    for level in range(1, n_levels):
        below, half = table_LD[level_row(level - 1, n) : level_row(level, n)], 1 << (level - 1)
        torch.maximum(below[:-half], below[half:], out=table_LD[level_row(level, n) : level_row(level + 1, n)])
    return table_LD


def _covered(table_LD: Tensor, first_R: Tensor, second_R: Tensor) -> Tensor:
    return torch.maximum(table_LD.index_select(0, first_R), table_LD.index_select(0, second_R))


class _RangeMaximum(Function):
    """The table holds numbers that are ordered as the values are, and tell the item that each comes from."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, table_LD: Tensor, first_R: Tensor, second_R: Tensor) -> Tensor:
        y_RD, item_RD = _values_and_items(_covered(table_LD, first_R, second_R), len(x_ND))
        ctx.save_for_backward(item_RD)
        ctx.n_items = len(x_ND)
        return y_RD.to(x_ND.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (item_RD,) = ctx.saved_tensors
        # empty ranges give theirs to an item behind the last
        grad_ND = grads[0].new_zeros(ctx.n_items + 1, item_RD.shape[1], dtype=torch.float32)
        grad_ND.scatter_add_(0, item_RD, grads[0].float())
        return grad_ND[:-1].to(grads[0].dtype), None, None, None


_LOW = 2**32 - 1


def _keys(x_ND: Tensor) -> Tensor:
    """64 bits for each value: above its own, in an order of integers, below how far it is from the end."""
    if x_ND.element_size() > 4:
        raise TypeError(f"got values of {x_ND.dtype}, wanted at most 32 bits: the other half of a key tells the item")
    x_ND = x_ND.detach().float()
    # of the many bit patterns that are no number, one above all numbers
    bits_ND = x_ND.masked_fill(x_ND.isnan(), torch.nan).view(torch.int32)
    from_end_N = torch.arange(len(x_ND), 0, -1, device=x_ND.device)
    return (_ordered(bits_ND).long() << 32).bitwise_or_(from_end_N[:, None])


def _values_and_items(key_RD: Tensor, n_items: int) -> tuple[Tensor, Tensor]:
    return _ordered((key_RD >> 32).int()).view(torch.float32), n_items - (key_RD & _LOW)


def _ordered(bits: Tensor) -> Tensor:
    """Bits of a float32 as an integer that is ordered like it; and back."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


# -------------------------------------------------------------------------------------------------------- linear layers


class Part(NamedTuple):
    """What one block of a concatenation is: x, or x[picked]."""

    block: int
    x: Tensor
    picked: Tensor | None = None


class Sum(NamedTuple):
    """What some blocks add to the rows that pick from it: W_a a + W_b b + …"""

    parts: tuple[Part, ...]
    y: Tensor | None
    """None where it is yet to be computed, as there will be a gradient."""


class Ends(NamedTuple):
    """What all items that may be an end of a pair add to the pairs, as the first of it and as the second."""

    first: Sum
    second: Sum


class BlockLinear(nn.Module):
    """A linear layer on a concatenation [a ; b ; …] whose parts are shared by many rows.

        y[i] = W [a[i_a] ; b[i_b] ; …] + bias = W_a a[i_a] + W_b b[i_b] + … + bias

    Every part is projected once and then picked by index, so a mention that stands in a hundred pairs is multiplied
    once. Equal to `nn.Linear` on the concatenation up to rounding; its weight has the same layout.
    """

    def __init__(self, widths: Sequence[int], out_features: int) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.weight = nn.Parameter(torch.empty(out_features, sum(widths)))
        self.bias = nn.Parameter(torch.empty(out_features))

    def sum(self, *parts: Part) -> Sum:
        """Parts with as many rows each. Without gradient computed here, to be picked from again and again."""
        for part in parts:
            if part.x.shape[-1] != self.widths[part.block]:
                raise ValueError(
                    f"block {part.block} is {self.widths[part.block]} wide, got a part of {part.x.shape[-1]}"
                )
        return Sum(parts, None if torch.is_grad_enabled() else _added_up(_blocks(self.weight, self.widths), parts))

    def forward(self, *rows: tuple[Sum, Tensor | None]) -> Tensor:
        """Sums, of each the rows that are picked by an index; None picks all. Each block is in one of them."""
        found = sorted(part.block for given, _ in rows for part in given.parts)
        if found != list(range(len(self.widths))):
            raise ValueError(f"expected each of {len(self.widths)} blocks once, got {found}")
        done = [(given.y, index) for given, index in rows if given.y is not None]
        if len(done) == len(rows) and not torch.is_grad_enabled():
            return _total(done, self.bias)
        layout = tuple((tuple((part.block, part.picked) for part in given.parts), index) for given, index in rows)
        xs = [part.x for given, _ in rows for part in given.parts]
        return _BlockLinear.apply(self.weight, self.bias, self.widths, layout, *xs)


_Layout = tuple[tuple[tuple[tuple[int, Tensor | None], ...], Tensor | None], ...]
"""Of each sum, the block and `picked` of its parts, and the index that picks from it."""


def _blocks(weight: Tensor, widths: Sequence[int]) -> Sequence[Tensor]:
    device = weight.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    return weight.to(dtype).split(widths, dim=1)


def _added_up(blocks: Sequence[Tensor], parts: Sequence[Part]) -> Tensor:
    total: Tensor | None = None
    for block, x, picked in parts:
        projected = _picked(x.to(blocks[block].dtype) @ blocks[block].T, picked)
        total = projected if total is None else total.add_(projected)
    assert total is not None, "a sum has at least one part"
    return total


def _total(rows: Sequence[tuple[Tensor, Tensor | None]], bias: Tensor) -> Tensor:
    """The bias is added where there is the least to add it to. No sum is changed: it may be picked from again."""
    (least, index), *others = sorted(rows, key=lambda one: len(one[0]))
    y = _picked(least + bias.to(least.dtype), index)
    for x, index in others:
        if (picked := _picked(x, index)).shape != y.shape:
            raise ValueError(f"sums have {len(y)} and {len(picked)} rows")
        y.add_(picked)
    return y


class _BlockLinear(Function):
    """Written out, as autograd would make a gradient of the whole weight for every block, and add them up."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, weight: Tensor, bias: Tensor, widths: Sequence[int], layout: _Layout, *xs: Tensor
    ) -> Tensor:
        blocks, of_part = _blocks(weight, widths), iter(xs)
        rows = [
            (_added_up(blocks, [Part(block, next(of_part), picked) for block, picked in parts]), index)
            for parts, index in layout
        ]
        ctx.save_for_backward(weight, *xs)
        ctx.widths, ctx.layout = widths, layout
        return _total(rows, bias)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        weight, *xs = ctx.saved_tensors
        (grad,) = grads
        starts = np.cumsum([0, *ctx.widths]).tolist()
        of_weight = torch.empty_like(weight) if ctx.needs_input_grad[0] else None
        of_xs: list[Tensor | None] = []
        for parts, index in ctx.layout:
            first, picked = xs[len(of_xs)], parts[0][1]
            of_sum = _given_back(grad, index, len(first) if picked is None else len(picked))
            for block, picked in parts:
                x, columns = xs[len(of_xs)], slice(starts[block], starts[block + 1])
                of_part = _given_back(of_sum, picked, len(x))
                if of_weight is not None:
                    _multiply_into(of_weight[:, columns], of_part.T, x.to(grad.dtype))
                wanted = ctx.needs_input_grad[4 + len(of_xs)]
                of_xs.append((of_part @ weight[:, columns].to(grad.dtype)).to(x.dtype) if wanted else None)
        return of_weight, grad.sum(dim=0).to(weight.dtype), None, None, *of_xs


def _multiply_into(out: Tensor, a: Tensor, b: Tensor) -> None:
    """out = a b, without a matrix between where the numbers are of one type (not under autocast)."""
    if out.dtype == a.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(a @ b)


def _picked(x: Tensor, index: Tensor | None) -> Tensor:
    return x if index is None else x.index_select(0, index)


def _given_back(grad: Tensor, index: Tensor | None, n: int) -> Tensor:
    """The gradient of the n rows from which `index` picked, added up in float32."""
    if index is None:
        return grad
    total = grad.new_zeros(n, grad.shape[1], dtype=torch.promote_types(grad.dtype, torch.float32))
    return total.index_add_(0, index, grad.to(total.dtype)).to(grad.dtype)
