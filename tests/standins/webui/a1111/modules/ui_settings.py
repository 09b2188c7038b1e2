import gradio as gr

from modules.shared import opts


def get_value_for_setting(key):
    return gr.update(value=getattr(opts, key))
