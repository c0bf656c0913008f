"""Recipes: named sets of defaults for a training. Plain data; an option given by the user wins over them."""

from __future__ import annotations

from typing import Any

# Both tasks' entries have the same keys. `scale` None warps the whole image to the crop.
# `fast`: the parameters that `head_lr` is for, "fresh" = all without pre-trained values, "last" = the last layer.
RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    # For small sets (hundreds to thousands of images) and pre-trained nets.
    ("modern", "classification"): {
        "epochs": 8, "batch_size": 16, "lr": 3e-4, "weight_decay": 0.05, "optimizer": "adamw", "schedule": "one-cycle",
        "head_lr": 10.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 257, "longer": 0, "scale": (0.3, 1.0),
        "flip": True, "jitter": 0.2, "dropout": 0.2, "freeze": 3,
        # Three times as fast as at stride 16, and class maps are made at another stride than the training's.
        "output_stride": 32,
    },
    ("modern", "segmentation"): {
        "epochs": 8, "batch_size": 16, "lr": 4e-4, "weight_decay": 0.05, "optimizer": "adamw", "schedule": "one-cycle",
        "head_lr": 5.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 257, "longer": 500, "scale": (0.5, 1.25),
        "flip": True, "jitter": 0.2, "dropout": 0.1, "freeze": 3, "loss_step": 2,
    },
    # As segmentation, at smaller sizes: a crop should hold an object as a whole, so that its seeds can grow through it.
    ("modern", "seeding"): {
        "epochs": 4, "batch_size": 16, "lr": 4e-4, "weight_decay": 0.05, "optimizer": "adamw", "schedule": "one-cycle",
        "head_lr": 5.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 257, "longer": 375, "scale": (0.67, 1.33),
        "flip": True, "jitter": 0.2, "dropout": 0.1, "freeze": 3, "loss_step": 8,
    },
    # As classification, with the stride of segmentation, whose scores the localization maps stand on.
    ("modern", "self-guided"): {
        "epochs": 8, "batch_size": 16, "lr": 3e-4, "weight_decay": 0.05, "optimizer": "adamw", "schedule": "one-cycle",
        "head_lr": 10.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 257, "longer": 375, "scale": (0.3, 1.0),
        "flip": True, "jitter": 0.2, "dropout": 0.1, "freeze": 3,
    },
    # As classification, over both stages together; at the stride of segmentation, so that small boxes have features.
    ("modern", "hcp"): {
        "epochs": 8, "batch_size": 16, "lr": 3e-4, "weight_decay": 0.05, "optimizer": "adamw", "schedule": "one-cycle",
        "head_lr": 10.0, "image_head_lr": 10.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 257, "longer": 0,
        "scale": (0.3, 1.0), "flip": True, "jitter": 0.2, "dropout": 0.2, "freeze": 3, "output_stride": 16,
    },
    # From random weights, so longer than the others; on whole photos, small ones. At 30 epochs it repeats its teacher's
    # mistakes, at 10 its maps are dim.
    ("modern", "student"): {
        "epochs": 20, "batch_size": 16, "lr": 4e-3, "weight_decay": 0.01, "optimizer": "adamw", "schedule": "one-cycle",
        "head_lr": 1.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 129, "longer": 0, "scale": (0.4, 1.0),
        "flip": True, "jitter": 0.4, "dropout": 0.0, "freeze": 0,
    },
    # Only the segmentation module learns. Its length does not follow from the number of masks, which may be a handful.
    # `scale` is the window's side as a share of the photo's.
    ("modern", "dasnet"): {
        "iterations": 300, "batch_size": 16, "lr": 1e-3, "weight_decay": 0.05, "optimizer": "adamw",
        "schedule": "one-cycle", "head_lr": 1.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 320, "longer": 320,
        "scale": (0.4, 1.4), "flip": True, "jitter": 0.2, "dropout": 0.0, "freeze": 0,
    },
    # DASNet, section 4.1; the paper does not say when it ends. Instances have twice the learning rate there.
    ("dasnet", "dasnet"): {
        "iterations": 40000, "batch_size": 32, "lr": 0.01, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_every": 15000, "step_factor": 0.1, "head_lr": 1.0, "bias_lr": 1.0, "fast": "last", "crop_size": 320,
        "longer": 320, "scale": (0.4, 1.6), "flip": True, "jitter": 0.3, "dropout": 0.0, "freeze": 0,
    },
    # `scale` is a share of the photo's sides, `expand` of how many times its sides the canvas is at most.
    ("modern", "detection"): {
        "epochs": 20, "batch_size": 16, "lr": 6e-4, "weight_decay": 0.05, "optimizer": "adamw", "schedule": "one-cycle",
        "head_lr": 3.0, "bias_lr": 1.0, "fast": "fresh", "crop_size": 320, "longer": 0, "scale": (0.3, 1.0),
        "flip": True, "jitter": 0.3, "dropout": 0.0, "freeze": 3, "expand": 2.0,
    },
    # Liu et al., section 3.1 (PASCAL VOC 2007); there the rate falls once more for the last 10000 iterations. The
    # rate of biases is its code's.
    ("ssd", "detection"): {
        "iterations": 60000, "batch_size": 32, "lr": 1e-3, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_every": 40000, "step_factor": 0.1, "head_lr": 1.0, "bias_lr": 2.0, "fast": "last", "crop_size": 320,
        "longer": 0, "scale": (0.3, 1.0), "flip": True, "jitter": 0.5, "dropout": 0.0, "freeze": 0, "expand": 4.0,
    },
    # Ke and Hsu 2018, section 4.1: the two steps of algorithm 1. Head and bias rates are DeepLab's.
    ("self-guided", "self-guided"): {
        "iterations": 50000, "batch_size": 10, "lr": 1e-3, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "poly",
        "head_lr": 10.0, "bias_lr": 2.0, "fast": "last", "crop_size": 321, "longer": 321, "scale": (0.3, 1.0),
        "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0,
    },
    ("self-guided", "segmentation"): {
        "iterations": 10000, "batch_size": 8, "lr": 5e-4, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "poly",
        "head_lr": 10.0, "bias_lr": 2.0, "fast": "last", "crop_size": 321, "longer": 500, "scale": (1.0, 1.0),
        "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0, "loss_step": 8,
    },
    # Wei et al. 2016, section 4.2: about 30 epochs, taken as both stages together; the last layer 1e-2 on images, 1e-3
    # on hypotheses, all x 0.1 every 10 epochs. Photos of 321 pixels, for a shared map (the paper's crops are smaller).
    ("hcp", "hcp"): {
        "epochs": 30, "batch_size": 30, "lr": 1e-4, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_epochs": 10, "step_factor": 0.1, "head_lr": 10.0, "image_head_lr": 100.0, "bias_lr": 1.0, "fast": "last",
        "crop_size": 321, "longer": 0, "scale": None, "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0,
        "output_stride": 16,
    },
    # The same section, networks A and B. What the paper leaves open is DeepLab v1's.
    ("hypotheses", "segmentation"): {
        "epochs": 15, "batch_size": 8, "lr": 1e-3, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_epochs": 5, "step_factor": 0.1, "head_lr": 10.0, "bias_lr": 2.0, "fast": "last", "crop_size": 321,
        "longer": 500, "scale": (1.0, 1.0), "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0, "loss_step": 8,
    },
    # Jing et al., section IV-B, without a length, which the paper does not name; what it leaves open is DeepLab v2's.
    ("coarse-to-fine", "segmentation"): {
        "batch_size": 12, "lr": 2.5e-4, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "poly", "head_lr": 10.0,
        "bias_lr": 2.0, "fast": "last", "crop_size": 256, "longer": 321, "scale": (1.0, 1.0), "flip": False,
        "jitter": 0.0, "dropout": 0.0, "freeze": 0, "loss_step": 8,
    },
    # DSRG, section 4.1. The paper names no length for the classifier; 8000 iterations are SEC's.
    ("dsrg", "classification"): {
        "iterations": 8000, "batch_size": 20, "lr": 5e-4, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_every": 2000, "step_factor": 0.1, "head_lr": 1.0, "bias_lr": 1.0, "fast": "last", "crop_size": 321,
        "longer": 0, "scale": None, "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0,
    },
    # The authors' training on seeds: 321 x 321 to 41 x 41, x 0.33 every 1000 iterations.
    ("dsrg", "seeding"): {
        "iterations": 8000, "batch_size": 20, "lr": 5e-4, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "step",
        "step_every": 1000, "step_factor": 0.33, "head_lr": 10.0, "bias_lr": 2.0, "fast": "last", "crop_size": 321,
        "longer": 500, "scale": None, "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0, "loss_step": 8,
    },
    # The retraining of DSRG and DeepLab v2 (section 4.1): poly 1e-3, 321 crops of the unscaled image, labels at the
    # net's resolution.
    ("dsrg", "segmentation"): {
        "iterations": 20000, "batch_size": 10, "lr": 1e-3, "weight_decay": 5e-4, "optimizer": "sgd", "schedule": "poly",
        "head_lr": 10.0, "bias_lr": 2.0, "fast": "last", "crop_size": 321, "longer": 500, "scale": (1.0, 1.0),
        "flip": True, "jitter": 0.0, "dropout": 0.5, "freeze": 0, "loss_step": 8,
    },
}  # fmt: skip
