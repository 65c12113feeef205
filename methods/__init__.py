"""The built-in unlearning methods, one file each. They come in by the same hook as a stranger's."""

from harness import Register, hookimpl

# Paths and not classes: `harness list` must not import torch.
METHODS = {
    "none": "harness.methods.controls:NoUnlearning",
    "retrain": "harness.methods.controls:Retrain",
    "refusal": "harness.methods.refusal:Refusal",
    "checkpoint": "harness.methods.checkpoint:Checkpoint",
    "ga": "harness.methods.ga:GradientAscent",
    "gd": "harness.methods.gd:GradientDifference",
    "npo": "harness.methods.npo:NPO",
    "simnpo": "harness.methods.simnpo:SimNPO",
    "dpo": "harness.methods.dpo:DPO",
    "rmu": "harness.methods.rmu:RMU",
    "simu": "harness.methods.simu:Simu",
    "simu-random": "harness.methods.simu:SimuRandom",
    "bst": "harness.methods.bst:BST",
    "bss": "harness.methods.bss:BSS",
    "klue": "harness.methods.klue:KLUE",
    "ssiuu": "harness.methods.ssiuu:Ssiuu",
    "wga": "harness.methods.wga:WGA",
    "tnpo": "harness.methods.tnpo:TNPO",
    "satimp": "harness.methods.satimp:SatImp",
    "undial": "harness.methods.undial:UNDIAL",
    "jensun": "harness.methods.jensun:JensUn",
    "rmu-lat": "harness.methods.rmu_lat:RMULAT",
    "repselect": "harness.methods.repselect:RepSelect",
    "mudman": "harness.methods.mudman:MUDMAN",
    "icu": "harness.methods.icu:ICU",
    "altpo": "harness.methods.altpo:AltPO",
    "elm": "harness.methods.elm:ELM",
    "direct-token": "harness.methods.direct_token:DirectToken",
    "marginal-information": "harness.methods.marginal_information:MarginalInformation",
}


@hookimpl
def register_methods(register: Register) -> None:
    """Register every built-in method; the controls come first."""
    for name, path in METHODS.items():
        register(name, path)
