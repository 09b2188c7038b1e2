from types import SimpleNamespace

try:
    from modules import sd_schedulers
except ImportError:  # before 1.9 a sampler's name ended in that of its scheduler
    sd_schedulers = None


def _sampler(name, *aliases):
    return SimpleNamespace(name=name, aliases=list(aliases), options={})


all_samplers = [
    _sampler("DPM++ 2M", "k_dpmpp_2m"),
    _sampler("DPM++ SDE", "k_dpmpp_sde"),
    _sampler("DPM++ 2M SDE", "k_dpmpp_2m_sde"),
    _sampler("DPM++ 2S a", "k_dpmpp_2s_a"),
    _sampler("DPM++ 3M SDE", "k_dpmpp_3m_sde"),
    _sampler("Euler a", "k_euler_a", "k_euler_ancestral"),
    _sampler("Euler", "k_euler"),
    _sampler("LMS", "k_lms"),
    _sampler("Heun", "k_heun"),
    _sampler("DPM2", "k_dpm_2"),
    _sampler("DPM2 a", "k_dpm_2_a"),
    _sampler("DPM fast", "k_dpm_fast"),
    _sampler("DPM adaptive", "k_dpm_ad"),
    _sampler("Restart", "restart"),
    _sampler("DDIM", "ddim"),
    _sampler("PLMS", "plms"),
    _sampler("UniPC", "unipc"),
    _sampler("LCM", "k_lcm"),
]
samplers_map = {}


def set_samplers():
    samplers_map.clear()
    for sampler in all_samplers:
        samplers_map[sampler.name.lower()] = sampler.name
        for alias in sampler.aliases:
            samplers_map[alias.lower()] = sampler.name


def fix_p_invalid_sampler_and_scheduler(p):
    """What nobody knows is replaced without a word to whoever asked for it."""
    if p.sampler_name not in [sampler.name for sampler in all_samplers]:
        p.sampler_name = all_samplers[0].name
    p.scheduler = sd_schedulers.schedulers_map.get(p.scheduler, sd_schedulers.schedulers[0]).label


set_samplers()
