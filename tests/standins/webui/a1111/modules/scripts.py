import importlib.util
import inspect
import sys
from collections import namedtuple
from pathlib import Path

from modules import errors, script_callbacks

AlwaysVisible = object()
ScriptClassData = namedtuple("ScriptClassData", ["script_class", "path", "basedir", "module"])
scripts_data = []
#: Folders of extensions.
_extensions = []


class Script:
    filename = None
    args_from = None
    args_to = None
    alwayson = False
    is_txt2img = False
    is_img2img = False
    infotext_fields = None
    controls = None

    def title(self):
        raise NotImplementedError

    def ui(self, is_img2img):
        pass

    def show(self, is_img2img):
        return True

    def run(self, p, *args):
        pass

    def before_process(self, p, *args):
        pass

    def before_process_batch(self, p, *args, **kwargs):
        pass

    def postprocess(self, p, processed, *args):
        pass


def load_scripts():
    """Runs what extensions have in their folders, as when the web UI starts and reloads."""
    scripts_data.clear()
    script_callbacks.clear_callbacks()
    path = sys.path
    for basedir in _extensions:
        for file in sorted((Path(basedir) / "scripts").glob("*.py")):
            try:
                sys.path = [str(basedir), *sys.path]
                spec = importlib.util.spec_from_file_location(file.name, file)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                for found in vars(module).values():
                    if inspect.isclass(found) and issubclass(found, Script):
                        row = ScriptClassData(found, str(file), str(basedir), module)
                        scripts_data.append(row)
            except Exception:
                errors.report(f"Error loading script: {file.name}", exc_info=True)
            finally:
                sys.path = path


class ScriptRunner:
    def __init__(self):
        self.scripts = []
        self.alwayson_scripts = []
        self.inputs = [None]

    def initialize_scripts(self, is_img2img):
        self.scripts.clear()
        self.alwayson_scripts.clear()
        for data in scripts_data:
            script = data.script_class()
            script.filename, script.is_img2img = data.path, is_img2img
            script.is_txt2img = not is_img2img
            if script.show(is_img2img) is AlwaysVisible:
                script.alwayson = True
                self.scripts.append(script)
                self.alwayson_scripts.append(script)

    def prepare_ui(self):
        self.inputs = [None]

    def setup_ui(self):
        for script in self.scripts:
            script.controls = list(script.ui(script.is_img2img) or [])
            script.args_from = len(self.inputs)
            self.inputs += script.controls
            script.args_to = len(self.inputs)

    def before_process(self, p):
        for script in self.scripts:
            try:
                script.before_process(p, *p.script_args[script.args_from : script.args_to])
            except Exception:
                errors.report(f"Error running before_process: {script.filename}", exc_info=True)

    def before_process_batch(self, p, **kwargs):
        for script in self.scripts:
            arguments = p.script_args[script.args_from : script.args_to]
            try:
                script.before_process_batch(p, *arguments, **kwargs)
            except Exception:
                errors.report(f"Error running before_process_batch: {script.filename}")

    def postprocess(self, p, processed):
        for script in self.scripts:
            arguments = p.script_args[script.args_from : script.args_to]
            try:
                script.postprocess(p, processed, *arguments)
            except Exception:
                errors.report(f"Error running postprocess: {script.filename}", exc_info=True)
