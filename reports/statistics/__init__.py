"""What trials say together, and whether a variant differs from the baseline.

    seeds         mean, deviation and interval over seeds; the paper's choice of a seed
    micro         counts of items per document → micro-averaged scores
    documents     the document as paired unit: paired bootstrap, approximate randomisation
    pairs         the seed as paired unit: paired t, sign-flip
    correction    Holm, and what a family can reach at all
    effects       how large a difference is
    dominance     almost stochastic order, an option
    family        all comparisons of a report together → a verdict for each

Data flows downwards but for `seeds`, which stands alone: the tracker calls it, so that what is imported here loads
neither pandas nor scipy. The others are imported by their own names.
"""

from reports.statistics.seeds import LEVEL, Spread, best_seed, spread, spreads

__all__ = ["LEVEL", "Spread", "best_seed", "spread", "spreads"]
