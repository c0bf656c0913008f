#!/usr/bin/env bash
# DASNet (Niu et al., 2018): many boxes, few masks. A detector from the boxes of all photos, shapes from the masks of a few;
# semantic masks and single objects of val.
#
#   examples/dasnet.sh DATA [OUT]
#
# DATA: a VOC devkit with the splits train and val, boxes (Annotations) of both and masks (SegmentationClass) of some of train. Run
# it again after an interruption: finished steps do nothing, the interrupted one goes on.
#
#   BACKBONE  lite0 (default), resnet50, ...; vgg16 is the paper's: with the paper's schedules, on a GPU
#   MASKS     masks a class: 5 (default), 10, 25, ..., all
#   TRUTH     where the masks are: DATA/SegmentationClass (default), or any mask directory
#   EVAL      0 = val has no true masks
#   DET, SEG  further options of the two trainings, e.g. DET='--epochs 20' SEG='--box-jitter 0.1'
set -euo pipefail
data=${1:?usage: dasnet.sh DATA [OUT]}
out=${2:-runs/dasnet}
backbone=${BACKBONE:-lite0}
read -ra det <<<"${DET:-}"
read -ra seg <<<"${SEG:-}"
export WSS_DATA=$data
unset WSS_SPLIT
if [[ $backbone == vgg16 ]]; then
  det=(--recipe ssd "${det[@]}")
  seg=(--recipe dasnet "${seg[@]}")
fi

wss train-det --split train --backbone "$backbone" "${det[@]}" -o "$out/det"
wss train-seg "${TRUTH:-$data/SegmentationClass}" --split train --arch dasnet --detector "$out/det" \
  --masks-per-class "${MASKS:-5}" --instances "${seg[@]}" -o "$out/seg"

wss predict "$out/seg" --split val -o "$out/val"
wss predict "$out/seg" --split val --true-boxes -o "$out/upper" # were the detector perfect
wss detect "$out/det" --segment "$out/seg" --instances --split val -o "$out/objects"
if [[ ${EVAL:-1} == 1 ]]; then
  wss eval "$out/val" "$out/upper" --split val
  wss eval "$out/objects" --split val --detections
  wss eval "$out/objects" --split val --instances
fi
