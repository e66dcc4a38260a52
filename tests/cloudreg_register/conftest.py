"""Torch's threads, the same number for every test."""

import torch

torch.set_num_threads(2)
