from .intervals import (
    Change as Change,
    Estimate as Estimate,
    Shares as Shares,
    shares_of as shares_of,
    student_quantile as student_quantile,
    wilson_interval as wilson_interval,
)
from .quantiles import rank_of as rank_of
from .significance import (
    FALSE_DISCOVERY_RATE as FALSE_DISCOVERY_RATE,
    benjamini_hochberg as benjamini_hochberg,
    student_t_tail as student_t_tail,
)
