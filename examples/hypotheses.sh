#!/usr/bin/env bash
# Learning to segment from hypotheses (Wei et al., Pattern Recognition 2016): region proposals, a net that says of each what is in
# it, the candidates that look alike across images, localization maps and rough masks, a segmentation net on either.
#
#   examples/hypotheses.sh DATA [OUT]
#
# DATA: a data set with the splits train and val and image-level labels. Run it again after an interruption: finished steps do
# nothing, the interrupted one goes on.
#
#   NETWORK     lite0 (default), resnet50; vgg16 (the paper's) and resnet101: with the paper's schedules, on a GPU
#   PROPOSALS   a directory of proposals of train, e.g. MCG's by `wss import proposals`; made here (--count 2000) without it
#   EVAL        0 = the images of val have no true masks
#   TABLE       1 = further rows: proposals against val's objects; localization maps and rough masks without cross-image
#               refinement and with the farthest half kept, judged on the true masks of train
#   COUNTS      single, all, or both: which images the nets learn from (default "all single": the paper's AN and SN)
#   CLS, LABELS, SEG   further options of the three steps, e.g. CLS='--epochs 4', LABELS='--candidates refined'
set -euo pipefail
data=${1:?usage: hypotheses.sh DATA [OUT]}
out=${2:-runs/hypotheses}
network=${NETWORK:-lite0}
proposals=${PROPOSALS:-$out/proposals}
read -ra cls <<<"${CLS:-}"
read -ra labels <<<"${LABELS:-}"
read -ra seg <<<"${SEG:-}"
read -ra counts <<<"${COUNTS:-all single}"
export WSS_DATA=$data
unset WSS_SPLIT  # labels are of the classifier's split
if [[ $network == vgg16 || $network == resnet101 ]]; then
  cls=(--recipe hcp "${cls[@]}")
  seg=(--recipe hypotheses "${seg[@]}")
  [[ $network == resnet101 ]] || seg=(--arch deeplab-largefov "${seg[@]}")
fi

if [[ -z ${PROPOSALS:-} ]]; then
  wss propose --split train -o "$proposals"
fi
wss train-cls --arch hcp --split train --proposals "$proposals" --backbone "$network" "${cls[@]}" -o "$out/hcp"
make() { wss make-seeds --method hypotheses --model "$out/hcp" --proposals "$proposals" "${labels[@]}" "${@:2}" -o "$out/$1"; }
make labels  # scores: localization maps; masks: rough masks
for count in "${counts[@]}"; do
  learn() { wss train-seg "$out/labels" --loss "$1" --label-count "$count" --backbone "$network" "${seg[@]}" -o "$out/$2-$count"; }
  learn soft A
  learn ce B
done

if [[ ${TABLE:-0} == 1 ]]; then
  make plain --no-cross-image
  make farthest --keep farthest
  for name in labels plain farthest; do
    wss argmax "$out/$name" -o "$out/$name-maps"
  done
  wss eval "$out"/{labels,plain,farthest}{-maps,} --split train
  wss propose --split val -o "$out/proposals-val"
  wss eval "$out/proposals-val" --proposals --split val
fi

predicted=()
for count in "${counts[@]}"; do
  for net in A B; do
    wss predict "$out/$net-$count" --split val -o "$out/val-$net-$count"
    predicted+=("$out/val-$net-$count")
  done
done
if [[ ${EVAL:-1} == 1 ]]; then
  wss eval "${predicted[@]}" --split val --bootstrap --per-class  # the paper's table 1
fi
