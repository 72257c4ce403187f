"""One job in a fresh process: its peak memory, and the time to its first map.

``python -P cold_start.py JOB`` takes a job as JSON, and prints its measurements as JSON. Only the
job's own packages are imported here, so that the job bears their cost.
"""

import json
import sys
import time

BEGIN = time.perf_counter()


def main() -> None:
    """Run the job a few times, and print the measurements."""
    job = json.loads(sys.argv[1])
    first = PREPARE[job["work"]](job)
    imported = time.perf_counter() - BEGIN
    run = first()
    run()
    mapped = time.perf_counter() - BEGIN
    for _ in range(job["runs"] - 1):
        run()
    print(json.dumps({"import": imported, "first": mapped, "memory": peak()}))


def peak() -> int:
    """The peak resident memory, in bytes.

    On Linux, ``ru_maxrss`` includes the process that started this one; ``VmHWM`` does not.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no pathlib yet
            line = next(line for line in status if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# Each function imports the packages of its job, and returns one that loads the network; this
# returns the function to run.


def plain(job):
    """onnxruntime alone: the unit."""
    import numpy
    import onnxruntime

    def load():
        x = numpy.load(job["tensor"])
        if job["device"] == "cuda":
            onnxruntime.preload_dlls()  # as ortcam does
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        session = onnxruntime.InferenceSession(job["model"], options, providers=providers(job))
        score, name = session.get_outputs()[0].name, session.get_inputs()[0].name
        return lambda: session.run([score], {name: x})

    return load


def explain(job):
    """``Cam.explain``."""
    import numpy
    import onnxruntime  # noqa: F401 - ortcam imports it on load, but it counts as an import

    import ortcam

    def load():
        x = numpy.load(job["tensor"])
        cam = ortcam.load(job["model"], providers(job), threads=job["threads"])
        return lambda: cam.explain(
            tensor=x, classes=job["classes"], layers=job["layers"], upsample="none"
        )

    return load


def providers(job):
    """The providers as tuples, as onnxruntime requires."""
    return [tuple(provider) for provider in job["providers"]]


def torch_plain(job):
    """Inference in PyTorch."""
    return _peer(job, lambda peers, model, x: peers.inference(model, x))


def gradcam(job):
    """pytorch-grad-cam."""
    return _peer(job, lambda peers, *a: peers.grad_cam(*a, job["layers"], job["classes"]))


def captum(job):
    """Captum."""
    return _peer(job, lambda peers, *a: peers.captum(*a, job["layers"], job["classes"]))


def torch(job):
    """Handwritten PyTorch."""

    def make(peers, model, x):
        order = peers.torch.contiguous_format
        return peers.handwritten(model, x, job["layers"], job["classes"], order, False)

    return _peer(job, make)


def _peer(job, make):
    import numpy
    import torch

    from benchmarks import peers

    if job["work"] == "gradcam":
        import pytorch_grad_cam  # noqa: F401 - as ortcam's onnxruntime above
    if job["work"] == "captum":
        import captum.attr  # noqa: F401
    peers.set_up(job["device"], job["threads"])

    def load():
        model = torch.load(job["model"], weights_only=False)  # written by this benchmark
        return make(peers, model.to(job["device"]), numpy.load(job["tensor"]))

    return load


PREPARE = {f.__name__: f for f in (plain, explain, torch_plain, gradcam, captum, torch)}

if __name__ == "__main__":
    main()
