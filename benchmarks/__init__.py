"""The cost of Grad-CAM relative to plain inference, for ortcam and other tools.

networks, torch_export      the networks: the shipped one, and others with random weights
torch_networks              the networks as PyTorch modules
subjects, peers             the subjects: ortcam, and the tools that need PyTorch
cuda_variants               ortcam on CUDA alone: float16, TF32, CUDA graphs
measure                     one run with the subjects in turns; medians with their intervals
cold_start, processes       memory and start-up, each in a fresh process
install_size, machine       bytes on the disk; versions and hardware
record, bounds              the results as JSON, and their bounds
table, chart, page          the results for readers
ci_check                    the few ratios that CI watches

For the command, see ``python -m benchmarks --help``.
"""
