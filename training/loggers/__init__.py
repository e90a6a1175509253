"""Where a run tells its reports beside `metrics.jsonl`: TensorBoard, Weights & Biases, MLflow, Trackio."""
