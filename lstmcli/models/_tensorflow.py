"""The one place that imports TensorFlow, and keeps its start-up chatter off stderr."""

from __future__ import annotations

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Import TensorFlow and Keras quietly; show what was held back if that fails.

    TensorFlow 2.21 writes lines of absl and oneDNN to file descriptor 2 whatever
    TF_CPP_MIN_LOG_LEVEL says, so the descriptor itself is turned away meanwhile.
    """
    if "keras" in sys.modules and "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import tensorflow as tf

            # The first operation makes the runtime print once more.
            tf.constant(0.0)
            import keras  # noqa: F401
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
