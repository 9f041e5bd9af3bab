from .intervals import (
    Z_95 as Z_95,
    Change as Change,
    Estimate as Estimate,
    Shares as Shares,
    half_width as half_width,
    summarize_shares as summarize_shares,
    wilson_interval as wilson_interval,
)
from .quantiles import rank_of as rank_of
from .significance import (
    FALSE_DISCOVERY_RATE as FALSE_DISCOVERY_RATE,
    benjamini_hochberg as benjamini_hochberg,
    student_t_quantile as student_t_quantile,
    student_t_tail as student_t_tail,
)
