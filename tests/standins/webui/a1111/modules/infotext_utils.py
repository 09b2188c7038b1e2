import json
import re
import sys

from modules import shared

sys.modules["modules.generation_parameters_copypaste"] = sys.modules[__name__]

re_param = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
re_imagesize = re.compile(r"^(\d+)x(\d+)$")
registered_param_bindings = []


class ParamBinding:
    def __init__(
        self, paste_button, tabname, source_text_component=None, source_image_component=None
    ):
        self.paste_button = paste_button
        self.tabname = tabname
        self.source_text_component = source_text_component
        self.source_image_component = source_image_component


def register_paste_params_button(binding):
    registered_param_bindings.append(binding)


def quote(text):
    plain = not {",", "\n", ":"} & set(str(text))
    return text if plain else json.dumps(text, ensure_ascii=False)


def unquote(text):
    if text[:1] != '"' or text[-1:] != '"':
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_generation_parameters(x, skip_fields=None):
    *lines, last = x.strip().split("\n")
    if len(re_param.findall(last)) < 3:
        lines.append(last)
        last = ""
    texts = {"Prompt": [], "Negative prompt": []}
    where = "Prompt"
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            where = "Negative prompt"
        texts[where].append(line.removeprefix("Negative prompt:").strip())
    found = {}
    for key, value in re_param.findall(last):
        size = re_imagesize.match(value)
        if size is None:
            found[key] = unquote(value)
        else:
            found[f"{key}-1"], found[f"{key}-2"] = size.groups()
    found |= {key: "\n".join(rows) for key, rows in texts.items()}
    found = {"Clip skip": "1", "Schedule type": "Automatic", "RNG": "GPU"} | found
    for key in shared.opts.infotext_skip_pasting if skip_fields is None else skip_fields:
        found.pop(key, None)
    return found
