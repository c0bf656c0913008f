#!/usr/bin/env bash
# Coarse to fine (Jing et al., 2018): masks without any class from photos alone, the image's one label names them, GrabCut makes
# them tight, and networks that learn from them make them better, round by round.
#
#   examples/coarse_to_fine.sh DATA [OUT]
#
# DATA: a data set with the splits train and val and image-level labels; images of one class take part. Run it again after an
# interruption: finished steps do nothing, the interrupted one goes on.
#
#   NETWORK   lite0 (default: the embedded backbone, on a CPU too), or resnet101 (the paper's; then with the paper's numbers and
#             12,000 iterations a round, which the paper leaves open; a GPU and ImageNet weights are needed)
#   ROUNDS    how many rounds (3; the paper makes 5)
#   WATCH     true masks of the training images (a directory, or truth): how good the masks of each round are, in
#             rounds/rounds.csv and rounds.svg; no training sees them
#   EVAL      0 = the images of val have no true masks
#   MASKS     a folder of masks of another method in place of the student's (1 = object, or mask directories of wss)
#   SALIENCY, STUDENT, COARSE, GRABCUT, REFINE, PREDICT, DEVICE   further options of the steps, e.g. REFINE='--epochs 4'
set -euo pipefail
data=${1:?usage: coarse_to_fine.sh DATA [OUT]}
out=${2:-runs/coarse-to-fine}
network=${NETWORK:-lite0}
rounds=${ROUNDS:-3}
read -ra saliency <<<"${SALIENCY:-}"
read -ra student <<<"${STUDENT:-}"
read -ra coarse <<<"${COARSE:-}"
read -ra grabcut <<<"${GRABCUT:-}"
read -ra refine <<<"${REFINE:-}"
read -ra predict <<<"${PREDICT:-}"
device=(--device "${DEVICE:-auto}")
export WSS_DATA=$data
unset WSS_SPLIT  # masks are of the student's split
if [[ $network == resnet101 ]]; then
  refine=(--recipe coarse-to-fine --iterations 12000 "${refine[@]}")
fi
truth=()
if [[ -n ${WATCH:-} ]]; then
  refine+=(--watch "$WATCH")
  if [[ $WATCH != truth ]]; then truth=(--truth "$WATCH"); fi
fi

# Section III-B: a student of an unsupervised teacher finds what stands out; no label enters.
if [[ -n ${MASKS:-} ]]; then
  from=(--foreground "$MASKS" --split train)
else
  wss saliency --split train "${saliency[@]}" -o "$out/saliency"
  wss train-seg "$out/saliency" --arch student "${device[@]}" "${student[@]}" -o "$out/student"
  from=(--model "$out/student" "${device[@]}")
fi
wss make-seeds --method foreground "${from[@]}" "${coarse[@]}" -o "$out/coarse"
# Section III-C.
wss grabcut "$out/coarse" "${grabcut[@]}" -o "$out/enhanced"
# Section III-D: with one round the directory is that round itself.
last=$(wss refine-round "$out/enhanced" --rounds "$rounds" --backbone "$network" "${device[@]}" "${refine[@]}" -o "$out/rounds")
if [[ -n ${WATCH:-} && ${EVAL:-1} == 1 ]]; then
  wss eval "$out/coarse" "$out/enhanced" "$last/refined" "$last" --split train --missing skip "${truth[@]}"
fi

wss predict "$last/model" --split val "${device[@]}" "${predict[@]}" -o "$out/val"
if [[ ${EVAL:-1} == 1 ]]; then
  wss eval "$out/val" --split val --per-class
fi
