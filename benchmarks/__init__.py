"""What Grad-CAM costs beside plain inference, side by side with other ways to it.

networks, torch_networks    what is explained: the shipped network, and others with random weights
contestants, peers          who explains: ortcam, and those that need PyTorch
variants                    ortcam as it can be on CUDA alone: float16, TF32, CUDA graphs
measure                     one run, alternating; medians with their intervals
fresh, processes            memory and start-up, each in a process of its own
installed, machine          bytes on the disk; versions and hardware
record, bounds              the results as JSON, and what they are to be
table, chart                the results to read
short                       the few ratios that CI watches

``python -m benchmarks --help`` tells the command.
"""
