# bash completion of wss. Made by `make docs`; source it, or copy it to bash_completion.d.
_wss() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words= value=
    local command="${COMP_WORDS[1]-}"
    case "$command" in
        import|export) command="$command ${COMP_WORDS[2]-}" ;;
    esac
    case "$command" in
        'demo')
            words='-o --out --keep --images --val --epochs --backbone --photos --no-photos --device --seed --workers --overwrite --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --keep) words=''; value=1 ;;
                --images) words=''; value=1 ;;
                --val) words=''; value=1 ;;
                --epochs) words=''; value=1 ;;
                --backbone) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
            esac ;;
        'train-cls')
            words='-o --out --arch --backbone --init --output-stride --val-split --affinity-weight --affinity-target --affinity-size --hidden --proposals --hypotheses --crop-hypotheses --loss --image-share --recipe --epochs --iterations --batch-size --accumulate --compile --lr --head-lr --weight-decay --schedule --dropout --freeze --freeze-norm --crop-size --scale-range --flip --no-flip --jitter --bf16 --no-bf16 --channels-last --no-channels-last --device --checkpoint-seconds --log-every --tensorboard --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --arch) words='cam self-guided hcp'; value=1 ;;
                --backbone) words=''; value=1 ;;
                --init) words=''; value=1 ;;
                --output-stride) words=''; value=1 ;;
                --val-split) words=''; value=1 ;;
                --affinity-weight) words=''; value=1 ;;
                --affinity-target) words='w row-norm paper'; value=1 ;;
                --affinity-size) words=''; value=1 ;;
                --hidden) words=''; value=1 ;;
                --proposals) words=''; value=1 ;;
                --hypotheses) words=''; value=1 ;;
                --loss) words='squared sigmoid'; value=1 ;;
                --image-share) words=''; value=1 ;;
                --recipe) words='modern dsrg self-guided hcp hypotheses coarse-to-fine ssd dasnet'; value=1 ;;
                --epochs) words=''; value=1 ;;
                --iterations) words=''; value=1 ;;
                --batch-size) words=''; value=1 ;;
                --accumulate) words=''; value=1 ;;
                --lr) words=''; value=1 ;;
                --head-lr) words=''; value=1 ;;
                --weight-decay) words=''; value=1 ;;
                --schedule) words='one-cycle poly step constant'; value=1 ;;
                --dropout) words=''; value=1 ;;
                --freeze) words=''; value=1 ;;
                --crop-size) words=''; value=1 ;;
                --scale-range) words=''; value=1 ;;
                --jitter) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --checkpoint-seconds) words=''; value=1 ;;
                --log-every) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'make-seeds')
            words='-o --out --model --cams --method --cam --class-map --scales --flip --no-flip --output-stride --fg-rule --fg-threshold --bg-threshold --bg-heat --saliency --saliency-supervision --stop-at --affinity --no-affinity --iterations --window --eps --rebinarise --foreground --label-count --proposals --crop-hypotheses --no-crop-hypotheses --min-score --min-area --cross-image --no-cross-image --keep --keep-share --pca-energy --unit-features --no-unit-features --normalise --no-normalise --candidates --joined --bf16 --device --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --model) words=''; value=1 ;;
                --cams) words=''; value=1 ;;
                --method) words='cam self-guided foreground hypotheses'; value=1 ;;
                --cam) words='cam grad-cam grad-cam++ layer-cam'; value=1 ;;
                --class-map) words=''; value=1 ;;
                --scales) words=''; value=1 ;;
                --output-stride) words=''; value=1 ;;
                --fg-rule) words='max-fraction quantile'; value=1 ;;
                --fg-threshold) words=''; value=1 ;;
                --bg-threshold) words=''; value=1 ;;
                --bg-heat) words=''; value=1 ;;
                --saliency) words=''; value=1 ;;
                --saliency-supervision) words=''; value=1 ;;
                --stop-at) words='A R G'; value=1 ;;
                --iterations) words=''; value=1 ;;
                --window) words=''; value=1 ;;
                --eps) words=''; value=1 ;;
                --foreground) words=''; value=1 ;;
                --label-count) words='single all none'; value=1 ;;
                --proposals) words=''; value=1 ;;
                --min-score) words=''; value=1 ;;
                --min-area) words=''; value=1 ;;
                --keep) words='nearest farthest'; value=1 ;;
                --keep-share) words=''; value=1 ;;
                --pca-energy) words=''; value=1 ;;
                --candidates) words='selected refined all'; value=1 ;;
                --joined) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'saliency')
            words='-o --out --method --video --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --cluster --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --method) words='rbd'; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
            esac ;;
        'propose')
            words='-o --out --method --count --min-area --longest --mode --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --cluster --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --method) words='hierarchical selective-search'; value=1 ;;
                --count) words=''; value=1 ;;
                --min-area) words=''; value=1 ;;
                --longest) words=''; value=1 ;;
                --mode) words='fast quality'; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
            esac ;;
        'argmax')
            words='-o --out --background --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --cluster --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --background) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
            esac ;;
        'crf')
            words='-o --out --read --preset --iterations --gauss-sxy --gauss-compat --bilateral-sxy --bilateral-srgb --bilateral-compat --background --label-confidence --all-labels --scores --engine --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --cluster --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --read) words='scores masks'; value=1 ;;
                --preset) words='koltun deeplab'; value=1 ;;
                --iterations) words=''; value=1 ;;
                --gauss-sxy) words=''; value=1 ;;
                --gauss-compat) words=''; value=1 ;;
                --bilateral-sxy) words=''; value=1 ;;
                --bilateral-srgb) words=''; value=1 ;;
                --bilateral-compat) words=''; value=1 ;;
                --background) words=''; value=1 ;;
                --label-confidence) words=''; value=1 ;;
                --engine) words='lattice pydensecrf'; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
            esac ;;
        'grabcut')
            words='-o --out --iterations --init --scale --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --cluster --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --iterations) words=''; value=1 ;;
                --init) words='box mask'; value=1 ;;
                --scale) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
            esac ;;
        'guided-filter')
            words='-o --out --read --window --eps --iterations --scores --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --cluster --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --read) words='scores masks'; value=1 ;;
                --window) words=''; value=1 ;;
                --eps) words=''; value=1 ;;
                --iterations) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
            esac ;;
        'grow')
            words='-o --out --scores --theta-fg --theta-bg --original-quirks --background --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --cluster --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --scores) words=''; value=1 ;;
                --theta-fg) words=''; value=1 ;;
                --theta-bg) words=''; value=1 ;;
                --background) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
            esac ;;
        'train-seg')
            words='-o --out --arch --loss --backbone --init --output-stride --hidden --size --loss-step --foreground --label-count --masks-per-class --detector --boxes --instances --attention --box-jitter --joint --boundary --grow --theta-fg --theta-bg --original-quirks --crf-engine --crf-unary --crf-scale --crf-grad --watch-supervision --snapshot-supervision --recipe --epochs --iterations --batch-size --accumulate --compile --lr --head-lr --weight-decay --schedule --dropout --freeze --freeze-norm --crop-size --scale-range --flip --no-flip --jitter --bf16 --no-bf16 --channels-last --no-channels-last --device --checkpoint-seconds --log-every --tensorboard --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --arch) words='deeplab deeplab-largefov fpn dfpn student dasnet'; value=1 ;;
                --loss) words='ce soft seed balanced-seed'; value=1 ;;
                --backbone) words=''; value=1 ;;
                --init) words=''; value=1 ;;
                --output-stride) words=''; value=1 ;;
                --hidden) words=''; value=1 ;;
                --size) words=''; value=1 ;;
                --loss-step) words=''; value=1 ;;
                --label-count) words='single all'; value=1 ;;
                --masks-per-class) words=''; value=1 ;;
                --detector) words=''; value=1 ;;
                --boxes) words=''; value=1 ;;
                --attention) words='touched paper'; value=1 ;;
                --box-jitter) words=''; value=1 ;;
                --boundary) words=''; value=1 ;;
                --theta-fg) words=''; value=1 ;;
                --theta-bg) words=''; value=1 ;;
                --crf-engine) words='auto lattice dense'; value=1 ;;
                --crf-unary) words='probability log-probability'; value=1 ;;
                --crf-scale) words=''; value=1 ;;
                --crf-grad) words='none dsrg'; value=1 ;;
                --watch-supervision) words=''; value=1 ;;
                --snapshot-supervision) words=''; value=1 ;;
                --recipe) words='modern dsrg self-guided hcp hypotheses coarse-to-fine ssd dasnet'; value=1 ;;
                --epochs) words=''; value=1 ;;
                --iterations) words=''; value=1 ;;
                --batch-size) words=''; value=1 ;;
                --accumulate) words=''; value=1 ;;
                --lr) words=''; value=1 ;;
                --head-lr) words=''; value=1 ;;
                --weight-decay) words=''; value=1 ;;
                --schedule) words='one-cycle poly step constant'; value=1 ;;
                --dropout) words=''; value=1 ;;
                --freeze) words=''; value=1 ;;
                --crop-size) words=''; value=1 ;;
                --scale-range) words=''; value=1 ;;
                --jitter) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --checkpoint-seconds) words=''; value=1 ;;
                --log-every) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'train-det')
            words='-o --out --backbone --init --expand --boxes --recipe --epochs --iterations --batch-size --accumulate --compile --lr --head-lr --weight-decay --schedule --dropout --freeze --freeze-norm --crop-size --scale-range --flip --no-flip --jitter --bf16 --no-bf16 --channels-last --no-channels-last --device --checkpoint-seconds --log-every --tensorboard --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --backbone) words=''; value=1 ;;
                --init) words=''; value=1 ;;
                --expand) words=''; value=1 ;;
                --boxes) words=''; value=1 ;;
                --recipe) words='modern dsrg self-guided hcp hypotheses coarse-to-fine ssd dasnet'; value=1 ;;
                --epochs) words=''; value=1 ;;
                --iterations) words=''; value=1 ;;
                --batch-size) words=''; value=1 ;;
                --accumulate) words=''; value=1 ;;
                --lr) words=''; value=1 ;;
                --head-lr) words=''; value=1 ;;
                --weight-decay) words=''; value=1 ;;
                --schedule) words='one-cycle poly step constant'; value=1 ;;
                --dropout) words=''; value=1 ;;
                --freeze) words=''; value=1 ;;
                --crop-size) words=''; value=1 ;;
                --scale-range) words=''; value=1 ;;
                --jitter) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --checkpoint-seconds) words=''; value=1 ;;
                --log-every) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'detect')
            words='-o --out --images --threshold --nms --most --segment --segment-threshold --instances --bf16 --no-bf16 --device --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --images) words=''; value=1 ;;
                --threshold) words=''; value=1 ;;
                --nms) words=''; value=1 ;;
                --most) words=''; value=1 ;;
                --segment) words=''; value=1 ;;
                --segment-threshold) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'predict')
            words='-o --out --images --masks --no-masks --scores --scales --flip --crf --labels-only --size --output-stride --bf16 --no-bf16 --device --box-threshold --box-nms --true-boxes --boxes --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --images) words=''; value=1 ;;
                --scales) words=''; value=1 ;;
                --size) words=''; value=1 ;;
                --output-stride) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --box-threshold) words=''; value=1 ;;
                --box-nms) words=''; value=1 ;;
                --boxes) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'refine-round')
            words='-o --out --rounds --arch --backbone --init --first-init --output-stride --hidden --size --loss-step --foreground --label-count --min-foreground --max-foreground --watch --predict-scales --predict-flip --grabcut --no-grabcut --grabcut-iterations --grabcut-init --grabcut-scale --recipe --epochs --iterations --batch-size --accumulate --compile --lr --head-lr --weight-decay --schedule --dropout --freeze --freeze-norm --crop-size --scale-range --flip --no-flip --jitter --bf16 --no-bf16 --channels-last --no-channels-last --device --checkpoint-seconds --log-every --tensorboard --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --rounds) words=''; value=1 ;;
                --arch) words='deeplab deeplab-largefov fpn dfpn'; value=1 ;;
                --backbone) words=''; value=1 ;;
                --init) words=''; value=1 ;;
                --first-init) words=''; value=1 ;;
                --output-stride) words=''; value=1 ;;
                --hidden) words=''; value=1 ;;
                --size) words=''; value=1 ;;
                --loss-step) words=''; value=1 ;;
                --label-count) words='single all'; value=1 ;;
                --min-foreground) words=''; value=1 ;;
                --max-foreground) words=''; value=1 ;;
                --watch) words=''; value=1 ;;
                --predict-scales) words=''; value=1 ;;
                --grabcut-iterations) words=''; value=1 ;;
                --grabcut-init) words='box mask'; value=1 ;;
                --grabcut-scale) words=''; value=1 ;;
                --recipe) words='modern dsrg self-guided hcp hypotheses coarse-to-fine ssd dasnet'; value=1 ;;
                --epochs) words=''; value=1 ;;
                --iterations) words=''; value=1 ;;
                --batch-size) words=''; value=1 ;;
                --accumulate) words=''; value=1 ;;
                --lr) words=''; value=1 ;;
                --head-lr) words=''; value=1 ;;
                --weight-decay) words=''; value=1 ;;
                --schedule) words='one-cycle poly step constant'; value=1 ;;
                --dropout) words=''; value=1 ;;
                --freeze) words=''; value=1 ;;
                --crop-size) words=''; value=1 ;;
                --scale-range) words=''; value=1 ;;
                --jitter) words=''; value=1 ;;
                --device) words=''; value=1 ;;
                --checkpoint-seconds) words=''; value=1 ;;
                --log-every) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'eval')
            words='--truth --classes --unlabelled --missing --missing-truth --background --sweep --boundary --foreground --proposals --keep --min-object --detections --instances --protocol --boxes --bootstrap --draws --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --cluster --json --csv --per-class --confusion --curve --fail-under --help'
            case "$before" in
                --truth) words=''; value=1 ;;
                --classes) words=''; value=1 ;;
                --unlabelled) words='miss background skip'; value=1 ;;
                --missing) words='error background skip'; value=1 ;;
                --missing-truth) words='error skip'; value=1 ;;
                --background) words=''; value=1 ;;
                --sweep) words=''; value=1 ;;
                --keep) words=''; value=1 ;;
                --min-object) words=''; value=1 ;;
                --protocol) words='sds fcis'; value=1 ;;
                --boxes) words=''; value=1 ;;
                --draws) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --cluster) words=''; value=1 ;;
                --csv) words=''; value=1 ;;
                --confusion) words=''; value=1 ;;
                --curve) words=''; value=1 ;;
                --fail-under) words=''; value=1 ;;
            esac ;;
        'show')
            words='-o --out --compare --truth --scores --images --size --maps --alpha --boundaries --no-boundaries --title --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --compare) words=''; value=1 ;;
                --images) words=''; value=1 ;;
                --size) words=''; value=1 ;;
                --maps) words=''; value=1 ;;
                --alpha) words=''; value=1 ;;
                --title) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'verify')
            words='--finish --photos --no-photos --most --workers --data --split --format --labels --class-names --class-folders --help'
            case "$before" in
                --most) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
            esac ;;
        'import masks')
            words='-o --out --rgb --binary --supervision --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --rgb) words=''; value=1 ;;
                --supervision) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'import cam-npy')
            words='-o --out --schema --map --supervision --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --schema) words='psa irn puzzlecam clip-es toco'; value=1 ;;
                --map) words=''; value=1 ;;
                --supervision) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'import proposals')
            words='-o --out --count --supervision --data --split --format --labels --class-names --class-folders --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --count) words=''; value=1 ;;
                --supervision) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'import sec-cues')
            words='-o --out --ids --grid --supervision --data --split --format --labels --class-names --class-folders --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
                --grid) words=''; value=1 ;;
                --supervision) words=''; value=1 ;;
                --data) words=''; value=1 ;;
                --split) words=''; value=1 ;;
                --format) words='voc coco csv folders images'; value=1 ;;
                --labels) words=''; value=1 ;;
                --class-names) words=''; value=1 ;;
                --class-folders) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'export voc-server')
            words='-o --out --competition --year --image-set --ids --dry-run --overwrite --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --competition) words='comp5 comp6'; value=1 ;;
                --year) words=''; value=1 ;;
                --image-set) words=''; value=1 ;;
                --ids) words=''; value=1 ;;
            esac ;;
        'export cam-npy')
            words='-o --out --schema --normalise --no-normalise --ids --limit --seed --workers --dry-run --overwrite --keep-going --shard --help'
            case "$before" in
                -o|--out) words=''; value=1 ;;
                --schema) words='psa irn puzzlecam clip-es toco'; value=1 ;;
                --ids) words=''; value=1 ;;
                --limit) words=''; value=1 ;;
                --seed) words=''; value=1 ;;
                --workers) words=''; value=1 ;;
                --shard) words=''; value=1 ;;
            esac ;;
        'methods')
            words='--json --help'
            case "$before" in
            esac ;;
        'doctor')
            words='--json --help'
            case "$before" in
            esac ;;
        'import '*) words='masks cam-npy proposals sec-cues' ;;
        'export '*) words='voc-server cam-npy' ;;
        *) words='demo train-cls make-seeds saliency propose argmax crf grabcut guided-filter grow train-seg train-det detect predict refine-round eval show verify import export methods doctor --help --version' ;;
    esac
    if ((COMP_CWORD == 1)); then words='demo train-cls make-seeds saliency propose argmax crf grabcut guided-filter grow train-seg train-det detect predict refine-round eval show verify import export methods doctor --help --version'; value=; fi
    if [[ -n $words && ( -n $value || $current == -* || "$COMP_CWORD" -eq 1 || $command == *' ' ) ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -o filenames -F _wss wss
