"""PipelineRuns in a cluster in memory: their steps' resources end as a test says, one moment after they begin."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from manifests import cluster_step
from watching import Operator
from world import NAMESPACE, START, FakeKube, kind

from longshore_agent.survey import SurveyError, survey
from longshore_agent.survey_message import survey_message
from longshore_operator.settings import Settings
from longshore_protocol.survey import SurveyRequest

RUN_KINDS = ("ParallelRunStep", "ScriptStep", "TransferStep")


def script(name, *reads, script=None, **more):
    """A script step with the output `out`, which reads that of each step named."""
    spec = {
        "source": {"configMap": "code"},
        "scriptName": script or f"{name}.py",
        "environment": {"name": "scikit"},
        "inputs": [{"name": f"from_{each}", "from": f"$(steps.{each}.outputs.out)"} for each in reads],
        "outputs": [{"name": "out"}],
        **{key: more.pop(key) for key in ("arguments", "source", "computeTarget") if key in more},
    }
    return {"name": name, "script": spec, **more}


def parallel(name, **more):
    own = {key: more.pop(key) for key in ("inputs", "miniBatchSize", "nodeCount") if key in more}
    return {"name": name, "parallelRun": cluster_step(**own), **more}


CODE = {
    f"{name}.py": f"print({name!r})"
    for name in ("prepare", "train", "compare", "score", "north", "south", "east", "west")
}
AROUND = (
    kind("Dataset", "images", file={"paths": ["in/*.png"]}),
    kind("Datastore", "data", uri="pvc:claim", default=True),
    kind("Environment", "scikit", image="python:3.11-slim"),
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": NAMESPACE}, "data": CODE},
)
CHAIN = (script("prepare"), script("train", "prepare"), script("compare", "prepare", "train"))


@dataclass
class RunWorld:
    """Time, and the reconciles of steps' resources; `ends` says how the resource of a step ends, "" for never.

    A survey's pod starts in one moment and ends in the next.
    """

    kube: FakeKube = field(default_factory=FakeKube)
    now: datetime = START
    ends: dict = field(default_factory=dict)  # step, or name of a resource -> Succeeded, ScriptFailed, "", ...
    metrics: dict = field(default_factory=dict)
    begun: Counter = field(default_factory=Counter)  # names of resources that ran, with how often
    pods: list = field(default_factory=list)  # how the next surveys end: "", or a status; then all by themselves
    kinds: tuple = ("PipelineRun", "Pipeline")  # that the operator works on: steps end as `ends` says
    lag: int = 0  # events that the operator's watches are late
    ran: list = field(default_factory=list)  # names of pods that looked at sources and inputs

    def __post_init__(self):
        self.seconds = 0.0
        self.reconciler = self.operator()

    def operator(self, metrics=None):
        settings = Settings(image="longshore:test")
        clock = {"now": lambda: self.now, "monotonic": lambda: self.seconds}
        return Operator(self.kube, None, settings, lag=self.lag, metrics=metrics, **clock)

    def submit(self, *steps, name="nightly", parameters=None, around=AROUND, pipeline="iris", **spec):
        for each in around:
            self.kube.put(each)
        if steps:
            declared = spec.pop("declared", [])
            self.kube.put(kind("Pipeline", pipeline, steps=list(steps), parameters=declared))
        reference = {} if "retryOf" in spec else {"pipelineRef": {"name": pipeline}}
        given = {"parameters": parameters} if parameters else {}
        self.kube.put(kind("PipelineRun", name, **reference, **given, **spec))

    def change(self, name="nightly", **spec):
        raw = self.kube.objects["PipelineRun", NAMESPACE, name]
        raw["spec"] |= spec
        raw["metadata"]["generation"] += 1

    def reconcile(self, name="nightly"):
        return self.reconciler.reconcile("PipelineRun", NAMESPACE, name)

    def tick(self, seconds=2.0):
        """Let time pass: each resource gets on by one state."""
        self.now += timedelta(seconds=seconds)
        self.seconds += seconds
        for of in RUN_KINDS:
            for name, raw in self.kube.of(of).items():
                self._advance(of, name, raw)
        for name, raw in self.surveys().items():
            status = raw.setdefault("status", {"phase": "Pending"})
            if status["phase"] == "Pending" and "conditions" not in status:
                status["phase"] = "Running"
            elif status["phase"] == "Running":
                raw["status"] = self.pods.pop(0) if self.pods else self._look(name)

    def surveys(self):
        return {name: raw for name, raw in self.kube.of("Pod").items() if "-survey-" in name}

    def _look(self, name):
        """Do what a survey's pod does; volumes are empty here."""
        self.ran.append(name)
        request = SurveyRequest.from_json(self.kube.of("ConfigMap")[name]["data"]["request.json"])
        try:
            return ended(0, survey_message(survey(request)))
        except SurveyError as error:
            return ended(1, str(error))

    def _advance(self, of, name, raw):
        status, spec = raw.get("status"), raw["spec"]
        succeeded = condition_of(status, "Succeeded")
        if succeeded.get("status") in ("True", "False"):
            return
        if spec.get("cancel"):
            raw["status"] = self.status_of(of, "False", "Cancelled", "cancelled")
        elif spec.get("suspend"):
            raw["status"] = self.status_of(of, "Unknown", "Suspended", "suspended")
        elif succeeded.get("reason") != "Running":
            self.begun[name] += 1
            raw["status"] = self.status_of(of, "Unknown", "Running", "")
        else:
            ends = self.ends.get(name, self.ends.get(self.step_of(name), "Succeeded"))
            if ends:
                truth = "True" if ends.startswith("Succeeded") else "False"
                raw["status"] = self.status_of(of, truth, ends, "" if ends == "Succeeded" else f"{ends}: it is said")
                raw["status"] |= {"metrics": self.metrics} if of == "ScriptStep" else {}

    def step_of(self, name):
        return next(
            (
                step["name"]
                for run in self.kube.of("PipelineRun").values()
                for step in run.get("status", {}).get("steps", [])
                if step.get("resource", "").endswith(f"/{name}")
            ),
            name.rpartition("-")[2],
        )

    def status_of(self, of, truth, reason, message):
        at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        finished = "Unknown" if truth == "Unknown" else "True"
        conditions = [
            {
                "type": type_,
                "status": value,
                "reason": reason,
                "message": message,
                "lastTransitionTime": at,
                "observedGeneration": 1,
            }
            for type_, value in (("Succeeded", truth), ("Finished", "False" if finished == "Unknown" else "True"))
        ]
        status = {"observedGeneration": 1, "conditions": conditions}
        if of == "ParallelRunStep":
            columns = {"done": "3/6", "failed": "0", "workers": "2/2"}
            status["progress"] = {"miniBatches": {}, "items": {}, "workers": {}, "columns": columns}
        return status

    def run(self, name="nightly", *, limit=80):
        """Reconcile and let time pass until the run has ended; return its status."""
        for _ in range(limit):
            self.reconcile(name)
            if self.condition("Finished", name).get("status") == "True":
                self.reconcile(name)
                return self.status(name)
            self.tick()
        raise AssertionError(f"no end: {self.status(name)}")

    def until(self, so, name="nightly", limit=40):
        for _ in range(limit):
            self.reconcile(name)
            if so():
                return
            self.tick()
        raise AssertionError(f"never so: {self.status(name)}")

    def status(self, name="nightly"):
        return self.kube.objects["PipelineRun", NAMESPACE, name].get("status", {})

    def condition(self, type_="Succeeded", name="nightly"):
        return condition_of(self.status(name), type_)

    def states(self, name="nightly"):
        """Return how each step is: its state, or that it was reused."""
        return {
            each["name"]: each["reason"] if each.get("reusedFrom") else each["state"]
            for each in self.status(name).get("steps", [])
        }

    def step(self, step, name="nightly"):
        return next(each for each in self.status(name)["steps"] if each["name"] == step)

    def resources(self):
        return {f"{of}/{name}": raw for of in RUN_KINDS for name, raw in self.kube.of(of).items()}


def ended(code, message, phase=None, **more):
    """Return the status of a survey's pod that has ended."""
    container = {"name": "survey", "state": {"terminated": {"exitCode": code, "message": message}}}
    return {"phase": phase or ("Failed" if code else "Succeeded"), "containerStatuses": [container], **more}


def condition_of(status, type_):
    return next((each for each in (status or {}).get("conditions", []) if each["type"] == type_), {})


DECLARED = [{"name": "alpha", "type": "number", "default": 0.5}]
TRAINED = (script("prepare"), script("train", "prepare", arguments=["--alpha", "$(parameters.alpha)"]))


def failed(world, *steps, name="nightly", **more):
    world.ends = {"train": "ScriptFailed", "score": "InitFailed"}
    world.submit(*steps, name=name, **more)
    world.run(name)
    world.ends = {}
