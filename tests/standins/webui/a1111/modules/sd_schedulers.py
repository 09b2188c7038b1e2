import dataclasses


@dataclasses.dataclass
class Scheduler:
    name: str
    label: str


schedulers = [
    Scheduler("automatic", "Automatic"),
    Scheduler("uniform", "Uniform"),
    Scheduler("karras", "Karras"),
    Scheduler("exponential", "Exponential"),
    Scheduler("sgm_uniform", "SGM Uniform"),
    Scheduler("simple", "Simple"),
    Scheduler("normal", "Normal"),
    Scheduler("ddim", "DDIM"),
    Scheduler("beta", "Beta"),
]
schedulers_map = {x.name: x for x in schedulers} | {x.label: x for x in schedulers}
