from .comparison import draw_comparison as draw_comparison
from .directions import draw_directions as draw_directions
from .dissection.page import REPORT_FILES as REPORT_FILES, write_report as write_report
from .dissections import draw_dissection as draw_dissection
from .effects import draw_effect_curves as draw_effect_curves, draw_effects as draw_effects
from .grids import show as show
from .inversion import draw_inversion as draw_inversion
from .noise import draw_noise_maps as draw_noise_maps
from .repair.curve import draw_repair_curve as draw_repair_curve
from .repair.page import REPAIR_REPORT_FILES as REPAIR_REPORT_FILES, write_repair_report as write_repair_report
from .shares import draw_shares as draw_shares
from .sheets import (
    draw_columns as draw_columns,
    draw_table as draw_table,
    save_gif as save_gif,
    save_png as save_png,
    stack_images as stack_images,
    write_grid as write_grid,
    write_pairs as write_pairs,
)
