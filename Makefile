# Reproduce every figure and table. `make` alone prints this help; every recipe line can be pasted.

PYTHON    ?= python3#   the Python that makes the virtual environment
VENV      ?= .venv#     the virtual environment; VENV= (empty) uses the active one
PIP_FLAGS ?=#           extra flags for pip install, for example --index-url ...
DEVICE    ?= auto#      auto, cpu, cuda, cuda:N or mps
THREADS   ?= 0#         CPU threads a run; 0: torch's choice, but 1 in make reproduce
SEEDS     ?= 0#         seeds of every run, for example "0 1 2"; tables then show mean ± SD
DATASET   ?= mnist#     mnist, fashion-mnist, kmnist, svhn, cifar10, glyphs, glyphs-rgb or a folder
DATA      ?= data#      where data sets are, or are downloaded to
PRESET    ?= auto#      of dgm.py: paper, or laptop; auto: paper if nvidia-smi lists a GPU
LAUNCH    ?=#           put before every training command, for example "srun --gpus=1"

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help
.PHONY: help install demo test margins reproduce reproduce-gan_replay reproduce-dgm \
	reproduce-synthetic_meta reproduce-grad_predict reproduce-episodic compare readme report stress \
	bench bench-higher bench-avalanche

PY    := $(if $(strip $(VENV)),$(strip $(VENV))/bin/python,$(strip $(PYTHON)))
READY := $(if $(strip $(VENV)),$(strip $(VENV))/.installed)
NAME  := $(notdir $(patsubst %/,%,$(strip $(DATASET))))
ifneq (1,$(words $(NAME)))
$(error DATASET must be one word without spaces: a name or a folder)
endif
TRAIN  = $(strip $(strip $(LAUNCH)) $(PY))
RUN    = --data-dir $(strip $(DATA)) --device $(strip $(DEVICE)) --threads $(strip $(THREADS))

help:  ## this help
	@echo "Targets:"; sed -n 's/^\([a-z_-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) \
		| awk -F'|' '{printf "%-32s %s\n", $$1, $$2}'
	@echo "Variables (make TARGET NAME=value):"; sed -n 's/^\([A-Z_]*\) *?= *\([^#]*\)# *\(.*\)/  \1|\2|\3/p' \
		$(MAKEFILE_LIST) | awk -F'|' '{printf "%-12s %-10s %s\n", $$1, $$2, $$3}'
	@echo "make -n TARGET shows the plan; make -j4 runs four at a time; an interrupted make continues."

install: $(READY)  ## the virtual environment with all packages
.venv/.installed $(filter-out .venv/.installed,$(READY)): requirements.txt
	$(strip $(PYTHON)) -m venv $(@D)
	$(@D)/bin/python -m pip install $(strip $(PIP_FLAGS)) -r requirements.txt
	touch $@

# Two files at a time, one thread each: the nets of the tests are too small to share between cores.
TESTS := $(patsubst tests/%.py,test-%,$(wildcard tests/test_*.py))
.PHONY: $(TESTS)
test: $(READY)  ## the whole suite, offline, five minutes on two cores
	@$(MAKE) --no-print-directory -j2 -k $(if $(filter output-sync,$(.FEATURES)),-O) $(TESTS)
$(TESTS): test-%: $(READY)
	OMP_NUM_THREADS=1 $(PY) -m pytest tests/$*.py

# What seeds measured with this version of torch stays; for another one: PYTHON= with VENV= (empty).
margins: $(READY)  ## thresholds of tests that train, from ten seeds with this version of torch
	OMP_NUM_THREADS=1 $(PY) tests/learning.py --seeds 10 --jobs 2 --out reference/margins.json

# Two runs at a time, one thread each; under make -n the plan itself.
DEMO_TARGETS := figures/demo/gan_replay/tables.md figures/demo/dgm/tables.md \
	figures/demo/synthetic_meta/tables.md figures/demo/grad_predict/tables.md \
	figures/demo/episodic/tables.md
demo: $(READY)  ## every paper in miniature on embedded data, at most 5 minutes, no download
ifneq (,$(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS)))))
demo: $(DEMO_TARGETS)
else
	@$(MAKE) --no-print-directory -j2 $(DEMO_TARGETS) THREADS=1
	@echo "Look at the pictures in figures/demo/ and at" $(DEMO_TARGETS)
endif

# What is there, what is missing and how long it took us; then the runs; then the same again.
# Two runs at a time, one thread each (the nets are too small to share), unless told otherwise.
reproduce: $(READY)  ## every figure and table of every paper, on MNIST
	@$(PY) report.py --plan $(NAME) --results $(RESULTS)
	@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j2) \
		$(if $(filter file,$(origin THREADS)),THREADS=1) $(SCRIPTS:%=reproduce-%)
	@$(PY) report.py --plan $(NAME) --results $(RESULTS)

compare: $(READY)  ## the paper's number, the reference's and yours, row by row
	@test -n "$(wildcard results/$(NAME)/*/*.json)" || \
		{ echo "error: results/$(NAME) has no results of yours yet: make reproduce" >&2; exit 2; }
	$(foreach script,$(SCRIPTS),$(if $(wildcard results/$(NAME)/$(script)/*.json),\
		$(PY) $(script).py --compare $(firstword $(wildcard reference/$(script)-$(NAME)) reference/$(script)) \
		results/$(NAME)/$(script) &&)) true
	$(PY) report.py --runs reference --compare results/$(NAME)

report: $(READY)  ## RESULTS.md: every claim, judged from the runs in reference/
	$(PY) report.py --readme README.md

readme: $(READY)  ## draw the figures in reference/ and renew the README's tables from its JSON
	$(PY) gan_replay.py --report reference/gan_replay --figures reference/gan_replay --readme README.md
	$(PY) dgm.py --report reference/dgm --figures reference/dgm --readme README.md
	$(foreach folder,$(wildcard reference/dgm-*),\
		$(PY) dgm.py --report $(folder) --figures $(folder) --readme README.md &&) true
	$(PY) synthetic_meta.py --report reference/synthetic_meta --figures reference/synthetic_meta \
		--readme README.md
	$(PY) grad_predict.py --report reference/grad_predict --figures reference/grad_predict --readme README.md
	$(PY) episodic.py --report reference/episodic --figures reference/episodic --readme README.md

stress: $(READY)  ## kill, damage and misuse every script; nothing may be lost
	$(PY) tests/stress.py --kills 25 --out reference/stress.json

BENCH_DGM = $(PY) dgm.py --dataset glyphs --train-size 12800 --tasks 2 --threads 1 --device $(strip $(DEVICE))
bench: $(READY)  ## speed of the GANs, on one core and on two (leave the machine idle)
	$(foreach n,1 2,$(PY) gan_replay.py --dataset glyphs --train-size 12000 --n-gen 2400 --gan-epochs 2 \
		--threads $(n) --device $(strip $(DEVICE)) --out reference/gan_replay/speed-$(n)-seed0.json &&) true
	$(BENCH_DGM) --epochs 2 --out reference/dgm/speed-paper-seed0.json
	$(BENCH_DGM) --epochs 2 --gp-batch-size 0 --replay-batch-size 0 --out reference/dgm/speed-whole-seed0.json
	$(BENCH_DGM) --epochs 4 --preset laptop --out reference/dgm/speed-laptop-seed0.json
	$(PY) tests/bench_loops.py --out reference/gan_replay/bench.json
	$(PY) tests/bench_grad_predict.py --out reference/grad_predict/bench.json
	$(PY) tests/bench_growth.py --out reference/growth.json

# Peers get an environment of their own, which sees our packages; delete the folder when done.
# avalanche only imports wandb; newer ones bring a dozen packages more.
.venv-bench/.installed: $(READY)
	$(PY) -m venv $(@D)
	echo "$$($(PY) -c 'import torch; print(torch.__path__[0])')/.." \
		> "$$(echo $(@D)/lib/python*/site-packages)/ours.pth"
	$(@D)/bin/python -m pip install $(strip $(PIP_FLAGS)) higher avalanche-lib "wandb<0.22"
	touch $@

bench-higher: .venv-bench/.installed  ## a meta-step of synthetic_meta.py against `higher`, and against more inner steps
	.venv-bench/bin/python tests/bench_synthetic_meta.py --out reference/synthetic_meta/bench.json

bench-avalanche: .venv-bench/.installed  ## gan_replay.py's loop against avalanche-lib's generative replay
	.venv-bench/bin/python tests/bench_avalanche.py --data-dir $(strip $(DATA)) \
		--out reference/gan_replay/bench_avalanche.json

SCRIPTS = gan_replay dgm synthetic_meta grad_predict episodic
RESULTS = $(foreach seed,$(SEEDS),$(GAN_REPLAY:%=results/$(NAME)/gan_replay/%-seed$(seed).json) \
	$(DGM:%=results/$(NAME)/dgm/%-seed$(seed).json) \
	$(SYNTHETIC_META:%=results/$(NAME)/synthetic_meta/%-seed$(seed).json) \
	$(GRAD_PREDICT:%=results/$(NAME)/grad_predict/%-seed$(seed).json) \
	$(EPISODIC:%=results/$(NAME)/episodic/%-seed$(seed).json))
COUNT = @echo "$$(ls results/$(NAME)/*/*-seed*.json 2>/dev/null | wc -l) results of $(words $(RESULTS)); next:"

# Data are fetched once, before runs that may go in parallel.
results/$(NAME)/.data-is-there: | $(READY)
	@mkdir -p $(@D)
	$(PY) -c "import common as c; c.exit_in_one_line(lambda: c.load_dataset('$(strip $(DATASET))', '$(strip $(DATA))'))"
	@touch $@

# ---- gan_replay: run name -> flags (the same names and flags as RUNS in gan_replay.py; tested) ----

GAN_REPLAY := ngen12000 ngen1200 ngen120000 none joint real bytes mlp balance total300 \
	total1200 total4000 total12000 digits rate improved improved-reset improved-unconditional improved-hard \
	improved-plain improved-constant improved-gan5 improved-reject improved-bytes joint-improved
gan_replay.ngen12000           = --n-gen 12000
gan_replay.ngen1200            = --n-gen 1200
gan_replay.ngen120000          = --n-gen 120000
gan_replay.none                = --replay none
gan_replay.joint               = --joint
gan_replay.real                = --replay real --n-gen 60000
gan_replay.bytes               = --replay real --n-gen-mode total --n-gen 1787 --balance
gan_replay.digits              = --final-gan
gan_replay.rate                = --gan-lr 2e-4
gan_replay.mlp                 = --gan mlp
gan_replay.balance             = --balance
gan_replay.total300            = --n-gen-mode total --n-gen 300
gan_replay.total1200           = --n-gen-mode total --n-gen 1200
gan_replay.total4000           = --n-gen-mode total --n-gen 4000
gan_replay.total12000          = --n-gen-mode total --n-gen 12000
gan_replay.improved            = --preset improved
gan_replay.improved-reset      = --preset improved --align 0
gan_replay.improved-unconditional = --preset improved --align 0 --no-conditional
gan_replay.improved-hard       = --preset improved --no-soft-labels
gan_replay.improved-plain      = --preset improved --augment 0
gan_replay.improved-constant   = --preset improved --no-solver-decay
gan_replay.improved-gan5       = --preset improved --gan-epochs 5
gan_replay.improved-reject     = --preset improved --balance
gan_replay.improved-bytes      = --preset improved --replay real --n-gen-mode total --n-gen 2294 --balance
gan_replay.joint-improved      = --preset improved --joint

define gan_replay_run
results/$(NAME)/gan_replay/$(1)-seed$(2).json: | $(READY) results/$(NAME)/.data-is-there
	$$(COUNT)
	$(TRAIN) gan_replay.py $(gan_replay.$(1)) --dataset $(strip $(DATASET)) $(RUN) --seed $(2) --out $$@
endef
$(foreach seed,$(SEEDS),$(foreach run,$(GAN_REPLAY),$(eval $(call gan_replay_run,$(run),$(seed)))))

reproduce-gan_replay: figures/$(NAME)/gan_replay/tables.md  ## Montagna 2024
figures/$(NAME)/gan_replay/tables.md: \
		$(foreach seed,$(SEEDS),$(GAN_REPLAY:%=results/$(NAME)/gan_replay/%-seed$(seed).json))
	$(PY) gan_replay.py --report results/$(NAME)/gan_replay --figures $(@D)

# The same in miniature: a thirtieth of the images, half the GAN's width.
DEMO_GAN_REPLAY := ngen120000 ngen12000 ngen1200 none joint real bytes total300 total1200 \
	total4000 total12000 improved
demo.ngen12000  = --n-gen 400
demo.ngen1200   = --n-gen 40
demo.ngen120000 = --n-gen 2000
demo.none       = --replay none
demo.joint      = --joint
demo.real       = --replay real --n-gen 2000
demo.bytes      = --replay real --n-gen-mode total --n-gen 60 --balance
demo.total300   = --n-gen-mode total --n-gen 10
demo.total1200  = --n-gen-mode total --n-gen 40
demo.total4000  = --n-gen-mode total --n-gen 130
demo.total12000 = --n-gen-mode total --n-gen 400
demo.improved   = --preset improved --n-gen 400
DEMO := --dataset glyphs --train-size 2000 --test-size 1000 --gan-epochs 8 --gan-batch-size 16 \
	--gan-width 32

define gan_replay_demo
results/demo/gan_replay/$(1)-seed0.json: | $(READY)
	$(TRAIN) gan_replay.py $(demo.$(1)) $(DEMO) $(RUN) --seed 0 --out $$@
endef
$(foreach run,$(DEMO_GAN_REPLAY),$(eval $(call gan_replay_demo,$(run))))

figures/demo/gan_replay/tables.md: $(DEMO_GAN_REPLAY:%=results/demo/gan_replay/%-seed0.json)
	$(PY) gan_replay.py --report results/demo/gan_replay --figures $(@D)

# ---- dgm: run name -> flags (the same names and flags as RUNS in dgm.py; tested) ----

ifeq (auto,$(strip $(PRESET)))
override PRESET := $(shell nvidia-smi -L >/dev/null 2>&1 && echo paper || echo laptop)
endif
ifeq (,$(filter paper laptop,$(strip $(PRESET))))
$(error PRESET must be auto, paper or laptop)
endif
DGM := $(if $(filter paper,$(strip $(PRESET))),dgmw-paper dgma-paper joint-paper none-paper \
	mergan-paper mergan-align-paper dgr-paper ewc-paper,dgmw dgma joint joint-raw none mergan \
	mergan-align dgr ewc raw no-veto) improved improved-plain joint-improved \
	split-none split-dgmw split-dgma split-improved split-joint
# In colour the rows of Table 1 and, on ImageNet-50, Table 2; what each part buys is asked on MNIST.
COLOUR := dgmw dgma joint none mergan mergan-align dgr ewc %-paper
ifneq (,$(filter svhn glyphs-rgb cifar10,$(NAME)))
DGM := $(filter $(COLOUR),$(DGM))
endif
ifeq (cifar10 laptop,$(NAME) $(strip $(PRESET)))
DGM += dgmw-residual
endif
ifeq (imagenet50,$(NAME))
DGM := $(filter dgmw% dgma% joint joint-paper none%,$(DGM)) \
	$(if $(filter paper,$(strip $(PRESET))),dgmw) k1000 k2000 k1000-herding k2000-herding \
	r75 r50 r25 r10
endif
dgm.dgmw-paper     = --method dgmw
dgm.dgma-paper     = --method dgma
dgm.joint-paper    = --joint
dgm.none-paper     = --replay none
dgm.mergan-paper   = --memory mergan
dgm.mergan-align-paper = --memory mergan --mergan align
dgm.dgr-paper      = --memory dgr
dgm.ewc-paper      = --memory ewc
dgm.dgmw           = --preset laptop --method dgmw
dgm.dgma           = --preset laptop --method dgma
dgm.joint          = --preset laptop --joint
dgm.joint-raw      = --preset laptop --joint --classifier-steps 0 --augment 0
dgm.none           = --preset laptop --replay none
dgm.mergan         = --preset laptop --memory mergan
dgm.mergan-align   = --preset laptop --memory mergan --mergan align
dgm.dgr            = --preset laptop --memory dgr
dgm.ewc            = --preset laptop --memory ewc
dgm.dgmw-residual  = --preset laptop --net resnet --norm layer --lr 3e-4
dgm.raw            = --preset laptop --classifier-steps 0 --augment 0
dgm.no-veto        = --preset laptop --no-veto
dgm.improved       = --preset improved
dgm.improved-plain = --preset improved --augment 0
dgm.joint-improved = --preset improved --joint
dgm.split-none     = --preset laptop --classes-per-task 2 --replay none
dgm.split-dgmw     = --preset laptop --classes-per-task 2 --method dgmw
dgm.split-dgma     = --preset laptop --classes-per-task 2 --method dgma
dgm.split-improved = --preset improved --classes-per-task 2
dgm.split-joint    = --preset laptop --classes-per-task 2 --joint
# Table 2: classifiers on what the generator of the run dgmw draws.
KEPT = --generator results/imagenet50/dgm/dgmw-seed{seed}.generator
dgm.k1000          = --preset laptop --memory-size 1000 $(KEPT)
dgm.k2000          = --preset laptop --memory-size 2000 $(KEPT)
dgm.k1000-herding  = --preset laptop --memory-size 1000 --choice herding $(KEPT)
dgm.k2000-herding  = --preset laptop --memory-size 2000 --choice herding $(KEPT)
dgm.r75            = --preset laptop --real-ratio 0.75 $(KEPT)
dgm.r50            = --preset laptop --real-ratio 0.5 $(KEPT)
dgm.r25            = --preset laptop --real-ratio 0.25 $(KEPT)
dgm.r10            = --preset laptop --real-ratio 0.1 $(KEPT)

define dgm_run
results/$(NAME)/dgm/$(1)-seed$(2).json: | $(READY) results/$(NAME)/.data-is-there
	$$(COUNT)
	$(TRAIN) dgm.py $(dgm.$(1)) --dataset $(strip $(DATASET)) $(RUN) --seed $(2) --out $$@
endef
$(foreach seed,$(SEEDS),$(foreach run,$(DGM),$(eval $(call dgm_run,$(run),$(seed)))))
$(foreach seed,$(SEEDS),$(foreach run,k1000 k2000 k1000-herding k2000-herding r75 r50 r25 r10,\
	$(eval results/imagenet50/dgm/$(run)-seed$(seed).json: results/imagenet50/dgm/dgmw-seed$(seed).json)))

reproduce-dgm: figures/$(NAME)/dgm/tables.md  ## Ostapenko et al. 2019
figures/$(NAME)/dgm/tables.md: \
		$(foreach seed,$(SEEDS),$(DGM:%=results/$(NAME)/dgm/%-seed$(seed).json))
	$(PY) dgm.py --report results/$(NAME)/dgm --figures $(@D)

DEMO_DGM := dgmw dgma joint none improved
DGM_DEMO := --dataset glyphs --train-size 3000 --test-size 1000 --tasks 4 --epochs 16 --batch-size 16 \
	--classifier-steps 400

define dgm_demo
results/demo/dgm/$(1)-seed0.json: | $(READY)
	$(TRAIN) dgm.py $(dgm.$(1)) $(DGM_DEMO) $(RUN) --seed 0 --out $$@
endef
$(foreach run,$(DEMO_DGM),$(eval $(call dgm_demo,$(run))))

figures/demo/dgm/tables.md: $(DEMO_DGM:%=results/demo/dgm/%-seed0.json)
	$(PY) dgm.py --report results/demo/dgm --figures $(@D)

# ---- synthetic_meta: run name -> flags (the same names and flags as RUNS there; tested) ----

SYNTHETIC_META := synthetic real gan mlp task running real-running plain-logits one-rate fixed-order \
	fixed-init improved improved-learned improved-all improved-real improved-learned-real \
	improved-task improved-first improved-gaussian improved-narrow improved-trained
synthetic_meta.synthetic        = --inner-loss all
synthetic_meta.real             = --source real
synthetic_meta.gan              = --source gan
synthetic_meta.mlp              = --source mlp
synthetic_meta.task             = --inner-loss task
synthetic_meta.running          = --bn running
synthetic_meta.real-running     = --source real --bn running
synthetic_meta.plain-logits     = --bn running --no-bn-logits
synthetic_meta.one-rate         = --rates one
synthetic_meta.fixed-order      = --order fixed
synthetic_meta.fixed-init       = --init fixed
synthetic_meta.improved         = --preset improved
synthetic_meta.improved-learned = --preset improved --init learned
synthetic_meta.improved-all     = --preset improved --init learned-all
synthetic_meta.improved-real    = --preset improved --source real
synthetic_meta.improved-learned-real= --preset improved --init learned --source real
synthetic_meta.improved-task    = --preset improved --inner-loss task --bias 0
synthetic_meta.improved-first   = --preset improved --no-norm-last
synthetic_meta.improved-gaussian= --preset improved --filters gaussian
synthetic_meta.improved-narrow  = --preset improved --channels 18 32
synthetic_meta.improved-trained = --preset improved --frozen-convs 0

define synthetic_meta_run
results/$(NAME)/synthetic_meta/$(1)-seed$(2).json: | $(READY) results/$(NAME)/.data-is-there
	$$(COUNT)
	$(TRAIN) synthetic_meta.py $(synthetic_meta.$(1)) --dataset $(strip $(DATASET)) $(RUN) --seed $(2) --out $$@
endef
$(foreach seed,$(SEEDS),$(foreach run,$(SYNTHETIC_META),$(eval $(call synthetic_meta_run,$(run),$(seed)))))

reproduce-synthetic_meta: figures/$(NAME)/synthetic_meta/tables.md  ## Masarczyk & Tautkute 2020
figures/$(NAME)/synthetic_meta/tables.md: \
		$(foreach seed,$(SEEDS),$(SYNTHETIC_META:%=results/$(NAME)/synthetic_meta/%-seed$(seed).json))
	$(PY) synthetic_meta.py --report results/$(NAME)/synthetic_meta --figures $(@D)

DEMO_SYNTHETIC_META := synthetic real mlp improved improved-learned
SYNTHETIC_META_DEMO := --dataset glyphs --image-size 16 --train-size 3000 --test-size 1000 --channels 18 32 \
	--gen-width 16 --meta-steps 80 --real-batch 200 --learner-seeds 4 --horizons 5 15 --batches 40 200

define synthetic_meta_demo
results/demo/synthetic_meta/$(1)-seed0.json: | $(READY)
	$(TRAIN) synthetic_meta.py $(synthetic_meta.$(1)) $(SYNTHETIC_META_DEMO) $(RUN) --seed 0 --out $$@
endef
$(foreach run,$(DEMO_SYNTHETIC_META),$(eval $(call synthetic_meta_demo,$(run))))

figures/demo/synthetic_meta/tables.md: $(DEMO_SYNTHETIC_META:%=results/demo/synthetic_meta/%-seed0.json)
	$(PY) synthetic_meta.py --report results/demo/synthetic_meta --figures $(@D)

# ---- grad_predict: run name -> flags (the same names and flags as RUNS there; tested) ----

GRAD_PREDICT := sgd scalar scalar-raw scalar-samples scalar-ema best-scalar distill detect oracle \
	random-sign fixed-sign grow shrink zero position half-rate triple-rate sgd-384 ewc ewc1000 \
	ewc10000 ewc-triple joint joint-triple oracle-sum improved improved-mean improved-detect \
	split-sgd split-scalar split-oracle split-oracle-sum split-ewc split-joint split-improved \
	std-sgd std-triple-rate std-scalar std-oracle std-best-scalar std-sgd-384 std-ewc10 \
	std-ewc30 std-ewc100 std-ewc300 std-ewc-triple std-joint std-oracle-sum std-improved \
	std-improved-mean std-improved-mask std-improved-own std-improved-new std-improved-free \
	std-improved-noise std-improved-untrained std-improved-small
grad_predict.sgd                    = --method sgd
grad_predict.scalar                 = --method mask
grad_predict.scalar-raw             = --h-scale raw
grad_predict.scalar-samples         = --h-samples 8192
grad_predict.scalar-ema             = --ema 0.9
grad_predict.best-scalar            = --predictor best-scalar
grad_predict.distill                = --distill
grad_predict.detect                 = --method sgd --boundaries detect
grad_predict.oracle                 = --predictor oracle
grad_predict.random-sign            = --predictor random-sign
grad_predict.fixed-sign             = --predictor fixed-sign
grad_predict.grow                   = --predictor grow
grad_predict.shrink                 = --predictor shrink
grad_predict.zero                   = --predictor zero
grad_predict.position               = --predictor position --ema 0.9
grad_predict.half-rate              = --method sgd --later-lr 0.5
grad_predict.triple-rate            = --method sgd --later-lr 3
grad_predict.sgd-384                = --method sgd --batch-size 384
grad_predict.ewc                    = --method ewc
grad_predict.ewc1000                = --method ewc --ewc-lambda 1000
grad_predict.ewc10000               = --method ewc --ewc-lambda 10000
grad_predict.ewc-triple             = --method ewc --ewc-lambda 1000 --later-lr 3
grad_predict.joint                  = --method joint
grad_predict.joint-triple           = --method joint --lr 0.009
grad_predict.oracle-sum             = --method sum --predictor oracle
grad_predict.improved               = --preset improved
grad_predict.improved-mean          = --preset improved --method mean
grad_predict.improved-detect        = --preset improved --boundaries detect --detector loss
grad_predict.split-sgd              = --benchmark split --method sgd
grad_predict.split-scalar           = --benchmark split
grad_predict.split-oracle           = --benchmark split --predictor oracle
grad_predict.split-oracle-sum       = --benchmark split --method sum --predictor oracle
grad_predict.split-ewc              = --benchmark split --method ewc
grad_predict.split-joint            = --benchmark split --method joint
grad_predict.split-improved         = --benchmark split --preset improved
grad_predict.std-sgd                = --method sgd --inputs standardised
grad_predict.std-triple-rate        = --method sgd --later-lr 3 --inputs standardised
grad_predict.std-scalar             = --inputs standardised
grad_predict.std-oracle             = --predictor oracle --inputs standardised
grad_predict.std-best-scalar        = --predictor best-scalar --inputs standardised
grad_predict.std-sgd-384            = --method sgd --batch-size 384 --inputs standardised
grad_predict.std-ewc10              = --method ewc --ewc-lambda 10 --inputs standardised
grad_predict.std-ewc30              = --method ewc --ewc-lambda 30 --inputs standardised
grad_predict.std-ewc100             = --method ewc --ewc-lambda 100 --inputs standardised
grad_predict.std-ewc300             = --method ewc --ewc-lambda 300 --inputs standardised
grad_predict.std-ewc-triple         = --method ewc --ewc-lambda 30 --later-lr 3 --inputs standardised
grad_predict.std-joint              = --method joint --inputs standardised
grad_predict.std-oracle-sum         = --method sum --predictor oracle --inputs standardised
grad_predict.std-improved           = --preset improved --inputs standardised
grad_predict.std-improved-mean      = --preset improved --method mean --inputs standardised
grad_predict.std-improved-mask      = --preset improved --method mask --inputs standardised
grad_predict.std-improved-own       = --preset improved --pseudo-own 1 --inputs standardised
grad_predict.std-improved-new       = --preset improved --pseudo-own 0 --inputs standardised
grad_predict.std-improved-free      = --preset improved --pseudo-rank 0 --n-pseudo 50 --inputs standardised
grad_predict.std-improved-noise     = --preset improved --pseudo-init noise --inputs standardised
grad_predict.std-improved-untrained = --preset improved --pseudo-steps 0 --inputs standardised
grad_predict.std-improved-small     = --preset improved --n-pseudo 200 --inputs standardised

define grad_predict_run
results/$(NAME)/grad_predict/$(1)-seed$(2).json: | $(READY) results/$(NAME)/.data-is-there
	$$(COUNT)
	$(TRAIN) grad_predict.py $(grad_predict.$(1)) --dataset $(strip $(DATASET)) $(RUN) --record-death --seed $(2) --out $$@
endef
$(foreach seed,$(SEEDS),$(foreach run,$(GRAD_PREDICT),$(eval $(call grad_predict_run,$(run),$(seed)))))

reproduce-grad_predict: figures/$(NAME)/grad_predict/tables.md  ## Enabling continual learning ... with meta learning
figures/$(NAME)/grad_predict/tables.md: \
		$(foreach seed,$(SEEDS),$(GRAD_PREDICT:%=results/$(NAME)/grad_predict/%-seed$(seed).json))
	$(PY) grad_predict.py --report results/$(NAME)/grad_predict --figures $(@D)

DEMO_GRAD_PREDICT := sgd scalar oracle improved
GRAD_PREDICT_DEMO := --dataset glyphs --image-size 14 --train-size 5000 --test-size 1000 --iterations 300 \
	--lr 0.03 --n-pseudo 200

define grad_predict_demo
results/demo/grad_predict/$(1)-seed0.json: | $(READY)
	$(TRAIN) grad_predict.py $(grad_predict.$(1)) $(GRAD_PREDICT_DEMO) $(RUN) --record-death --seed 0 --out $$@
endef
$(foreach run,$(DEMO_GRAD_PREDICT),$(eval $(call grad_predict_demo,$(run))))

figures/demo/grad_predict/tables.md: $(DEMO_GRAD_PREDICT:%=results/demo/grad_predict/%-seed0.json)
	$(PY) grad_predict.py --report results/demo/grad_predict --figures $(@D)

# ---- episodic: run name -> flags (the same names and flags as RUNS there; tested) ----

EPISODIC := none samples icarl ewc pi rwalk joint ewc-alone icarl-head icarl-balanced \
	samples-2000 icarl-2000 samples-pairs icarl-pairs ewc-pairs pi-pairs rwalk-pairs ewc-alone-pairs
ifeq (imagenet50,$(NAME))
EPISODIC := icarl-k1000 icarl-k2000
figures/imagenet50/dgm/tables.md: \
		$(foreach seed,$(SEEDS),$(EPISODIC:%=results/imagenet50/episodic/%-seed$(seed).json))
endif
episodic.icarl-k1000     = --method icarl --classes-per-task 10 --epochs 20 --width 24 --norm batch --memory-size 1000
episodic.icarl-k2000     = --method icarl --classes-per-task 10 --epochs 20 --width 24 --norm batch --memory-size 2000
episodic.none            = --method none
episodic.samples         = --method samples
episodic.icarl           = --method icarl
episodic.ewc             = --method ewc
episodic.pi              = --method pi
episodic.rwalk           = --method rwalk
episodic.joint           = --joint
episodic.ewc-alone       = --method ewc --memory-size 0
episodic.icarl-head      = --method icarl --classify head
episodic.icarl-balanced  = --method icarl --mix balanced
episodic.samples-2000    = --method samples --memory-size 2000
episodic.icarl-2000      = --method icarl --memory-size 2000
episodic.samples-pairs   = --preset source --method samples
episodic.icarl-pairs     = --preset source --method icarl
episodic.ewc-pairs       = --preset source --method ewc
episodic.pi-pairs        = --preset source --method pi
episodic.rwalk-pairs     = --preset source --method rwalk
episodic.ewc-alone-pairs = --preset source --method ewc --memory-size 0

define episodic_run
results/$(NAME)/episodic/$(1)-seed$(2).json: | $(READY) results/$(NAME)/.data-is-there
	$$(COUNT)
	$(TRAIN) episodic.py $(episodic.$(1)) --dataset $(strip $(DATASET)) $(RUN) --seed $(2) --out $$@
endef
$(foreach seed,$(SEEDS),$(foreach run,$(EPISODIC),$(eval $(call episodic_run,$(run),$(seed)))))

reproduce-episodic: figures/$(NAME)/episodic/tables.md  ## comparators of DGM's Table 1 with stored images
figures/$(NAME)/episodic/tables.md: \
		$(foreach seed,$(SEEDS),$(EPISODIC:%=results/$(NAME)/episodic/%-seed$(seed).json))
	$(PY) episodic.py --report results/$(NAME)/episodic --figures $(@D)

DEMO_EPISODIC := none icarl
EPISODIC_DEMO := --dataset glyphs --train-size 2000 --test-size 600 --tasks 4 --epochs 4 --width 8 \
	--batch-size 16 --replay-batch-size 16

define episodic_demo
results/demo/episodic/$(1)-seed0.json: | $(READY)
	$(TRAIN) episodic.py $(episodic.$(1)) $(EPISODIC_DEMO) $(RUN) --seed 0 --out $$@
endef
$(foreach run,$(DEMO_EPISODIC),$(eval $(call episodic_demo,$(run))))

figures/demo/episodic/tables.md: $(DEMO_EPISODIC:%=results/demo/episodic/%-seed0.json)
	$(PY) episodic.py --report results/demo/episodic --figures $(@D)
