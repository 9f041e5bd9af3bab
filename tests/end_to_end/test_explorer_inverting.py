"""Uploaded pictures on the page Latent: inverted, canceled, refused, and private to the visitor."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from explorer_visitor import AppTest, Open, read_pictures, read_texts, settle
from PIL import Image

import generators
from apps.explorer import uploads
from apps.explorer.latent import inversions
from gandissect.core.sampling import derive_seed
from gandissect.latent import Inversion
from segmenters.datasets import read_image

SMALL = ("--segmenter", "palette")
GIVEN, MADE = "Your picture, cropped and resized", "Reconstruction of your picture"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a small untrained generator, and search fewer samples."""
    monkeypatch.setattr(inversions, "NUM_CANDIDATES", 100)
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    generators.save(generators.DCGAN(size=16, width=8, z_dim=4).eval(), path)
    return path


def open_part(visit_page: Open, path: Path, **query: str) -> AppTest:
    return visit_page("latent", "--generator", path, *SMALL, part="your picture", **query)


def upload(page: AppTest, data: bytes, name: str = "mine.png") -> AppTest:
    page.file_uploader[0].set_value((name, data, "image/png")).run()
    assert not page.exception
    return page


def encoded(picture: Image.Image, kind: str = "png", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def own_picture(path: Path, seed: int, number: int) -> Image.Image:
    """Return a generated picture with a border, which center-cropping removes."""
    generator = generators.load(path)
    image = generator(generator.sample_z(1, seed, number))[0].detach().clamp(-1, 1)
    side, border = image.shape[1], round(image.shape[1] * 1.125) - image.shape[1]
    pixels = np.pad(
        ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(),
        (((border + 1) // 2, border // 2), ((border + 1) // 2, border // 2), (0, 0)),
    )
    assert pixels.shape[0] == side + border
    return Image.fromarray(pixels)


@pytest.fixture
def inverted(monkeypatch: pytest.MonkeyPatch) -> list[Inversion]:
    """Record the inversions of pages, in order."""
    found, find = [], inversions.find_inversion
    monkeypatch.setattr(inversions, "find_inversion", lambda *arguments: found.append(find(*arguments)) or found[-1])
    return found


def test_a_generated_picture_is_reconstructed(visit_page: Open, tiny: Path, inverted: list[Inversion]) -> None:
    page = open_part(visit_page, tiny)
    assert not page.get("progress") and not page.metric
    settle(upload(page, encoded(own_picture(tiny, 9, 2))))
    (found,), generator = inverted, generators.load(tiny)
    wanted = generator(generator.sample_z(1, 9, 2)).detach().clamp(-1, 1)
    assert (found.pictures - (wanted + 1) * 127.5).abs().max() <= 0.51, "not resized, and the border is cropped"
    assert float(found.psnr) > 30
    assert page.metric[0].value == f"{float(found.psnr):.1f} dB"
    assert {GIVEN, MADE} <= set(read_pictures(page)) and len(page.get("download_button")) == 2
    shares = page.dataframe[0].value
    assert shares["original"].sum() == pytest.approx(100, abs=0.5)
    off = (found.pictures.double() - found.reconstructions).abs().mean() / 255
    assert f"Change: **{off:.1%}**" in read_texts(page)


def test_the_downloads_work_in_python(tiny: Path, tmp_path: Path) -> None:
    generator = generators.load(tiny)
    image = read_image(encoded(own_picture(tiny, 9, 2)), 16)
    found = inversions.find_inversion(generator, _Named(), image, "z", 4)
    (tmp_path / "mine.safetensors").write_bytes(inversions.as_file(found))
    again = Inversion.load(tmp_path / "mine.safetensors")
    made = (again.generate(generator).clamp(-1, 1) + 1) * 127.5
    assert (made - found.reconstructions).abs().max() <= 0.51
    assert Image.open(io.BytesIO(inversions.as_sheet(found))).format == "PNG"


def test_a_generator_without_gradients_is_searched_by_samples(visit_page: Open, planted: Path) -> None:
    page = open_part(visit_page, planted)
    assert "is not differentiable" in read_texts(page) and "Steps" not in [each.label for each in page.selectbox]
    settle(upload(page, encoded(own_picture(planted, derive_seed(0, "invert"), 77))))
    assert page.metric[0].value == "identical", "it is one of the samples"
    shares = page.dataframe[0].value
    assert (shares["± reconstructed"] == 0).all()


def test_every_space_of_the_generator_can_be_chosen(
    visit_page: Open, tiny: Path, tmp_path: Path, inverted: list[Inversion]
) -> None:
    torch.manual_seed(0)
    path = tmp_path / "styled.safetensors"
    generators.save(generators.StyleGAN(size=16, width=8, z_dim=6).eval(), path)
    page = open_part(visit_page, path)
    page.selectbox(key="own steps").set_value(50).run()
    where = page.selectbox(key=f"look in {generators.load(path).fingerprint}")
    assert (where.options, where.value) == (["z", "w", "ws"], "ws")
    settle(upload(page, encoded(own_picture(path, 9, 2))))
    page.selectbox(key=where.key).set_value("z").run()
    settle(page)
    assert [(each.space, each.num_steps) for each in inverted] == [("ws", 50), ("z", 50)]
    page = open_part(visit_page, tiny)
    assert page.selectbox(key=f"look in {generators.load(tiny).fingerprint}").options == ["z"]


def test_an_inversion_can_be_canceled_restarted_and_removed(
    visit_page: Open, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, invert = threading.Event(), inversions.invert
    monkeypatch.setattr(inversions, "invert", lambda *a, **k: gate.wait(30) and invert(*a, **k))
    page = upload(open_part(visit_page, tiny), encoded(own_picture(tiny, 9, 2)))
    assert len(page.get("progress")) == 1 and GIVEN in read_pictures(page), "the upload is shown immediately"
    next(each for each in page.button if each.label == "Cancel").click().run()
    assert not page.get("progress") and not page.metric
    gate.set()
    settle(page.button(key="start inversion").click().run())
    assert len(page.metric) == 1
    page.file_uploader[0].set_value(None).run()
    assert not page.metric and GIVEN not in read_pictures(page)
    settle(upload(page, encoded(own_picture(tiny, 9, 2))))
    page.button(key="remove picture").click().run()
    assert not page.metric and not {GIVEN, MADE} & set(read_pictures(page)) and page.file_uploader[0].value is None


def test_another_picture_or_generator_starts_over(visit_page: Open, tiny: Path, inverted: list[Inversion]) -> None:
    page = open_part(visit_page, tiny)
    page.selectbox(key="own steps").set_value(50).run()
    settle(upload(page, encoded(own_picture(tiny, 9, 2))))
    seen = read_pictures(page)
    settle(upload(page, encoded(own_picture(tiny, 9, 3))))
    assert not torch.equal(inverted[0].pictures, inverted[1].pictures) and read_pictures(page)[MADE] != seen[MADE]
    other = "dcgan-scenes64"
    page.selectbox(key="generator").set_value(other).run()
    assert not page.metric and MADE not in read_pictures(page), "results of another generator are not shown"
    next(each for each in page.button if each.label == "Cancel").click().run()
    page.selectbox(key="generator").set_value(str(tiny)).run()
    page.selectbox(key="segmenter").set_value("palette").run()
    assert len(page.metric) == 1 and read_pictures(page)[MADE] != seen[MADE], "it was cached"
    settle(upload(page, encoded(own_picture(tiny, 9, 2))))
    assert read_pictures(page)[MADE] == seen[MADE] and len(inverted) == 2


def test_the_picture_survives_other_pages_and_is_private(visit_page: Open, tiny: Path) -> None:
    page = open_part(visit_page, tiny)
    page.selectbox(key="own steps").set_value(50).run()
    settle(upload(page, encoded(own_picture(tiny, 9, 2))))
    page.get("button_group")[0].set_value("walk").run()
    page.get("button_group")[0].set_value("your picture").run()
    settle(page)
    assert {GIVEN, MADE} <= set(read_pictures(page))
    other = open_part(visit_page, tiny)
    assert not {GIVEN, MADE} & set(read_pictures(other)) and not other.metric and other.file_uploader[0].value is None


def png(width: int, height: int, *chunks: tuple[bytes, bytes], rows: bytes = b"") -> bytes:
    """Return a PNG with an arbitrary header."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    made = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def noise(size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


FILM = {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}
BAD = {
    "20 MB": (b"\x89PNG" + bytes(20 * 2**20), "the file must have at most 20 MB; got 20.0 MB"),
    "100 megapixels": (png(10_000, 10_000), "the file has 10000 x 10000 pixels, above the limit of 40,000,000"),
    "beyond Pillow's limit": (png(60_000, 60_000), "the file exceeds the limit of 40,000,000 pixels; reduce it"),
    "unpacks to 100 MB of text": (
        png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))),
        "the file is broken: Decompressed data too large",
    ),
    "truncated PNG": (encoded(noise())[:900], "the file is broken or truncated"),
    "truncated JPEG": (encoded(noise(), "jpeg")[:700], "the file is broken or truncated"),
    "too narrow": (encoded(Image.new("L", (1, 60_000))), "too narrow to be resized"),
    "nothing": (b"", "the file is not a picture that can be read (0 bytes)"),
    "text": (b"<b>hello</b>", "is not a picture that can be read"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture that can be read"),
    "GIF": (encoded(noise(), "gif"), "is not a picture that can be read"),
    "TIFF": (encoded(noise(), "tiff"), "is not a picture that can be read"),
    "a film as PNG": (encoded(noise(), **FILM), "must be a single picture; got an animation of 2; send one of them"),
    "a film as WebP": (
        encoded(noise(), "webp", **FILM),
        "must be a single picture; got an animation of 2; send one of them",
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # a warning that precedes the error
@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD.keys())
def test_unreadable_files_are_refused_in_one_sentence(
    visit_page: Open, planted: Path, data: bytes, reason: str
) -> None:
    page = upload(open_part(visit_page, planted), data, "<b>x</b>.png")
    assert len(page.error) == 1 and reason in read_texts(page)
    assert not page.get("progress") and not page.metric
    assert "<b>" not in "".join(each.value for each in (*page.error, *page.caption, *page.markdown))
    settle(upload(page, encoded(noise())))
    assert not page.error and len(page.metric) == 1, "the next one is accepted"


def rotated() -> bytes:
    """Return a picture stored on its side, as phones do, with an EXIF rotation of 90 degrees."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(noise().transpose(Image.Transpose.ROTATE_90), exif=exif)


def sixteen_bit() -> bytes:
    return encoded(Image.fromarray(np.asarray(noise(mode="L")).astype(np.uint16) * 257))


def see_through() -> bytes:
    made = noise(mode="RGBA")
    made.putalpha(Image.fromarray(np.tile(np.array([0, 255], np.uint8), (30, 20))))
    return encoded(made)


def laid_on_white() -> Image.Image:
    pixels = np.asarray(noise()).copy()
    pixels[:, ::2] = 255
    return Image.fromarray(pixels)


GOOD = {
    "EXIF": (rotated(), noise(), 0),
    "16 bits": (sixteen_bit(), noise(mode="L").convert("RGB"), 0),
    "alpha": (see_through(), laid_on_white(), 0),
    "palette": (encoded(noise(mode="P")), noise(mode="P").convert("RGB"), 0),
    "CMYK": (encoded(Image.new("CMYK", (40, 30), (0, 255, 255, 0)), "jpeg"), Image.new("RGB", (40, 30), "red"), 3),
    "grey JPEG": (encoded(Image.new("L", (40, 30), 90), "jpeg"), Image.new("RGB", (40, 30), (90,) * 3), 1),
    "WebP": (encoded(noise(), "webp", lossless=True), noise(), 0),
    "several in one JPEG": (
        encoded(Image.new("RGB", (40, 30), "blue"), "mpo", **FILM),
        Image.new("RGB", (40, 30), "blue"),
        3,
    ),
    "one pixel": (encoded(Image.new("RGB", (1, 1), (9, 80, 200))), Image.new("RGB", (18, 18), (9, 80, 200)), 0),
}


@pytest.mark.parametrize(("data", "plain", "far"), GOOD.values(), ids=GOOD.keys())
def test_every_kind_of_photograph_is_read_as_viewers_show_it(data: bytes, plain: Image.Image, far: int) -> None:
    """``far``: tolerance of lossy and print formats, in steps of 255."""
    seen = uploads.decode_upload(uploads.receive(data), 16)
    assert not isinstance(seen, str), seen
    assert (seen - read_image(encoded(plain), 16)).abs().max() <= far / 127.5 + 1e-6


def test_the_command_reads_the_same_pixels(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(noise((90, 70)), "jpeg"))
    assert torch.equal(read_image(tmp_path / "a.jpg", 16), read_image((tmp_path / "a.jpg").read_bytes(), 16))


def test_the_page_does_not_import_the_segmenters() -> None:
    code = "import sys, apps.explorer.views.latent; sys.exit('segmentation_models_pytorch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class _Named:
    name = "palette"
