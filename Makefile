# Reproduce every figure and table. `make` alone prints this help; every recipe line can be pasted.

PYTHON    ?= python3#   the Python that makes the virtual environment
VENV      ?= .venv#     the virtual environment; VENV= (empty) uses the active one
PIP_FLAGS ?=#           extra flags for pip install, for example --index-url ...
REQUIREMENTS ?= requirements.txt#  or requirements-oldest.txt, what is allowed at least
DEVICE    ?= auto#      auto, cpu, cuda, cuda:N or mps
THREADS   ?= 0#         CPU threads a run; 0: torch's choice, but 1 in make reproduce
SEEDS     ?= 0#         seeds of every run, for example "0 1 2"; tables then show mean ± SD
DATASET   ?= mnist#     mnist, fashion-mnist, kmnist, svhn, cifar10, glyphs, glyphs-rgb, a folder or demo
IMAGE_SIZE ?=#          resize all images to this square
DATA      ?= data#      where data sets are, or are downloaded to
PRESET    ?= auto#      of dgm.py: paper, or laptop; auto: paper if nvidia-smi lists a GPU
MINUTES   ?= 25#        of make cuda, in all; the checks take the first of them, rows the rest
LAUNCH    ?=#           put before every training command, for example "srun -n1 -c1"
FORMAT    ?= png#       of figures: png, or pdf for both

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help
SCRIPTS := gan_replay dgm synthetic_meta grad_predict episodic
.PHONY: help install demo test reproduce $(SCRIPTS) compare page models report stress margins cuda bench \
	bench-higher bench-avalanche

# What cannot work is said before anything is made: variables are one word without signs that make
# or the shell would read; numbers are whole, each seed once.
SIGNS := ' " ( ) { } [ ] ; & | < > ` \ * ? ! , \#
PLAIN := PYTHON REQUIREMENTS DEVICE THREADS SEEDS DATASET DATA MINUTES PRESET FORMAT
digits = $(subst 9,,$(subst 8,,$(subst 7,,$(subst 6,,$(subst 5,,$(subst 4,,$(subst 3,,$(subst 2,,$(subst 1,,$(subst 0,,$1))))))))))
BAD := $(strip $(foreach v,$(PLAIN) VENV IMAGE_SIZE,$(if $(strip $(foreach c,$(SIGNS),$(findstring $c,$($v)))),$v)) \
	$(foreach v,$(PLAIN),$(if $(strip $($v)),,$v)) $(if $(findstring :,$(DATASET)),DATASET) \
	$(foreach v,$(filter-out SEEDS,$(PLAIN)) VENV IMAGE_SIZE,$(if $(filter-out 0 1,$(words $($v))),$v)) \
	$(foreach v,THREADS SEEDS IMAGE_SIZE MINUTES,$(if $(strip $(call digits,$($v))),$v)) \
	$(if $(filter $(words $(SEEDS)),$(words $(sort $(SEEDS)))),,SEEDS))
$(if $(BAD),$(error $(firstword $(BAD)): make takes no spaces, quotes or signs there (use a link to such a path), nor nothing; numbers are whole))
NAME  := $(notdir $(patsubst %/,%,$(strip $(DATASET))))
PY    := $(if $(strip $(VENV)),$(strip $(VENV))/bin/python,$(strip $(PYTHON)))
READY := $(if $(strip $(VENV)),$(strip $(VENV))/.installed)
TRAIN  = $(strip $(strip $(LAUNCH)) $(PY))
RUN    = --data-dir $(strip $(DATA)) --device $(strip $(DEVICE)) --threads $(strip $(THREADS)) \
	$(if $(strip $(IMAGE_SIZE)),--image-size $(strip $(IMAGE_SIZE)))
override PRESET := $(if $(filter auto,$(PRESET)),$(shell nvidia-smi -L >/dev/null 2>&1 && echo paper || echo laptop),$(strip $(PRESET)))
$(if $(filter paper laptop,$(strip $(PRESET))),,$(error PRESET must be auto, paper or laptop))
$(if $(filter png pdf,$(strip $(FORMAT))),,$(error FORMAT must be png or pdf))
AS = $(if $(filter pdf,$(strip $(FORMAT))), --format pdf)
DRAW = $(PY) -m tools.draw$(AS)

help:  ## this help
	@echo "Targets:"; sed -n 's/^\([a-z_-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) \
		| awk -F'|' '{printf "%-32s %s\n", $$1, $$2}'
	@echo "One paper, or one figure or table with the rows it needs (hours: ours, one core, one seed):"
	@$(PYTHON) tools/plan.py --items --data $(NAME) --preset $(strip $(PRESET))
	@echo "Variables (make TARGET NAME=value):"
	@sed -n 's/^\([A-Z_]*\) *?= *\([^#]*\)# *\(.*\)/  \1|\2|\3/p' $(firstword $(MAKEFILE_LIST)) \
		| awk -F'|' '{printf "%-15s %-17s %s\n", $$1, $$2, $$3}'
	@echo "make -n TARGET shows the plan; make -j4 runs four at a time; an interrupted make continues."

install: $(READY)  ## the virtual environment with all packages
.venv/.installed $(filter-out .venv/.installed,$(READY)): $(REQUIREMENTS)
	$(strip $(PYTHON)) -m venv $(@D)
	$(@D)/bin/python -m pip install $(strip $(PIP_FLAGS)) -r $(REQUIREMENTS)
	touch $@

test: $(READY)  ## the whole suite, offline, some minutes on two cores
	@$(PY) tests/run.py

# What seeds measured with this version of torch stays; for another one: PYTHON= with VENV= (empty).
margins: $(READY)  ## thresholds of tests that train, from ten seeds with this version of torch
	OMP_NUM_THREADS=1 $(PY) tests/learning.py --seeds 10 --jobs 2 --out reference/margins.json

# Two runs at a time, one thread each; under make -n the plan itself.
DEMO := $(SCRIPTS:%=figures/demo/%/tables.md)
demo: $(READY)  ## every paper in miniature on embedded data, some minutes, no download
ifneq (,$(findstring n,$(filter-out --%,$(firstword $(MAKEFLAGS)))))
demo: $(DEMO)
else
	@$(MAKE) --no-print-directory -s -j2 $(DEMO) THREADS=1 BEGUN=$$(date +%s)
	@$(PY) -m tools.story demo --page figures/demo/index.html
endif

# What is there, what is missing and how long it took us; then the runs; then the same again.
# Two runs at a time, one thread each (the nets are too small to share), unless told otherwise.
reproduce: $(READY)  ## every figure and table of every paper on MNIST (others: those with a name in brackets below)
	@$(PY) -m tools.status $(NAME) $(RESULTS)
	@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j2) \
		$(if $(filter file,$(origin THREADS)),THREADS=1) $(SCRIPTS)
	@$(PY) -m tools.status $(NAME) $(RESULTS)

page: $(READY)  ## one page, figures/DATASET/index.html: what your results show, with pictures
	$(PY) -m tools.story $(NAME) --page figures/$(NAME)/index.html

compare: $(READY)  ## your results beside the reference's and the paper's, seed by seed
	$(PY) -m tools.compare results/$(NAME)

models: $(READY)  ## the small trained models in reference/models, on MNIST, minutes each
	$(PY) -m tools.models --train --data-dir $(strip $(DATA))

report: $(READY)  ## from reference/: RESULTS.md (every claim, judged), the figures, the tables in docs/ and README
	$(foreach script,$(SCRIPTS),$(foreach folder,$(filter-out reference/episodic-%,$(wildcard reference/$(script) reference/$(script)-*)),\
		$(DRAW) $(script) --runs $(folder) --figures $(folder) --docs docs/$(script).md &&)) true
	$(PY) -m tools.results --readme README.md$(AS)

stress: $(READY)  ## kill, damage and misuse every script; nothing may be lost
	$(PY) tests/stress.py --kills 25 --out reference/stress.json

cuda: $(READY)  ## on a machine with a GPU: check every script on it, then time it, then the papers' rows
	$(PY) tests/cuda_check.py --minutes $(strip $(MINUTES)) --data-dir $(strip $(DATA))

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

# Peers get an environment of their own, which sees our packages. avalanche only imports wandb.
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

# Rows and items are the scripts' own: tools/plan.py reads them and calls these templates.
define run  # script, row, seed, data set, what starts it, results it needs
results/$(4)/$(1)/$(2)-seed$(3).json: $(6) | $(READY) results/$(4)/.data-is-there
	@echo "$$$$(ls results/$(4)/*/*-seed*.json 2>/dev/null | wc -l) results in results/$(4)$$(if $$(filter $(4),$$(NAME)), of $$(words $$(RESULTS))); next:"
	$(TRAIN) $(5) --row $(2) --dataset $(call asked,$(4)) $(RUN) --seed $(3) --skip-unfit --out $$@
endef

define item  # script, item, data set, results it needs
$(if $(filter $(1)/$(2),$(MAKECMDGOALS)),$(call same,$(3)))
.PHONY: $(1)/$(2)
$(1)/$(2): $(4)
	$(DRAW) $(1) --item $(2) --runs results/$(3)/$(1) --figures figures/$(3)/$(1)
endef

define demo_run  # script, row, what starts it
results/demo/$(1)/$(2)-seed0.json: | $(READY)
	@mkdir -p $$(@D)
	$(TRAIN) $(3) --row demo/$(2) $(RUN) --seed 0 --out $$@ > $$@.log 2>&1 || { tail -n 1 $$@.log >&2; exit 1; }
	@n=$$$$(ls results/demo/*/*-seed0.json | wc -l); t=$$$$(($$$$(date +%s) - $(or $(BEGUN),0))); N=$(words $(DEMO_RUNS)); \
		echo "$$$$n of $$$$N: $(1) $(2)$$$$([ -z "$(BEGUN)" ] || echo ", about $$$$(((t * (N - n) / n + 30) / 60)) min left")"
endef

$(SCRIPTS): %: figures/$(NAME)/%/tables.md
figures/%/tables.md:
	$(DRAW) $(notdir $*) --runs results/$* --figures $(@D)

# Data are fetched once, before runs that may go in parallel. Results of one folder are not mixed
# with those of another of the same name, or of another size.
asked = $(if $(filter $1,$(NAME)),$(strip $(DATASET)),$1)
here  = $(or $(patsubst %/train,%,$(abspath $(firstword $(wildcard $(asked)/train $(strip $(DATA))/$(asked)/train)))),$1)$(addprefix \
	@,$(strip $(IMAGE_SIZE)))
same  = $(if $(filter-out $(call here,$1),$(shell cat results/$1/.data-is-there 2>/dev/null)),$(error results/$1 is of \
	$(shell cat results/$1/.data-is-there), not of $(call here,$1): move it away))
$(call same,$(NAME))
results/%/.data-is-there: | $(READY)
	$(PY) -m tools.fetch $(call asked,$*) $(strip $(DATA)) $(@D) --image-size $(or $(strip $(IMAGE_SIZE)),0) --mark $(call here,$*)

SPACE := $() $()
PLAN := .plan/$(NAME)-$(strip $(PRESET))-$(subst $(SPACE),-,$(strip $(SEEDS))).mk
-include $(PLAN)
$(PLAN): tools/plan.py $(wildcard *.py beyond/*.py)
	@mkdir -p $(@D)
	@$(PYTHON) tools/plan.py --data $(NAME) --preset $(strip $(PRESET)) --seeds $(SEEDS) > $@.$$$$ \
		&& mv $@.$$$$ $@
