#!/usr/bin/env bash
# Self-guided labels (Ke and Hsu, 2018): one network, no saliency, no other model. Algorithm 1: classification with affinities,
# labels from its maps, segmentation on these labels, and again from there.
#
#   examples/self_guided.sh DATA [OUT]
#
# DATA: a data set with the splits train and val and image-level labels. Run it again after an interruption: finished steps do
# nothing, the interrupted one goes on.
#
#   NETWORK   lite0 (default), resnet50; resnet101 (the paper's) and vgg16: with the paper's schedules, on a GPU
#   EVAL      0 = the images of val have no true masks
#   TABLE     1 = the rows of the paper's table 1 too: labels of every stage, without and with a CRF, judged on the true
#             masks of train
#   CLS, LABELS, SEG   further options of the three steps, e.g. CLS='--epochs 4 --affinity-size 32'; LABELS=--no-affinity
#             leaves the random walk out, which on a few hundred photos gives better labels (docs/methods.md, self-guided)
set -euo pipefail
data=${1:?usage: self_guided.sh DATA [OUT]}
out=${2:-runs/self-guided}
network=${NETWORK:-lite0}
read -ra cls <<<"${CLS:-}"
read -ra labels <<<"${LABELS:-}"
read -ra seg <<<"${SEG:-}"
export WSS_DATA=$data
unset WSS_SPLIT  # labels are of the classifier's split
if [[ $network == resnet101 || $network == vgg16 ]]; then
  cls=(--recipe self-guided "${cls[@]}")
  seg=(--recipe self-guided "${seg[@]}")
fi
cls=(--arch self-guided --backbone "$network" "${cls[@]}")
seg=(--backbone "$network" "${seg[@]}")

start=()
for round in 1 2; do
  # Step 1. The second time it goes on from the segmentation net, and takes from the last classifier what that lacks.
  wss train-cls --split train "${cls[@]}" "${start[@]}" -o "$out/cls$round"
  wss make-seeds --method self-guided --model "$out/cls$round" "${labels[@]}" -o "$out/labels$round"
  # Step 2, the same network.
  wss train-seg "$out/labels$round" --loss ce --init "$out/cls$round" "${seg[@]}" -o "$out/seg$round"
  start=(--init "$out/seg$round,$out/cls$round")
done

if [[ ${TABLE:-0} == 1 ]]; then
  stage() { # NAME OPTIONS: a row, and the same with a CRF
    wss make-seeds --method self-guided --model "$out/cls1" "${@:2}" -o "$out/$1"
    wss crf "$out/$1" --read masks -o "$out/$1-crf"
  }
  stage A --stop-at A
  stage R --stop-at R
  stage G1-no-affinity --no-affinity --iterations 1
  stage G1 --iterations 1
  stage G15-no-affinity --no-affinity
  stage G15
  wss eval "$out"/{A,R,G1-no-affinity,G1,G15-no-affinity,G15}{,-crf} "$out"/labels{1,2} --split train
fi

for round in 1 2; do
  wss predict "$out/seg$round" --split val -o "$out/val$round"
done
if [[ ${EVAL:-1} == 1 ]]; then
  wss eval "$out/val1" "$out/val2" --split val --bootstrap
fi
