from .intervals import (
    CONFIDENCE as CONFIDENCE,
    Z_95 as Z_95,
    Change as Change,
    Estimate as Estimate,
    Shares as Shares,
    half_width as half_width,
    summarize_shares as summarize_shares,
    wilson_interval as wilson_interval,
)
from .quantiles import (
    BinScale as BinScale,
    Brackets as Brackets,
    bin_edges as bin_edges,
    bin_of as bin_of,
    bin_scale as bin_scale,
    find_bins as find_bins,
    guess_brackets as guess_brackets,
    narrow_brackets as narrow_brackets,
    rank_of as rank_of,
    to_keys as to_keys,
    values_below as values_below,
)
from .significance import (
    FALSE_DISCOVERY_RATE as FALSE_DISCOVERY_RATE,
    MAX_DEGREES as MAX_DEGREES,
    benjamini_hochberg as benjamini_hochberg,
    q_values as q_values,
    student_t_critical_values as student_t_critical_values,
    student_t_quantile as student_t_quantile,
    student_t_tail as student_t_tail,
)
from .streaming import AreaMoments as AreaMoments, TensorState as TensorState, prepare_merge as prepare_merge
