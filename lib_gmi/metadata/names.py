"""What the names of a ComfyUI node's inputs and its class say. Strangers choose both, so names are
bounded where they come in (:func:`.graph.api_graph`), and no pattern can be matched in two ways.
"""

from __future__ import annotations

import re

#: Characters of an input's name.
MAX_INPUT_NAME = 80


def _any(parts: str, whole: str = "") -> re.Pattern[str]:
    """Names with one of these parts, and these names; parts may begin with ``^``."""
    alternatives = [*parts.split(), *(f"^{name}$" for name in whole.split())]
    return re.compile("|".join(alternatives))


# -- inputs, in lower case ------------------------------------------------------------------------

#: Carry several things together.
PIPE = _any("pipe ctx ^context", "sdxl_tuple bus guider")
#: Carry a model on.
MODEL = re.compile(
    r"(?:model|unet|diffusion_model)[_ ]?(?:\w|\d{1,2}|in|opt)?$|model_(?:high|low)|opt_model$"
)
#: Never lead to a model.
NO_MODEL = _any(
    "^clip ^vae conditioning ^positive ^negative image latent mask text prompt seed noise ^sampler"
    " control upscale detector string",
    "samples pixels sigmas steps cfg width height",
)
#: Carry a conditioning on.
CONDITIONING = _any("conditioning ^(?:base_)?cond", "text_embeds guider")
#: Never lead to words.
NO_CONDITIONING = _any(
    "model ^clip vae image latent mask control noise ^sampler lora", "samples pixels sigmas"
)
#: Carry a picture, or a latent of one, to where a text is encoded or a conditioning is made.
PICTURED_CONDITIONING = _any("image latent ^clip_vision video photo face", "pixels stage_c")
#: Linked inputs that are text, where others of a text's names carry a conditioning.
WORDS = re.compile(
    r"(?:text|prompt|string|wildcard|populated|clip_[lg]|t5xxl|llama|caption|tags)[\w +]{0,40}$"
)
#: Hold text.
TEXT = re.compile(
    r"(?:text|string|str|prompt|value|wildcard|populated|positive|negative|input|any|source"
    r"|concat|part|prefix|suffix|opt|on_true|on_false|clip_[lg]|t5xxl|llama|zipped)[\w +]{0,40}$"
)
#: Are called like text, and hold none.
NO_TEXT = _any(
    "^replace mode$ pattern$ ^filename format _style$ size$ strength$ path type$ folder file ^text_"
    "\\d+$ dir$",
    "find delimiter separator substring string_length",
)
#: Carry an image or a latent on.
PICTURE = re.compile(
    r"(?:images?|pixels|samples|latents?|latent_image|optional_latent|init_latent|destination"
    r"|source|input|any(?:thing)?|value|foreground|background|base_image|edited|img)[_ ]?\d{0,3}$"
    r"|any_\w{1,4}$|samples_(?:to|from)$|image_[ab]$|(?:images|values)\.\w{1,20}$|(?:input|source|target|second)_image\w{0,2}$"
)
#: Never lead to the pixels of this image.
NO_PICTURE = _any(
    "model clip vae control mask conditioning ^positive ^negative seed$ text prompt string width"
    " height lora detector sam_model_opt sam_opt$ ^sampler scheduler size name hook",
    "sigmas noise guider steps cfg denoise upscaler",
)
#: Hold what a service or an editor is asked for.
ASKED = re.compile(
    r"(?:text_?|user_?|edit_?|positive_?|main_?|style_?)?(?:prompt|instructions?)(?:_text)?$|text$"
)

# -- classes, in lower case -----------------------------------------------------------------------

#: Draw at a service. Class names of ComfyUI's ``comfy_api_nodes`` and of packs for the same ones.
SERVICE = _any(
    "openai dall.?e gpt.?image gemini nano.?banana imagen[34_\\s] ^ideogram recraft ^stability"
    " ^luma(?!bri) runway kling hailuo ^minimax bytedance seedream seededit doubao jimeng grok"
    " ^krea2(?:image|style) ^bria(?:image|remove|gen|eraser|expand|increase) ^reve(?:image|[_\\s])"
    " magnific ^topaz hitpaw wavespeed ^quiver ^beeble pixverse ^veo ^sora ^vidu moonvalley ^pika"
    " midjourney ^fal(?:[_\\s-]|ai) replicate flux(?:pro|kontext(?:pro|max|\\s?\\[pro)|2(?:pro|max"
    "|image)|erase|vto) ^wan\\d?\\w{1,20}api api$ api[_\\s]node"
)
#: Take words beside a picture, and change no more of it than they say themselves.
LOCAL = _any(
    "mask segment ^sam dino text overlay label watermark save preview caption tagger interrog show"
    " crop compar detect florence vqa title font metadata"
)
#: Put pictures beside each other, of which each is a file.
BATCH = _any("batch list rebatch")
#: Keep the size of what they pass on.
KEEPS_SIZE = _any("^vaedecode ^reroute save preview switch")
#: Make an empty latent of exactly the size that they name.
EMPTY = re.compile(r"empty\w{0,30}latent\w{0,20}$")
FACES = _any("reactor faceswap facerestore codeformer gfpgan roop")
UPSCALE = _any("upscale supir imagescale seedvr")
REGIONS = _any("setarea setmask gligen regional couple conditioningmask areaconditioning")
REFERENCES = _any("unclip stylemodel ipadapter referencelatent instantid pulid redux photomaker")
#: On a model's way, do not change what it draws.
NEUTRAL = _any(
    "modelsampling rescalecfg reroute primitive switch pipe context lora loader compile settings"
    " tome cfgguider basicguider guider cfgnorm cfgzero easycache teacache loadbest flux anything"
    " efficient cleangpu clearcache sampler presampling attention\\s?mode sageattention"
    " differential"
)
#: Read their text from a file that is not here.
FROM_FILE = _any("fromfile from[_\\s]file loadprompt load[_\\s]prompt from[_\\s]dir loadtext")
#: Decide when they run.
COMPUTES = _any(
    "not(?![aehi]) negat invert toggle logic compar math calc expression operat random plus minus"
    " multipl divi subtract round modulo script python eval equal greater less increment counter"
    " comfyandnode comfyornode"
)
#: Hand a value on as it is.
HANDS_ON = _any(
    "primitive bool int float number constant reroute seed value switch slider literal variable"
)
