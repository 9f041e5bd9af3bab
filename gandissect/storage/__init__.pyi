from .cards import Card as Card, CardIndex as CardIndex
from .files import (
    MAX_FILE_BYTES as MAX_FILE_BYTES,
    MAX_HEADER_BYTES as MAX_HEADER_BYTES,
    MAX_TENSORS as MAX_TENSORS,
    atomic_path as atomic_path,
    check_file as check_file,
    check_folder as check_folder,
    check_new_file as check_new_file,
    hash_tensors as hash_tensors,
    load_tensors as load_tensors,
    read_bytes as read_bytes,
    read_json as read_json,
    save_tensors as save_tensors,
    sha256_file as sha256_file,
    write_json as write_json,
    write_text as write_text,
)
from .locks import lock_folder as lock_folder
from .outputs import output_folder as output_folder
from .runs import (
    Trainable as Trainable,
    check_run as check_run,
    ema_decay as ema_decay,
    train as train,
    update_ema as update_ema,
)
from .saved import (
    SavedResult as SavedResult,
    check_all_finite as check_all_finite,
    check_tensor as check_tensor,
    detached_copy as detached_copy,
    find_results as find_results,
    load_result as load_result,
    plain_entries as plain_entries,
    save_result as save_result,
)
