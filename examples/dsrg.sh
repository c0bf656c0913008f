#!/usr/bin/env bash
# DSRG (Huang et al., CVPR 2018), from image-level labels to test masks: CAM seeds, a net that learns from seeds which
# grow while it learns, and a second net trained on the first one's masks.
#
#   examples/dsrg.sh DATA [OUT]
#
# DATA: a PASCAL VOC devkit, or a COCO root (images/, annotations/instances_<split>.json). Run it again after an
# interruption: finished steps do nothing, the interrupted one goes on.
#
#   NETWORK   lite0 (default: the embedded backbone, on a CPU too), vgg16 or resnet101 (the paper's networks with the
#             paper's schedules; a GPU and ImageNet weights are needed)
#   ORIGINAL  1 = where the authors' code departs from the paper, as the code has it
#   TRAIN, TEST   names of the splits (train, val; for COCO TRAIN=train2017 TEST=val2017)
#   WATCH     true masks of the training images (a directory, or truth): how good the supervision is, per epoch, in
#             seg/log.jsonl and seg/supervision.svg; no training sees them
#   EVAL      0 = the images of TEST have no true masks
#   CLS, SEG, RETRAIN, DEVICE   further options, e.g. SEG='--epochs 4'
set -euo pipefail
data=${1:?usage: dsrg.sh DATA [OUT]}
out=${2:-runs/dsrg}
network=${NETWORK:-lite0}
train=${TRAIN:-train}
test=${TEST:-val}
read -ra cls <<<"${CLS:-}"
read -ra seg <<<"${SEG:-}"
read -ra retrain <<<"${RETRAIN:-}"
device=(--device "${DEVICE:-auto}")
export WSS_DATA=$data
unset WSS_SPLIT  # the seeds are of the classifier's split

if [[ $network == vgg16 || $network == resnet101 ]]; then
  # Sections 3.1 and 4.1: one size, the highest 20% of the maximum; SGD schedules; 321 x 321 to 41 x 41; a CRF at test.
  recipe=(--recipe dsrg --backbone "$network")
  cls=("${recipe[@]}" "${cls[@]}")
  seg=("${recipe[@]}" --init imagenet "${seg[@]}")
  retrain=("${recipe[@]}" --loss ce "${retrain[@]}")
  crf=()
  sizes=(--scales 1)
else
  # A small set: what the classifier has learnt is not thrown away. The net's probabilities are surer than heatmaps and want
  # a lighter CRF, and the second training weighs foreground and background alike (both found on masks of train photos).
  cls=(--backbone "$network" "${cls[@]}")
  seg=(--backbone "$network" --init "$out/cls" "${seg[@]}")
  retrain=(--backbone "$network" --loss balanced-seed --boundary 0 --epochs 8 --size 500 --scale-range 0.5,1.25 --loss-step 2
    "${retrain[@]}")
  crf=(--bilateral-compat 5)
  sizes=(--scales "0.75,1" --flip)
fi
if [[ ${ORIGINAL:-0} == 1 ]]; then
  seg+=(--original-quirks --crf-grad dsrg)
  own=()  # argmax over all classes
else
  own=(--labels-only)  # an image's own classes only
fi
if [[ -n ${WATCH:-} ]]; then
  seg+=(--watch-supervision "$WATCH")
fi

wss train-cls --split "$train" "${device[@]}" "${cls[@]}" -o "$out/cls"
wss make-seeds --method cam --model "$out/cls" "${device[@]}" -o "$out/seeds"
wss train-seg "$out/seeds" --loss balanced-seed --boundary 1.0 --grow --theta-fg 0.85 --theta-bg 0.99 \
  "${device[@]}" "${seg[@]}" -o "$out/seg"

# Retraining (section 4.4): the net's masks of the training images, from three sizes and refined, are the supervision.
wss predict "$out/seg" --split "$train" --scales 0.75,1,1.25 --flip --scores --no-masks "${own[@]}" "${device[@]}" \
  -o "$out/probs"
wss crf "$out/probs" "${crf[@]}" -o "$out/pseudo"
wss train-seg "$out/pseudo" --init "$out/seg" "${device[@]}" "${retrain[@]}" -o "$out/net"

wss predict "$out/net" --split "$test" "${sizes[@]}" --scores --no-masks "${device[@]}" -o "$out/$test-probs"
wss crf "$out/$test-probs" "${crf[@]}" -o "$out/$test"
if [[ ${EVAL:-1} == 1 ]]; then
  wss eval "$out/$test" --split "$test" --per-class
fi
