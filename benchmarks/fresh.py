"""One job in a process of its own: how much memory it takes, and when its first map is there.

``python -P fresh.py JOB`` with a job as JSON; it prints what it measured as JSON. Nothing but the
job's own packages is imported here, so that their cost is the job's.
"""

import json
import sys
import time

BEGIN = time.perf_counter()


def main() -> None:
    """Does the job, a few times, and says when what was there."""
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
    """Bytes: the most that was resident at a time.

    Linux carries ``ru_maxrss`` over from the process that started this one; ``VmHWM`` it does not.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no pathlib yet
            line = next(line for line in status if line.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# Each imports what its work needs, and gives what loads the network and gives the run.


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
    """ortcam, as called."""
    import numpy
    import onnxruntime  # noqa: F401 - ortcam imports it when it loads, and it counts as imported

    import ortcam

    def load():
        x = numpy.load(job["tensor"])
        cam = ortcam.load(job["model"], providers(job), threads=job["threads"])
        return lambda: cam.explain(
            tensor=x, classes=job["classes"], layers=job["layers"], upsample="none"
        )

    return load


def providers(job):
    """As onnxruntime takes them, who knows a pair by its being a tuple."""
    return [tuple(provider) for provider in job["providers"]]


def torch_plain(job):
    """An inference in PyTorch."""
    return _peer(job, lambda peers, model, x: peers.inference(model, x))


def gradcam(job):
    """pytorch-grad-cam."""
    return _peer(job, lambda peers, *a: peers.grad_cam(*a, job["layers"], job["classes"]))


def captum(job):
    """Captum."""
    return _peer(job, lambda peers, *a: peers.captum(*a, job["layers"], job["classes"]))


def torch(job):
    """PyTorch, by hand."""

    def make(peers, model, x):
        order = peers.torch.contiguous_format
        return peers.written(model, x, job["layers"], job["classes"], order, False)

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
        model = torch.load(job["model"], weights_only=False)  # this benchmark's own file
        return make(peers, model.to(job["device"]), numpy.load(job["tensor"]))

    return load


PREPARE = {f.__name__: f for f in (plain, explain, torch_plain, gradcam, captum, torch)}

if __name__ == "__main__":
    main()
