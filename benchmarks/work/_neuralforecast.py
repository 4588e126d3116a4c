"""What every network of neuralforecast is told here: one processor, no files, nothing printed."""

ALONE = {
    "scaler_type": "identity",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
    "accelerator": "cpu",
}
