from .comparison import draw_comparison as draw_comparison
from .directions import draw_directions as draw_directions
from .dissection.page import write_report as write_report
from .effects import draw_effect_curves as draw_effect_curves, draw_effects as draw_effects
from .repair.page import write_repair_report as write_repair_report
