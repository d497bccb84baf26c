"""What each paper holds, item by item: where it is in the code, what checks it, what came out.

RESULTS.md prints this as a table per paper. Claims are judged in tools/claims.py; an item names
those that belong to it. tests/test_contents.py looks up every name.
"""

from pathlib import Path
from typing import NamedTuple

from tools.claims import CLAIMS
from tools.tables import markdown_table


class Item(NamedTuple):
    """An equation, procedure, figure, table or proposal of a paper."""

    where: str  # in the paper
    what: str
    code: tuple[str, ...] = ()  # names in the script; FILE:NAME for another file
    test: str = ""  # a test that holds it against a loop, a closed form or a finite difference
    figure: str = ""  # in reference/SCRIPT/
    claims: tuple[str, ...] = ()  # the beginning of what these claims say
    note: str = ""  # why there is none of these; words, no measured number


CONTENTS = {
    "gan_replay": (
        Item("Sec. 2", "solver first, then the GAN; the GAN generates, the old solver labels, all "
             "of it is mixed with the new task; the GAN is reset and learns the mix",
             ("learn", "learn_solver", "learn_gan", "mix"), "test_the_order_of_things"),
        Item("Sec. 2", "the nets: an MLP that classifies, a GAN of convolutions or an MLP",
             ("mlp_solver", "Generator", "Discriminator"), "test_shapes_and_ranges",
             claims=("the convolutional GAN", "“training the solver", "an MLP “is more than")),
        Item("Sec. 1", "naive training: the solver learns one pair of digits after the other, one "
             "head for all", ("load_data", "learn"), claims=("without replay old tasks",)),
        Item("Sec. 4", "vanilla replay: real images are stored", ("stored",),
             "test_the_mix_has_the_right_size_and_stores_no_more_than_it_says",
             claims=("the memory of vanilla",)),
        Item("Sec. 2", "the GAN's losses (the paper names none: Goodfellow et al. 2014)",
             ("discriminator_loss", "generator_loss"),
             "test_losses_against_the_written_out_logarithms"),
        Item("Sec. 2", "generated images are “labeled using the solver”", ("generate_chunk",),
             "test_generated_images_are_labelled_by_the_solver"),
        Item("Sec. 2", "random inputs for the generator", ("generate",), claims=("random inputs",)),
        Item("Sec. 2", "the GAN's epochs are set for each task", ("gan_epochs",),
             claims=("the more classes a GAN",)),
        Item("Sec. 2", "equal numbers per class by rejection (abandoned by the paper)",
             ("generate_balanced",),
             "test_balanced_drawing_meets_its_quota_and_gives_up_when_a_class_is_missing",
             claims=("equal numbers per class",)),
        Item("Figs. 1, 2, 3", "accuracy while training, n_gen = 12k, 1.2k, 120k", ("learn_solver",),
             figure="figure1.png", claims=("n_gen = 120k has",)),
        Item("Figs. 4, 5, 6", "accuracy on each task after each task", ("accuracies",),
             figure="figure4.png",
             claims=("n_gen = 12k “is able", "“the further in the past", "“lower and lower",
                     "n_gen = 1.2k: “performs", "n_gen = 120k “is able")),
        Item("Sec. 4", "does the GAN wear out as it learns from its own images?", ("measure",),
             figure="quality.png", claims=("learning from its own outputs", "“unbalanced classes",
                                           "n_gen = 1.2k: the last GAN")),
        Item("Sec. 4", "costs: seconds and memory", ("size_in_bytes",), figure="cost.png",
             claims=("generative replay “is more", "the cost of a task", "memory:",
                     "the memory of")),
        Item("Table (4)", "BWT and FWT of the three n_gen", ("common.py:backward_transfer",),
             claims=("BWT with n_gen", "FWT with n_gen", "n_gen = 12k forgets least",
                     "backward transfer")),
        Item("Sec. 4", "proposal: a fixed number of generated images, and what it costs",
             ("mix",), figure="tradeoff.png",
             claims=("with a fixed total", "“fewer and fewer", "Sec. 4's proposal"),
             note="not run: fewer images of new tasks"),
    ),
    "dgm": (
        Item("Eq. (1)", "masks on weights (DGMw) or on units (DGMa)", ("DGMw.layer", "DGMa.layer"),
             "test_eq_1_against_a_loop"),
        Item("Eq. (2)", "a mask is a steep sigmoid of its embedding", ("soft_mask",),
             "test_eq_2_forwards_and_its_gradient"),
        Item("Eqs. (3), (4)", "global and local annealing of s",
             ("global_annealing", "local_annealing"), "test_eqs_3_and_4",
             claims=("DGMa with “global annealing”",)),
        Item("Eq. (5)", "what old tasks need does not move", ("veto",),
             "test_eq_5_and_eq_6_and_alpha_by_hand", "figure5.png",
             ("the masks' veto", "the generator learns")),
        Item("Eq. (6)", "the sparsity of masks, and its weight α λ_RU", ("sparsity", "alpha"),
             "test_eq_5_and_eq_6_and_alpha_by_hand",
             claims=("“the ratio of reused", "R^t promotes"),
             note="not run: without α"),
        Item("Sec. 3.2", "expansion: as many free units or weights as at first",
             ("Generator.grow", "Generator.units_to_add"),
             "test_growth_restores_the_free_part_of_every_layer", "figure4.png",
             ("“sub-linear growth”", "removing the expansion")),
        Item("Sec. 4, “Implementation details”", "a 3-layer DCGAN; residual nets for CIFAR-10, "
             "ResNet-18 for ImageNet-50; sizes in shares of MeRGAN's",
             ("Generator.sizes", "ResidualGenerator", "residual_features", "PRESETS"),
             "test_eq_1_in_the_residual_generator", note="row `dgmw-residual`; the paper's sizes "
             "were not run"),
        Item("Sec. 3.3", "L_G and L_D of the AC-GAN, the gradient penalty",
             ("generator_step", "critic_step", "gradient_penalty"),
             "test_gradient_penalty_against_a_finite_difference"),
        Item("Fig. 1, Sec. 3", "the tasks in turn: G learns the new one, D classifies real new and "
             "generated old images, and the new fakes (Deviation 7)", ("learn", "train_gan"),
             "test_replay_is_of_old_classes_only_and_nothing_real_is_kept",
             claims=("it matters that D", "one critic that is given")),
        Item("Table 1", "accuracy after half of the classes and after all", ("metrics_of",),
             figure="averages.png",
             claims=("DGMw, accuracy", "DGMa, accuracy", "JT, accuracy", "CIFAR-10,",
                     "ImageNet-50,", "of both, DGM and MeRGAN", "DGM and MeRGAN “outperform",
                     "on more diverse images", "other class orders")),
        Item("Sec. 5", "masks on weights or on units; knowledge does not go backwards",
             ("DGMw", "DGMa"), claims=("“neural masking works", "“missing backward")),
        Item("Table 1", "EWC-M, DGR, MeRGAN", ("beyond/generators.py:Memory",),
             claims=("DGM “outperforms", "EWC-M, DGR, MeRGAN", "MeRGAN's replay")),
        Item("Table 1", "iCaRL-S, EWC-S, RWalk-S, PI-S", ("beyond/episodic.py:learn",),
             note="[claims of episodic](#episodic-1)"),
        Item("Table 2, Fig. 2", "real images among the replayed ones, iCaRL, ImageNet-50",
             ("quota", "put_real", "herding"), "test_herding_against_a_brute_force",
             claims=("its numbers", "without real images", "“already for r", "“adding real",
                     "with the same K", "iCaRL's selection"),
             note="[figure 2](reference/dgm-imagenet50/figure2.png); not run: why accuracy drops "
             "with a fixed K"),
        Item("Table 3", "size of the generator", ("Generator.size",),
             claims=("DGMw's final generator",)),
        Item("Table 4", "disc space of weights and masks", ("disc_bytes",),
             "test_masks_and_generator_survive_storing",
             claims=("DGMw's masks take", "“During the training",
                     "on ImageNet-50 the generator")),
        Item("Fig. 3(a)", "newly blocked and reused units", ("Generator.freeze",),
             figure="figure3a.png", claims=("“the ratio of reused units", "DGMw has “better")),
        Item("Fig. 3(b)", "trajectories of mask values", ("mask_values",), figure="figure3b.png",
             claims=("DGMa's mask first closes", "the transition to binary")),
        Item("Fig. 4", "growth in neurons", ("Generator.widths",), figure="figure4.png",
             claims=("“sub-linear growth”", "“the growth pattern")),
        Item("Fig. 5", "generated images after all tasks", ("snapshot",), figure="figure5.png",
             claims=("the generator learns", "“informative and diverse"),
             note="not run: whether replay in the generator mixes classes, and DGM does not"),
        Item("Table 1, SVHN", "house numbers", note="not run: the data could not be had; "
             "`--dataset svhn` loads them where they are, and glyphs-rgb stands in",
             claims=("“DGM strongly outperforms", "the same on glyphs-rgb")),
    ),
    "synthetic_meta": (
        Item("Sec. 3", "the learner: SGD with momentum on one task after the other",
             ("sgd_step", "learn"), "test_sgd_with_momentum_is_torchs_step_for_step",
             "tasks.png"),
        Item("Eq. (1)", "the meta-loss goes back through all of the learner's steps",
             ("meta_loss", "update"), "test_the_meta_gradient_against_central_differences"),
        Item("Sec. 3", "order and pairing of the classes are shuffled in each meta-step",
             ("shuffled",), "test_every_meta_step_has_an_order_of_its_own",
             claims=("shuffling ensures", "new learners each time")),
        Item("Sec. 3", "rates and momentum are learned, too", ("hyperparameters",),
             "test_every_learned_quantity_has_a_gradient"),
        Item("Sec. 3", "images of a pair of classes are x = G(z, y)", ("generated", "labels")),
        Item("Sec. 4", "G and S: two convolutions, BatchNorm behind each layer",
             ("Generator", "conv_learner")),
        Item("Sec. 4", "250 images per class, 20 of each a step, never shown again",
             ("draw_batches",), "test_batches_are_balanced_and_no_image_outlives_its_task"),
        Item("Fig. 1", "accuracy at the end of each task", ("accuracies",), figure="figure1.png",
             claims=("“accuracy at the end", "both claims if all")),
        Item("Fig. 2", "G → S → loss on real images → G", ("meta_loss", "update"),
             "test_the_meta_gradient_against_central_differences"),
        Item("Fig. 3", "samples of the generator", ("show",), figure="figure3_synthetic.png",
             claims=("samples are “abstract", "“the reason for the lack")),
        Item("Fig. 4", "synthetic, real, GAN, MLP", ("evaluate",), "test_accuracies_against_a_loop",
             "figure4.png", ("synthetic data “learned in sequence", "“less catastrophic",
                             "“the main advantage",
                             "the same, if the learner's", "a GAN's images",
                             "almost identical also", "real data with learned rates",
                             "this “can be")),
        Item("Sec. 5", "“applying the method alone”, beside training on all classes at once",
             ("controls",), claims=("“even applying",)),
        Item("Fig. 5, Sec. 5", "more steps per task, larger batches", ("evaluate",),
             figure="figure5.png",
             claims=("longer training", "“the drop is smoother", "“suffers significantly less”",
                     "“increasing 15-fold", "robust to a batch", "the same, batch and length")),
        Item("Abstract", "other learning scenarios: rates, no momentum, width", ("scenarios",),
             claims=("“robust to different",)),
        Item("Secs. 1, 5", "beside other methods; harder data, online",
             claims=("“independent of training", "future work"), note="not run"),
    ),
    "grad_predict": (
        Item("Eq. (1)", "EWC, which the paper argues against", ("Ewc",),
             "test_equation_1_is_the_sum_over_tasks",
             claims=("“regularizers of the form", "the vectors of")),
        Item("Eq. (2)", "the mean of all tasks' gradients; here their sum, too", ("RULES",),
             "test_the_update_of_each_method", claims=("predictions “in the place",),
             note="rows `joint`, `std-joint`, `oracle-sum`, `std-oracle-sum`, `std-improved-mean`"),
        Item("Sec. 2.1, note 1", "the analysis with minibatches", ("draw",),
             claims=("with less noise",), note="not run: Eq. (5) with large batches"),
        Item("Sec. 2.1", "other optimisers: their update in the place of ∇", ("with_momentum",),
             "test_h_learns_what_the_optimiser_makes_of_the_gradient",
             claims=("with another optimiser",)),
        Item("Eqs. (3), (4)", "h: one number in, one out, for every coordinate",
             ("Predictor", "fit", "Predictors"), "test_the_mean_of_all_h_and_their_size",
             claims=("h “reconstruct[s]", "“the size of a meta-network")),
        Item("Eq. (5)", "the veto", ("masked",), "test_equation_5_by_hand",
             claims=("vetoing steps", "Eq. (5) “will improve")),
        Item("Sec. 2.3", "Eq. (5) with every old gradient", ("Pairs", "unanimous"),
             "test_equation_5_with_every_old_gradient_by_hand", claims=("Eq. (5) with every",)),
        Item("Sec. 2.3", "the mean of all h stands for old tasks; the sequence of tasks",
             ("learn_tasks", "Predictors.mean"),
             "test_the_rule_is_applied_from_the_second_task_on"),
        Item("Sec. 2.2", "variants of h: more inputs, groups of parameters", ("Position",),
             claims=("h could process",), note="previous values and groups were not run"),
        Item("Fig. 1", "five permutations of MNIST, plain SGD and Eq. (5)", ("test",),
             "test_columns_are_permuted_instead_of_images", "figure1.png",
             ("plain SGD forgets", "with predicted gradients", "forward transfer: “the")),
        Item("Sec. 5.1", "boundaries found by the loss of h", ("learn_stream", "alarm"),
             "test_an_alarm_needs_a_step_not_noise", "boundaries.png",
             ("a new task “will", "f's loss “does not", "the whole works"),
             "not run: with one g; note 2"),
        Item("Sec. 5.2, Eqs. (6), (7)", "one g for all h", ("Distilled",),
             "test_distillation_target_by_hand",
             claims=("one g can stand", "distillation “significantly")),
    ),
}  # fmt: skip


def file_of(script: str, name: str) -> tuple[str, str]:
    """A name of CONTENTS -> the file that holds it, the name in it."""
    file, _, rest = name.rpartition(":")
    return file or f"{script}.py", rest


def numbers_of(script: str, item: Item) -> list[int]:
    """The claims that an item names, by their number on the page."""
    return [i for i, claim in enumerate(CLAIMS[script], 1)
            if claim.says.startswith(item.claims)] if item.claims else []  # fmt: skip


def contents_table(script: str, figures: str) -> str:
    """A row for each item of the paper; `figures` is the folder of its figures, as a link."""
    rows = []
    for item in CONTENTS[script]:
        code = [f"`{rest}`" if file == f"{script}.py" else f"`{rest}` in {file}"
                for file, rest in (file_of(script, name) for name in item.code)]  # fmt: skip
        numbers = numbers_of(script, item)
        out = [f"claim{'s' * (len(numbers) > 1)} [{', '.join(map(str, numbers))}]"
               f"(#{script}-{numbers[0]})"] if numbers else []  # fmt: skip
        if item.figure:
            out.append(f"[figure]({Path(figures, item.figure).as_posix()})")
        out += [item.note] * bool(item.note)
        test = item.test.removeprefix("test_").replace("_", " ")
        checked = f"[{test}](tests/test_{script}.py)" if test else "–"
        rows.append([item.where, item.what, ", ".join(code) or "–", checked,
                     " · ".join(out) or "–"])  # fmt: skip
    header = ["in the paper", "what", "in the code", "checked", "what came out"]
    return markdown_table(header, rows)
