"""The table of methods: plain data, read by `wss methods`, the dispatching steps and the tests.

To add one: a function in its own file, a row here, a test file, a section in docs/methods.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from wsscli.errors import UsageError


class Method(NamedTuple):
    """One row.

    Attributes:
        step: the subcommand that takes it.
        option: the option that names it there (empty: the step is the method).
        target: "module:function" of the algorithm.
        summary: one sentence.
        source: the paper.
    """

    step: str
    option: str
    target: str
    summary: str
    source: str


METHODS: dict[str, Method] = {
    "cam": Method(
        "make-seeds", "--method cam --cam cam", "wsscli.seeds.cam:cam",
        "Class activation maps: the classifier's weights on its last features.",
        "Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016",
    ),
    "grad-cam": Method(
        "make-seeds", "--method cam --cam grad-cam", "wsscli.seeds.cam:grad_cam",
        "CAM with weights from averaged gradients.",
        "Selvaraju et al., Grad-CAM, ICCV 2017",
    ),
    "grad-cam++": Method(
        "make-seeds", "--method cam --cam grad-cam++", "wsscli.seeds.cam:grad_cam_plus_plus",
        "Grad-CAM with pixel-wise weighted positive gradients.",
        "Chattopadhay et al., Grad-CAM++, WACV 2018",
    ),
    "layer-cam": Method(
        "make-seeds", "--method cam --cam layer-cam", "wsscli.seeds.cam:layer_cam",
        "CAM with a gradient weight at every position.",
        "Jiang et al., LayerCAM, TIP 2021",
    ),
    "hard-seeds": Method(
        "make-seeds", "--fg-rule, --fg-threshold, --bg-threshold", "wsscli.seeds.hard:hard_seeds",
        "Foreground seeds from class heatmaps, background seeds from saliency.",
        "Huang et al., DSRG, CVPR 2018, section 3.1; Kolesnikov and Lampert, SEC, ECCV 2016",
    ),
    "self-guided": Method(
        "make-seeds", "--method self-guided", "wsscli.seeds.self_guided:self_guided_labels",
        "Whole labels from localization maps: Otsu's threshold, then the guided filter with the photo as guide.",
        "Ke and Hsu, Generating Self-Guided Dense Annotations for Weakly Supervised Semantic Segmentation, 2018",
    ),
    "foreground": Method(
        "make-seeds", "--method foreground", "wsscli.seeds.foreground:foreground_labels",
        "The foreground that a class-free net finds takes the image's one label; all else is background.",
        "Jing et al., Coarse-to-fine Semantic Segmentation from Image-level Labels, TIP 2020, section III",
    ),
    "hypotheses": Method(
        "make-seeds", "--method hypotheses", "wsscli.seeds.localization:localization_maps",
        "Proposals that a net takes for a class: where many lie it is likely, the best ones joined are its mask.",
        "Wei et al., Learning to Segment with Image-level Annotations, Pattern Recognition 2016, section 3",
    ),
    "cross-image": Method(
        "make-seeds", "--method hypotheses --keep", "wsscli.seeds.cross_image:ClassSums",
        "Of an image's candidates those stay that look like the candidates of the class's other images.",
        "Wei et al., Learning to Segment with Image-level Annotations, Pattern Recognition 2016, section 3.2",
    ),
    "student": Method(
        "train-seg", "--arch student", "wsscli.nets.student:Student",
        "Eight convolutions that learn foreground from an unsupervised teacher's soft masks.",
        "Croitoru et al., Unsupervised Learning from Video to Detect Foreground Objects in Single Images, ICCV 2017",
    ),
    "hierarchical": Method(
        "propose", "--method hierarchical", "wsscli.proposals.hierarchical:hierarchical",
        "Region proposals: nodes of several superpixel hierarchies, and pairs and triples of neighbours.",
        "after Arbelaez et al., Multiscale Combinatorial Grouping, CVPR 2014",
    ),
    "selective-search": Method(
        "propose", "--method selective-search", "wsscli.proposals.selective_search:selective_search",
        "Region proposals: every region of many greedy mergings, diverse in colours, measures and superpixels.",
        "Uijlings et al., Selective Search for Object Recognition, IJCV 2013",
    ),
    "affinity": Method(
        "train-cls", "--arch self-guided", "wsscli.losses.affinity:affinity_loss",
        "Which pixels belong together, learnt from the photo's colours; a random walk spreads maps by it.",
        "Ke and Hsu, Generating Self-Guided Dense Annotations for Weakly Supervised Semantic Segmentation, 2018",
    ),
    "hcp": Method(
        "train-cls", "--arch hcp", "wsscli.nets.hcp:HCP",
        "A classifier of region proposals, from image labels: each class's best hypothesis speaks for the image.",
        "Wei et al., CNN: Single-label to Multi-label, 2014; Learning to Segment with Image-level Annotations, 2016",
    ),
    "rbd": Method(
        "saliency", "", "wsscli.saliency.rbd:saliency",
        "Saliency from robust background detection: unsupervised, from the image alone.",
        "Zhu et al., Saliency Optimization from Robust Background Detection, CVPR 2014",
    ),
    "video-pca": Method(
        "saliency", "--video", "wsscli.saliency.video_pca:video_saliency",
        "Saliency of what moves: a clip's principal components cannot explain it, and its colours tell the rest.",
        "Stretcu and Leordeanu, Multiple Frames Matching for Object Discovery in Video, BMVC 2015",
    ),
    "dsrg-growing": Method(
        "grow", "", "wsscli.grow.dsrg:grow",
        "Seeds grow into 8-connected pixels that a network is sure of.",
        "Huang et al., DSRG, CVPR 2018, section 3.3",
    ),
    "balanced-seeding": Method(
        "train-seg", "--loss balanced-seed --grow", "wsscli.losses.seeding:balanced_seeding",
        "A network learns from seeds that grow while it learns; foreground and background weigh alike.",
        "Huang et al., DSRG, CVPR 2018, sections 3.2 and 3.3",
    ),
    "seeding": Method(
        "train-seg", "--loss seed", "wsscli.losses.seeding:seeding",
        "A network learns from seeds alone, all pixels weighing alike.",
        "Kolesnikov and Lampert, SEC, ECCV 2016",
    ),
    "soft-labels": Method(
        "train-seg", "--loss soft", "wsscli.losses.soft_cross_entropy:soft_cross_entropy",
        "A network learns from scores: at every pixel a share of each class.",
        "Wei et al., Learning to Segment with Image-level Annotations, 2016, section 3.3.1",
    ),
    "boundary-loss": Method(
        "train-seg", "--boundary", "wsscli.losses.boundary:boundary",
        "A network's maps are pulled to what a fully connected CRF makes of them.",
        "Kolesnikov and Lampert, SEC, ECCV 2016; Huang et al., DSRG, CVPR 2018",
    ),
    "dense-crf": Method(
        "crf", "", "wsscli.refine.crf:dense_crf",
        "Fully connected CRF with Gaussian edge potentials, mean field on a permutohedral lattice.",
        "Kraehenbuehl and Koltun, NIPS 2011; Adams et al., Eurographics 2010",
    ),
    "grabcut": Method(
        "grabcut", "", "wsscli.refine.grabcut:grabcut",
        "Iterated graph cut from the box of the mask's foreground.",
        "Rother et al., GrabCut, SIGGRAPH 2004; Jing et al., Coarse-to-fine, section 3",
    ),
    "refine-round": Method(
        "refine-round", "", "wsscli.refine.own_class:own_classes",
        "Networks learn from masks and predict better ones; an image's own classes are kept, and cut out by GrabCut.",
        "Jing et al., Coarse-to-fine Semantic Segmentation from Image-level Labels, sections III-D and IV-D",
    ),
    "guided-filter": Method(
        "guided-filter", "", "wsscli.refine.guided_filter:guided_filter",
        "Maps become locally linear in the photo's colours, again and again, and so take over its edges.",
        "He et al., Guided Image Filtering, TPAMI 2013; Ke and Hsu, Self-Guided Dense Annotations, section 3.3",
    ),
    "deeplab": Method(
        "train-seg", "--arch deeplab", "wsscli.nets.segmenter:DeepLab",
        "DeepLab-ASPP (v2): four dilated branches, summed.",
        "Chen et al., DeepLab, TPAMI 2018",
    ),
    "deeplab-largefov": Method(
        "train-seg", "--arch deeplab-largefov", "wsscli.nets.segmenter:DeepLab",
        "DeepLab with one large field of view (v1).",
        "Chen et al., Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs, ICLR 2015",
    ),
    "fpn": Method(
        "train-seg", "--arch fpn", "wsscli.nets.fpn:FPN",
        "Feature pyramid: the backbone's stages top-down, scores at stride 4.",
        "Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017",
    ),
    "dfpn": Method(
        "train-seg", "--arch dfpn", "wsscli.nets.fpn:FPN",
        "Feature pyramid with three branches of dilated convolutions.",
        "Jing et al., Coarse-to-Fine Semantic Segmentation from Image-Level Labels, section III-F",
    ),
    "ssd": Method(
        "train-det", "", "wsscli.nets.ssd:SSD",
        "Boxes and classes of objects from feature maps of six resolutions, in one pass.",
        "Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016",
    ),
    "dasnet": Method(
        "train-seg", "--arch dasnet --detector DIR", "wsscli.nets.dasnet:DASNet",
        "Each class is segmented inside its boxes, from a detector's features, by one net for all classes.",
        "Niu et al., DASNet: Reducing Pixel-level Annotations for Instance and Semantic Segmentation, 2018",
    ),
    "attention": Method(
        "train-seg", "--arch dasnet --attention", "wsscli.nets.attention:attend",
        "Feature maps kept inside the boxes of one class, zero outside.",
        "Niu et al., DASNet, 2018, section 3.3",
    ),
    "position-sensitive": Method(
        "train-seg", "--arch dasnet --instances", "wsscli.losses.position_sensitive:position_sensitive",
        "Single objects: each cell of a box is read from the map of its place, inside against outside.",
        "Niu et al., DASNet, 2018, section 3.4.2; Li et al., FCIS, CVPR 2017",
    ),
    "masks-per-class": Method(
        "train-seg", "--masks-per-class", "wsscli.data.few:few_per_class",
        "A few masks of every class, drawn class by class.",
        "Niu et al., DASNet, 2018, section 4.1",
    ),
}  # fmt: skip


def resolve(name: str) -> Any:
    """The function (or class) of a method, imported now.

    Raises:
        UsageError: no such method; the message lists those there are.
    """
    if name not in METHODS:
        raise UsageError(f"unknown method '{name}'; there are: {', '.join(METHODS)} (`wss methods`)")
    module, _, attribute = METHODS[name].target.partition(":")
    return getattr(import_module(module), attribute)
