"""The built-in attacks, one file each. They come in by the same hook as a stranger's."""

from harness import Register, hookimpl

# Paths and not classes: `harness list` must not import torch.
ATTACKS = {
    "private-data": "harness.attacks.private_data:PrivateData",
    "private-data-optimiser": "harness.attacks.private_data_optimiser:PrivateDataOptimiser",
    "relearn-paraphrases": "harness.attacks.relearn_paraphrases:RelearnParaphrases",
    "instruction": "harness.attacks.instruction:Instruction",
    "relearn-retain": "harness.attacks.relearn_retain:RelearnRetain",
    "overshoot": "harness.attacks.overshoot:Overshoot",
    "rtt": "harness.attacks.rtt:RetrainOnT",
    "lora": "harness.attacks.lora:FewShotLora",
    "quantize": "harness.attacks.quantize:Quantize",
    "nf4": "harness.attacks.nf4:NormalFloat",
    "prune": "harness.attacks.prune:Prune",
    "noise": "harness.attacks.noise:Noise",
    "ablate-direction": "harness.attacks.ablate_direction:AblateDirection",
    "prompt": "harness.attacks.prompt:Rephrase",
    "gcg": "harness.attacks.gcg:UniversalSuffix",
    "soft-prompt": "harness.attacks.soft_prompt:SoftPrompt",
    "sample": "harness.attacks.sample:BestOfN",
}


@hookimpl
def register_attacks(register: Register) -> None:
    """Register every built-in attack."""
    for name, path in ATTACKS.items():
        register(name, path)
