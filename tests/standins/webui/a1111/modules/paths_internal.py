import os
from pathlib import Path

#: The test's own folder.
data_path = os.environ["GMI_STANDIN_WEBUI"]
script_path = data_path
models_path = str(Path(data_path) / "models")
