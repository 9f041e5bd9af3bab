"""A part of the page Latent: an uploaded picture and its reconstruction by the generator."""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import partial

import streamlit as st
from jaxtyping import Float32
from torch import Tensor

from gandissect import Segmenter
from gandissect.core import from_uint8
from gandissect.latent import Inversion, capabilities
from segmenters.datasets.decoding import MAX_SENT_PIXELS, SENT_FORMATS

from ..background.progress import follow_task, visitor_tasks
from ..background.resources import escape, load_segmenter, visitor_memory
from ..display.before_after import show_change, show_shares
from ..display.images import draw_picture
from ..networks import fingerprint_of, label_image
from ..state import NUM_UPLOADS, UPLOAD, UPLOAD_ERROR, UPLOAD_REQUESTED, UPLOAD_TASK, upload_key
from ..uploads import ENDINGS, MAX_MEGABYTES, Upload, decode_upload, receive
from ..visit import Visit
from . import inversions


def draw_inverting(visit: Visit) -> None:
    """Let the visitor upload a picture, invert it, and show the reconstruction."""
    generator = visit.generator
    has_gradients = visitor_memory().get(
        (fingerprint_of(generator), "gradients"), lambda: inversions.has_gradients(generator)
    )
    size = generator.image_size[0]
    space, num_steps = choose_search(visit, has_gradients)
    explain_search(visit, has_gradients, size)
    if error := st.session_state.get(UPLOAD_ERROR):
        st.error(escape(error))
    upload = st.session_state.get(UPLOAD)
    if upload is None:
        return
    image = visitor_memory().get((UPLOAD, upload.digest, size), lambda: decode_upload(upload, size))
    if isinstance(image, str):
        st.error(escape(image))
        return
    segmenter = load_segmenter(visit.segmenter_name, visit.settings.device)
    inversion = follow_inversion(visit, segmenter, upload, image, space, num_steps)
    if inversion is None:
        st.image(draw_picture(image), "Cropped and resized", 256, alt="Your picture, cropped and resized")
    else:
        show_inversion(segmenter, inversion, (UPLOAD, upload.digest, fingerprint_of(visit.generator), space, num_steps))


def choose_search(visit: Visit, has_gradients: bool) -> tuple[str, int]:
    """Let the visitor upload a picture, and choose latent space and number of steps; return both."""
    key = upload_key(st.session_state.get(NUM_UPLOADS, 0))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.file_uploader(
            "Your picture",
            ENDINGS,
            key=key,
            on_change=store_upload,
            args=(key,),
            width=420,
            max_upload_size=MAX_MEGABYTES,
        )
        spaces = capabilities(visit.generator).inversion_spaces
        space = st.selectbox(
            "Latent space",
            spaces,
            len(spaces) - 1,
            key=f"look in {fingerprint_of(visit.generator)}",
            width=130,
            help="ws (one w per layer) reconstructs unusual pictures better; z and w stay closer to typical outputs"
            if len(spaces) > 1
            else "This generator has only z",
        )
        num_steps = st.selectbox("Steps", inversions.STEPS, 1, key="own steps", width=110) if has_gradients else 0
        if UPLOAD in st.session_state:
            st.button("Remove", key="remove picture", icon=":material/delete:", on_click=remove_upload)
    return space, num_steps


def explain_search(visit: Visit, has_gradients: bool, size: int) -> None:
    """Explain how a picture is inverted, and what to expect."""
    kinds = f"{', '.join(SENT_FORMATS[:-1])} or {SENT_FORMATS[-1]}".replace("WEBP", "WebP")
    if has_gradients:
        start = f"the {inversions.NUM_STARTS} nearest of {inversions.NUM_CANDIDATES} samples"
        method = f"Adam starts from {start}; {inversions.STEPS[1]} steps take about 20 seconds on two CPU cores."
    else:
        result = f"the result is the nearest of {inversions.NUM_WITHOUT_GRADIENTS} samples"
        method = f"{escape(visit.generator.name)} is not differentiable; {result}."
    limits = f"at most {MAX_MEGABYTES} MB and {MAX_SENT_PIXELS // 10**6} megapixels"
    st.caption(
        f"{kinds}, {limits}. The picture is rotated upright, resized and center-cropped to {size} x {size} pixels, as "
        f"in `gandissect invert`. {method}"
    )
    st.caption(
        "Pictures like the training data are reconstructed well; other photographs are not. Above about 30 dB the "
        "difference is hardly visible; at 20 dB the layout is right, but details differ; at 15 dB only large areas "
        "match."
    )


def store_upload(key: str) -> None:
    """Store the uploaded picture and request its inversion; on failure, store the reason."""
    file = st.session_state[key]
    discard_upload()
    if file is None:
        return
    try:
        st.session_state[UPLOAD] = receive(file.getvalue())
        st.session_state[UPLOAD_REQUESTED] = True
    except ValueError as error:
        st.session_state[UPLOAD_ERROR] = str(error)


def discard_upload() -> None:
    """Discard the picture, and cancel its inversion."""
    cancel_task(st.session_state.pop(UPLOAD_TASK, None))
    for name in (UPLOAD, UPLOAD_ERROR, UPLOAD_REQUESTED):
        st.session_state.pop(name, None)


def remove_upload() -> None:
    """Discard the picture, and clear the upload field."""
    discard_upload()
    st.session_state[NUM_UPLOADS] = st.session_state.get(NUM_UPLOADS, 0) + 1


def cancel_task(key: Hashable) -> None:
    """Cancel a task if it is running; keep finished ones."""
    task = visitor_tasks().get(key)
    if task is not None and not task.result.done():
        visitor_tasks().stop(key)


def follow_inversion(
    visit: Visit,
    segmenter: Segmenter,
    upload: Upload,
    image: Float32[Tensor, "3 H W"],
    space: str,
    num_steps: int,
) -> Inversion | None:
    """Return the inversion of a picture; until then, show the progress and return None."""
    networks = fingerprint_of(visit.generator), fingerprint_of(segmenter)
    key = ("invert", upload.digest, *networks, space, num_steps)
    if st.session_state.get(UPLOAD_TASK) != key:
        cancel_task(st.session_state.get(UPLOAD_TASK))  # for another picture or generator, no longer needed
        st.session_state[UPLOAD_TASK] = key
    if st.session_state.get(UPLOAD_REQUESTED):
        work = partial(inversions.find_inversion, visit.generator, segmenter, image, space, num_steps)
        visitor_tasks().begin(key, inversions.estimate_num_images(num_steps), work)
    elif visitor_tasks().get(key) is None:
        st.button(
            f"Invert in {space}",
            type="primary",
            icon=":material/search:",
            key="start inversion",
            on_click=st.session_state.__setitem__,
            args=(UPLOAD_REQUESTED, True),
        )
    inversion: Inversion | None = follow_task(key, f"Inverting in {space}", UPLOAD_REQUESTED)
    return inversion


def show_inversion(segmenter: Segmenter, inversion: Inversion, key: tuple[Hashable, ...]) -> None:
    """Show a picture, its reconstruction, the concepts in both, and the downloads."""
    picture, reconstruction = from_uint8(inversion.pictures)[0], from_uint8(inversion.reconstructions)[0]
    labels = visitor_memory().get(
        (*key, fingerprint_of(segmenter)),
        lambda: (label_image(segmenter, picture), label_image(segmenter, reconstruction)),
    )
    left, right = st.container(key="results").columns([11, 9], gap="medium")
    with left:
        left_image, right_image = st.columns(2, wrap=False)
        left_image.image(
            draw_picture(picture), "Cropped and resized", "stretch", alt="Your picture, cropped and resized"
        )
        right_image.image(
            draw_picture(reconstruction),
            f"Reconstructed by {escape(inversion.generator.name)}",
            "stretch",
            alt="Reconstruction of your picture",
        )
        show_change("inverted segmentation", segmenter, picture, reconstruction, labels)
    with right:
        psnr = float(inversion.psnr)
        st.metric("PSNR", f"{psnr:.1f} dB" if math.isfinite(psnr) else "identical", width="content")
        show_shares(segmenter, {"original": labels[0], "reconstructed": labels[1]})
        offer_downloads(inversion)


def offer_downloads(inversion: Inversion) -> None:
    """Draw the download buttons of an inversion."""
    with st.container(horizontal=True, gap="xsmall"):
        st.download_button(
            "PNG",
            inversions.as_sheet(inversion),
            "inversion.png",
            "image/png",
            icon=":material/image:",
            on_click="ignore",
            key="inversion png",
            help="Original, reconstruction and their difference, as gandissect invert renders them",
        )
        st.download_button(
            "Inversion",
            inversions.as_file(inversion),
            inversion.FILE_NAME,
            "application/octet-stream",
            icon=":material/download:",
            on_click="ignore",
            key="inversion file",
            help="Latents and pictures, for gandissect.latent.Inversion.load in Python",
        )
