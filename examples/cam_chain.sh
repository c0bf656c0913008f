#!/usr/bin/env bash
# From image-level labels to a segmentation network, on a PASCAL VOC devkit.
#
#   examples/cam_chain.sh VOCdevkit/VOC2012 [OUT]
#
# Run it again after an interruption: finished steps do nothing, the interrupted one goes on.
# BACKBONE, CLS, SEG: another backbone, further options of the two trainings, e.g. CLS='--epochs 4 --device cuda'.
set -euo pipefail
data=${1:?usage: cam_chain.sh VOC2012 [OUT]}
out=${2:-runs/cam}
backbone=${BACKBONE:-lite0}
read -ra cls <<<"${CLS:-}"
read -ra seg <<<"${SEG:-}"
export WSS_DATA=$data

wss train-cls --split train --backbone "$backbone" "${cls[@]}" -o "$out/cls"
wss make-seeds --method cam --model "$out/cls" -o "$out/seeds"
wss argmax "$out/seeds" -o "$out/cam"
wss crf "$out/seeds" -o "$out/crf"
wss grabcut "$out/cam" -o "$out/grabcut"
wss eval "$out/seeds" "$out/cam" "$out/crf" "$out/grabcut" --split train

wss train-seg "$out/crf" --backbone "$backbone" "${seg[@]}" -o "$out/seg"
wss predict "$out/seg" --split train --scores -o "$out/probs"
wss grow "$out/seeds" --scores "$out/probs" -o "$out/grown" | wss eval - --split train
wss predict "$out/seg" --split val -o "$out/val" | wss eval - --split val --per-class
