from .gan import GANTask as GANTask, train_generator as train_generator
from .recipes import RECIPES as RECIPES, GANSettings as GANSettings
