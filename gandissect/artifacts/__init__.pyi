from .find import FoundRepair as FoundRepair, find_repair as find_repair
from .measure import choose_num_units as choose_num_units, measure_repair as measure_repair
from .rank import rank_artifact_layers as rank_artifact_layers, rank_artifact_units as rank_artifact_units
from .ranking import ArtifactRanking as ArtifactRanking, RankingMethod as RankingMethod
from .repair import compute_forced_values as compute_forced_values, repair as repair
from .results import ForcedTo as ForcedTo, Repair as Repair, RepairCurve as RepairCurve, Verdict as Verdict
