"""Makes `import uvloop` fail in every process of a worker: this folder stands on its PYTHONPATH."""

raise ImportError("this worker is measured without uvloop")
