from .architectures.base import LayeredGenerator as LayeredGenerator
from .architectures.captioned import CaptionedGenerator as CaptionedGenerator
from .architectures.cgan import ConditionalDCGAN as ConditionalDCGAN
from .architectures.class_translator import ClassTranslator as ClassTranslator
from .architectures.conditional import ConditionalGenerator as ConditionalGenerator
from .architectures.dcgan import DCGAN as DCGAN, DCGANDiscriminator as DCGANDiscriminator
from .architectures.patchgan import PatchDiscriminator as PatchDiscriminator
from .architectures.planted import PlantedGenerator as PlantedGenerator
from .architectures.progan import GrowingDiscriminator as GrowingDiscriminator, ProGAN as ProGAN
from .architectures.stackgan import StackGAN as StackGAN
from .architectures.stargan import StarGAN as StarGAN
from .architectures.stylegan import StyleGAN as StyleGAN
from .architectures.stylegan2 import ResidualDiscriminator as ResidualDiscriminator, StyleGAN2 as StyleGAN2
from .architectures.stylegan3 import StyleGAN3 as StyleGAN3
from .architectures.translator import Translator as Translator
from .architectures.translator_resnet import ResNetTranslator as ResNetTranslator
from .architectures.translator_unet import UNetTranslator as UNetTranslator
from .architectures.unit import UNIT as UNIT
from .hub import (
    card as card,
    has_encoder as has_encoder,
    load as load,
    load_encoder as load_encoder,
    names as names,
    save as save,
)
from .importers.importing import import_checkpoint as import_checkpoint
from .wrapping.wrap import WrappedGenerator as WrappedGenerator, wrap as wrap
