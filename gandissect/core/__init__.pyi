from .defaults import float32_factories as float32_factories, plain_defaults as plain_defaults
from .environment import (
    install_command as install_command,
    installed_versions as installed_versions,
    resolve_device as resolve_device,
)
from .hooks import Tap as Tap, Trace as Trace, tap_outputs as tap_outputs, trace as trace
from .images import from_uint8 as from_uint8, to_uint8 as to_uint8
from .lookup import check_choice as check_choice, lookup as lookup, unknown_name_message as unknown_name_message
from .network_id import (
    NetworkId as NetworkId,
    is_same_network as is_same_network,
    join_fingerprint as join_fingerprint,
)
from .pictures import load_pictures as load_pictures, pick_evenly as pick_evenly, split_off as split_off
from .progress import progress_bar as progress_bar, track as track
from .protocols import (
    Features as Features,
    Generator as Generator,
    PictureBatch as PictureBatch,
    PictureSource as PictureSource,
    Segmenter as Segmenter,
    Translation as Translation,
    Translator as Translator,
    check_mode as check_mode,
    check_protocols as check_protocols,
)
from .renamed import with_old_names as with_old_names
from .sampling import (
    blocks as blocks,
    check_seed as check_seed,
    derive_seed as derive_seed,
    make_rng as make_rng,
    sample_z as sample_z,
)
from .types import (
    UNLABELED as UNLABELED,
    Concept as Concept,
    LayerInfo as LayerInfo,
    UnitSet as UnitSet,
    categories as categories,
    check_concepts as check_concepts,
    concept_index as concept_index,
)
