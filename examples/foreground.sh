#!/usr/bin/env bash
# Foreground segmentation without any label (Jing et al., 2018, section III-F): a student of an unsupervised teacher finds what
# stands out, GrabCut makes its masks tight, and a dilated feature pyramid learns from them, round by round.
#
#   examples/foreground.sh DATA [OUT] [TEST]
#
# DATA: photos, of any layout, with a split train; no label is read. TEST: a data set with true masks, as MIT
# Object Discovery's (TEST/Airplane100/*.jpg, TEST/Airplane100/GroundTruth/*.png); DATA's own split val when left out. Run it
# again after an interruption: finished steps do nothing, the interrupted one goes on.
#
#   NETWORK   lite0 (default: the embedded backbone, on a CPU too), or resnet101 (the paper's; a GPU and ImageNet weights are
#             needed)
#   ARCH      dfpn (default), fpn (the paper's baseline), deeplab
#   ROUNDS    how many rounds (2)
#   TRAIN     the split to learn from (train)
#   TESTSPLIT the split to judge (val; all for a TEST without splits)
#   EVAL      0 = there are no true masks
#   SALIENCY, STUDENT, FG, GRABCUT, REFINE, PREDICT, DEVICE   further options of the steps, e.g. REFINE='--epochs 4'; a part of
#             the photos: SALIENCY='--limit 100' FG='--limit 100'
set -euo pipefail
data=${1:?usage: foreground.sh DATA [OUT] [TEST]}
out=${2:-runs/foreground}
test=${3:-$data}
train=${TRAIN:-train}
if [[ $test == "$data" ]]; then testsplit=${TESTSPLIT:-val}; else testsplit=${TESTSPLIT:-all}; fi
network=${NETWORK:-lite0}
arch=${ARCH:-dfpn}
read -ra saliency <<<"${SALIENCY:-}"
read -ra student <<<"${STUDENT:-}"
read -ra fg <<<"${FG:-}"
read -ra grabcut <<<"${GRABCUT:-}"
read -ra refine <<<"${REFINE:-}"
read -ra predict <<<"${PREDICT:-}"
device=(--device "${DEVICE:-auto}")
unset WSS_DATA WSS_SPLIT  # data set and split come from the manifests
if [[ $network == resnet101 ]]; then
  refine=(--recipe coarse-to-fine --iterations 12000 "${refine[@]}")
fi

wss saliency --data "$data" --split "$train" "${saliency[@]}" -o "$out/saliency"
wss train-seg "$out/saliency" --arch student "${device[@]}" "${student[@]}" -o "$out/student"
# Not predict, which cuts at one half: here each map is cut at Otsu's threshold of its own.
find=(wss make-seeds --method foreground --label-count none --model "$out/student" "${device[@]}")
"${find[@]}" "${fg[@]}" -o "$out/fg"
wss grabcut "$out/fg" "${grabcut[@]}" -o "$out/fg-enhanced"
# Two rounds or more: the last one is OUT/fg-rounds/round-N.
last=$(wss refine-round "$out/fg-enhanced" --arch "$arch" --foreground --rounds "${ROUNDS:-2}" --backbone "$network" \
  "${device[@]}" "${refine[@]}" -o "$out/fg-rounds")

wss predict "$last/model" --data "$test" --split "$testsplit" "${device[@]}" "${predict[@]}" -o "$out/test"
"${find[@]}" --data "$test" --split "$testsplit" -o "$out/test-student"
if [[ ${EVAL:-1} == 1 ]]; then
  wss eval "$out/test-student" "$out/test" --foreground --per-class --bootstrap
fi
