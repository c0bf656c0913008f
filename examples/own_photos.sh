#!/usr/bin/env bash
# Your own photos, sorted into a folder per class: masks for them, and a network that segments new photos.
#
#   examples/own_photos.sh PHOTOS [OUT] [NEW]      PHOTOS/cat/*.jpg PHOTOS/dog/*.jpg ...   NEW: a folder of new photos
#
# No masks are needed. Run it again after an interruption: it goes on where it stopped.
set -euo pipefail
photos=${1:?usage: own_photos.sh PHOTOS [OUT] [NEW]}
out=${2:-runs/own}
new=${3:-$photos}
backbone=${BACKBONE:-lite0}
read -ra cls <<<"${CLS:-}"
read -ra seg <<<"${SEG:-}"

wss train-cls --data "$photos" --format folders --backbone "$backbone" "${cls[@]}" -o "$out/cls"
wss make-seeds --method cam --model "$out/cls" -o "$out/seeds" | wss crf - -o "$out/masks"
wss train-seg "$out/masks" --backbone "$backbone" "${seg[@]}" -o "$out/seg"
wss predict "$out/seg" --images "$new" --crf -o "$out/new"
wss show "$out/new" --limit 24 -o "$out/new.html"
