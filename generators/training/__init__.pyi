from .gan import GANTask as GANTask, Pictures as Pictures, train_generator as train_generator
from .recipes import RECIPES as RECIPES, GANSettings as GANSettings
