"""The bundled generators: what each is trained on, by which command. `train_bundled.py` trains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

TITLES = {
    "dcgan": "DCGAN",
    "progan": "ProGAN",
    "stylegan": "StyleGAN",
    "sagan": "SAGAN",
    "cogan": "CoGAN",
    "agecgan": "Age-cGAN",
    "biggan": "BigGAN",
    "egan": "E-GAN",
    "vae": "VAE",
    "vaegan": "VAE-GAN",
    "stackgan": "StackGAN",
}


@dataclass(frozen=True, slots=True)
class TrainingPictures:
    """Training pictures of models: arguments of ``--data``, the segmenter that evaluates, and texts for the cards."""

    data: str
    segmenter: str
    shows: str
    dataset: str
    license: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """A bundled model: its architecture, training pictures and training options."""

    architecture: str
    pictures: TrainingPictures
    options: str
    snapshots: str
    chosen: bool = True
    """Whether the snapshot nearest to held-out pictures ships; otherwise the last."""
    family: str = ""
    """Family on the card, if it is not that of the architecture."""

    @property
    def title(self) -> str:
        """Family of the model."""
        return self.family or TITLES[self.architecture]

    def arguments(self, name: str) -> str:
        """Return the arguments of ``gandissect train generator``, with DATA as the folder of the photographs."""
        pictures = self.pictures
        segmenter = f"--segmenter {pictures.segmenter} " if self.chosen else ""
        return (
            f"{self.architecture} --data {pictures.data} --out runs/{name} {self.options} "
            f"{segmenter}{self.snapshots}{pictures.more}"
        )


SCENES = TrainingPictures(
    data="scenes:30000",
    segmenter="unet-scenes",
    shows="rendered outdoor scenes",
    dataset="30,000 rendered scenes of seed 0",
    license="MIT, like the toolkit: trained on rendered pictures only",
    more=" --augmentation",  # none, since any number of scenes can be rendered
)
STREETS = TrainingPictures(
    data="DATA/outdoor/buildings DATA/outdoor/street DATA/labelmefacade@train",
    segmenter="unet-streets",
    shows="streets and facades",
    dataset="5,037 photographs: outdoor/buildings and outdoor/street minus 5% held out by a hash of the name "
    "(Intel image classification set), labelmefacade train",
    license="research use only: trained on photographs under non-commercial or unclear terms",
)
OUTDOOR = TrainingPictures(
    data="DATA/outdoor",
    segmenter="unet-streets",
    shows="outdoor photographs of six classes",
    dataset="13,296 photographs in six classes: outdoor minus 5% held out by a hash of the name (Intel image "
    "classification set)",
    license="research use only: trained on photographs under unclear terms",
)
DIGITS = TrainingPictures(
    data="DATA/mnist10k --hold-out 0.5",
    segmenter="unet-digits",
    shows="handwritten digits",
    dataset="4,986 digits: mnist10k minus the half held out by a hash of the index",
    license="research use: trained on MNIST",
)
NOON_AND_DUSK = TrainingPictures(
    data="noon=scenes:15000@noon dusk=scenes:15000@dusk",
    segmenter="unet-scenes",
    shows="rendered outdoor scenes at noon and at dusk",
    dataset="15,000 rendered scenes of seed 0 in two lights, noon and dusk, which are never paired in training",
    license="MIT, like the toolkit: trained on rendered pictures only",
)
CAPTIONED_SCENES = TrainingPictures(
    data="captions:scenes:15000",
    segmenter="unet-scenes",
    shows="rendered outdoor scenes from captions",
    dataset="15,000 rendered scenes of seed 0, with ten captions each",
    license="MIT, like the toolkit: trained on rendered pictures only",
)
SCENES_BY_HOUR = TrainingPictures(
    data="scenes:15000@hours",
    segmenter="unet-scenes",
    shows="rendered outdoor scenes at five hours of the day",
    dataset="15,000 rendered scenes of seed 0, at hours drawn at random, in five groups",
    license="MIT, like the toolkit: trained on rendered pictures only",
)
CPU = "--images 200000 --decay-from 0.6"
LONG = "--images 340000 --decay-from 0.6"
SLOW_GROWTH = " --hold-images 10000 --fade-images 10000"
WEAKER = " --augmentation translation"
FULL = (  # at most 320 units rather than 512, so that the weights fit into 16 MB
    "--width 128 --max-width 320 --batch-size 64 --images 600000 --hold-images 40000 --fade-images 40000 "
    "--decay-from 0.8 --learning-rate 0.002"
)
LARGE = (
    "--resolution 128 --width 64 --max-width 320 --images 500000 --hold-images 30000 --fade-images 30000 "
    "--decay-from 0.8 --r1-gamma 0.4 --learning-rate 0.002"
)
LARGE_DCGAN = "--resolution 128 --width 48 --images 1000000 --decay-from 0.7 --resident"
TWO_RATES = "--images 160000 --decay-from 0.6 --learning-rate 2e-4 --discriminator-learning-rate 4e-4"
CPU_SNAPSHOTS = "--snapshot-images 40000 --checkpoint-images 10000"
GPU_SNAPSHOTS = "--snapshot-images 100000 --checkpoint-images 50000"

PLAIN_SCENES = replace(SCENES, more="")
AUTOENCODER_SNAPSHOTS = "--snapshot-images 50000 --checkpoint-images 10000"
SMALL_DIGITS = "--resolution 32 --width 32 --z-dim 64 --augmentation translation --resident"
CLIPPED = "--loss wasserstein --optimizer rmsprop --learning-rate 5e-5 --beta2 0.99 --discriminator-turns 5"
PENALIZED = (
    "--loss wgan-gp --learning-rate 1e-4 --beta1 0 --beta2 0.9 --discriminator-turns 5 --discriminator-norm none "
    "--drift-weight 0"
)
WATCHED_SNAPSHOTS = "--snapshot-images 20000 --checkpoint-images 10000"

CPU_MODELS: Mapping[str, Model] = {
    "vae-scenes64": Model("vae", PLAIN_SCENES, "--images 450000 --decay-from 0.6", AUTOENCODER_SNAPSHOTS, chosen=False),
    "vaegan-scenes64": Model(
        "vaegan", PLAIN_SCENES, "--images 320000 --decay-from 0.6", "--snapshot-images 40000", chosen=False
    ),
    "biggan-scenes64": Model(
        "biggan", PLAIN_SCENES, "--images 225000 --decay-from 0.6", "--snapshot-images 25000 --checkpoint-images 3200"
    ),
    "egan-outdoor32": Model(
        "egan",
        OUTDOOR,
        "--width 48 --discriminator-turns 1 --fitness-gamma 0.05 --images 400000 --decay-from 0.7",
        "--snapshot-images 50000 --checkpoint-images 10000",
    ),
    "sagan-outdoor64": Model("sagan", OUTDOOR, TWO_RATES, WATCHED_SNAPSHOTS),
    "lsgan-digits32": Model(
        "dcgan",
        DIGITS,
        f"{SMALL_DIGITS} --loss least-squares --images 500000",
        "--snapshot-images 100000",
        chosen=False,
        family="LSGAN",
    ),
    "wgan-digits32": Model(
        "dcgan",
        DIGITS,
        f"{SMALL_DIGITS} {CLIPPED} --images 2500000",
        "--snapshot-images 500000",
        chosen=False,
        family="WGAN",
    ),
    "wgangp-digits32": Model(
        "dcgan",
        DIGITS,
        f"{SMALL_DIGITS} {PENALIZED} --images 1200000",
        "--snapshot-images 250000",
        chosen=False,
        family="WGAN-GP",
    ),
    "cogan-scenes64": Model(
        "cogan", NOON_AND_DUSK, "--width 32 --images 300000 --decay-from 0.5", AUTOENCODER_SNAPSHOTS, chosen=False
    ),
    "stackgan-scenes64": Model(
        "stackgan",
        CAPTIONED_SCENES,
        "--caption-images 90000 --first-images 180000 --images 420000 --decay-from 0.8",
        "--snapshot-images 30000 --checkpoint-images 15000",
        chosen=False,
    ),
    "agecgan-scenes64": Model(
        "agecgan",
        SCENES_BY_HOUR,
        "--batch-size 32 --gan-images 250000 --images 350000 --decay-from 0.6",
        AUTOENCODER_SNAPSHOTS,
        chosen=False,
    ),
    "progan-scenes64": Model("progan", SCENES, LONG, CPU_SNAPSHOTS),
    "progan-streets64": Model("progan", STREETS, CPU + WEAKER, CPU_SNAPSHOTS),
    "stylegan-scenes64": Model("stylegan", SCENES, LONG + SLOW_GROWTH, CPU_SNAPSHOTS),
    "stylegan-streets64": Model("stylegan", STREETS, LONG + SLOW_GROWTH + WEAKER, CPU_SNAPSHOTS),
}
GPU_MODELS: Mapping[str, Model] = {
    "progan-scenes64": Model("progan", SCENES, FULL, GPU_SNAPSHOTS),
    "progan-streets64": Model("progan", STREETS, FULL, GPU_SNAPSHOTS),
    "stylegan-scenes64": Model("stylegan", SCENES, FULL, GPU_SNAPSHOTS),
    "stylegan-streets64": Model("stylegan", STREETS, FULL, GPU_SNAPSHOTS),
    "dcgan-streets128": Model("dcgan", STREETS, LARGE_DCGAN, GPU_SNAPSHOTS),
    "progan-streets128": Model("progan", STREETS, LARGE, GPU_SNAPSHOTS),
    "stylegan-streets128": Model("stylegan", STREETS, LARGE, GPU_SNAPSHOTS),
}
