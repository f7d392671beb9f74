"""The page of reasons: what each means, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

from docsite.markdown import code, table
from longshore_protocol.errors import CATEGORIES

Texts = Mapping[str, tuple[str, str]]  # name -> meaning, what to do

_NOTHING = "Nothing."

_ON_THE_WAY: Texts = {
    "Pending": ("Nothing of it has started.", _NOTHING),
    "ReadingSources": (
        "A pod lists and copies the sources and inputs of a PipelineRun, before any step starts.",
        "If it stays, read the message: it names what the pod waits for.",
    ),
    "StartingCoordinator": ("The coordinator's pod does not run yet.", "If it stays, `kubectl describe` the pod."),
    "WaitingForCoordinator": (
        "The coordinator's pod runs and does not answer yet.",
        "If it stays, read the pod's log, and check that network policies let the operator reach port 8443.",
    ),
    "WaitingForNodes": (
        "Other steps have all nodes of the ComputeCluster.",
        "Wait; or raise `maxNodes` of the ComputeCluster or `priority` of the step.",
    ),
    "WaitingForWorkers": ("No worker has connected yet.", "If it stays, `kubectl describe` the workers' pods."),
    "BringingData": ("Workers download side inputs, models or inputs before `init()`.", _NOTHING),
    "Initializing": (
        "Workers are connected, and no process has finished `init()`.",
        "If it stays, read `logs/user/stderr`; `initTimeoutSeconds` limits it.",
    ),
    "StartingPod": ("The pod of a ScriptStep or TransferStep does not run yet.", "If it stays, describe the pod."),
    "PreparingData": ("The pod of a ScriptStep downloads its source and inputs.", _NOTHING),
    "Running": ("Work is in progress.", _NOTHING),
    "Started": ("A step of a pipeline runs its first attempt.", _NOTHING),
    "Retried": ("A step of a pipeline runs again after a failed attempt.", "See what the earlier attempt reported."),
    "Draining": ("Workers finish the mini-batches that they run and take no more.", _NOTHING),
    "Registering": ("A step has succeeded, and the Models and Datasets that it registers are created.", _NOTHING),
    "Registered": ("A Model or Dataset was registered by a step.", _NOTHING),
    "Assembling": ("All mini-batches have ended; the coordinator writes the output file.", _NOTHING),
    "Suspending": ("`suspend` is true: pods finish what they run, for 90 s at most.", _NOTHING),
    "Suspended": ("`suspend` is true and nothing runs; what is committed is kept.", "Set `suspend: false` to go on."),
    "Cancelling": ("`cancel` is true: pods finish what they run, for 90 s at most.", _NOTHING),
}

_BLOCKED: Texts = {
    "WaitingForReferences": (
        "An object that it refers to does not exist, or not yet.",
        "Create the object that the message names. After `missingReferenceGraceSeconds` a step or run fails.",
    ),
    "WaitingForPipelineRun": ("The PipelineRun that created the step has not stored its definition yet.", _NOTHING),
    "PreparingEnvironment": (
        "The packages of its Environment are being installed in a pod, which the message names.",
        "Nothing. If it takes long, read the log of that pod's container `install`.",
    ),
    "WaitingForStep": (
        "Another step uses the run that this one is to continue.",
        "Wait until that step has finished, or cancel it.",
    ),
    "WaitingForRun": ("Another PipelineRun uses the run that this one is to continue.", "Wait, or cancel it."),
    "WaitingForStorage": (
        "A store or disk to which the run writes fails.",
        "Repair it within `storageTimeoutSeconds`; no mini-batch loses a try meanwhile.",
    ),
    "WaitingForInput": (
        "A store or disk that the run reads from fails.",
        "Repair it within `storageTimeoutSeconds`; no mini-batch loses a try meanwhile.",
    ),
    "Unschedulable": (
        "No node has room for a pod, or a node refused it.",
        "Add nodes, or ask for less in the ComputeCluster; the message has the scheduler's words.",
    ),
    "ImagePull": (
        "A node cannot pull the image.",
        "Check the image's name, and that the node has credentials for its registry.",
    ),
    "CrashLoopBackOff": ("A container of the pod ends again and again.", "Read the container's log."),
    "CreateContainerConfigError": (
        "The kubelet cannot configure a container.",
        "Create the Secret, ConfigMap or volume that the message names.",
    ),
    "CreateContainerError": ("The node's container runtime cannot create a container.", "See the message."),
    "RunContainerError": ("The node's container runtime cannot start a container.", "See the message."),
    "PodLost": ("A pod disappeared, with its node for example; another one follows.", _NOTHING),
    "NameTaken": (
        "An object that Longshore did not create has a name that it needs.",
        "Delete or rename that object, or rename the step.",
    ),
    "QuotaExceeded": ("A ResourceQuota of the namespace leaves no room for a pod.", "Raise it, or wait for room."),
    "Refused": (
        "The API server refuses an object, because of an admission policy for example.",
        "Change what the message names. Longshore tries again.",
    ),
    "StepStalled": (
        "A step of the PipelineRun cannot go on by itself.",
        "See the reason of that step, in the run's status.",
    ),
}

_SUCCEEDED: Texts = {
    "Succeeded": ("It reached its end, and no threshold was exceeded.", _NOTHING),
    "SucceededWithFailures": (
        "It succeeded, but more than `failedItemsWarningPercent` of the items failed.",
        "Read failed.jsonl; run those mini-batches again with `--retry-failed`, or `retryFailed` on a cluster.",
    ),
    "Reused": ("A step of a pipeline took the outputs of an earlier run, because nothing changed.", _NOTHING),
    "ReusedWithFailures": (
        "A step of a pipeline took the outputs of an earlier run that is SucceededWithFailures.",
        "As with SucceededWithFailures, in that earlier run.",
    ),
    "Valid": ("A Pipeline can be run.", _NOTHING),
    "Steady": ("A ComputeCluster has the nodes that it is meant to have.", _NOTHING),
    "Resizing": ("A ComputeCluster gets or releases nodes.", "If it stays, read the condition's message."),
}

_FAILED: Texts = {
    "Failed": ("It failed, and nothing more precise is known.", "Read its message and its logs."),
    "InvalidInput": ("A manifest is wrong.", "Correct the field that the message names."),
    "EnvironmentFailed": (
        "The packages of its Environment cannot be installed; nothing was started.",
        "Correct the Environment as the message explains, and start the step again.",
    ),
    "ErrorThresholdExceeded": (
        "More items failed than `errorThreshold` allows.",
        "Read failed.jsonl, correct the cause, and resume the run.",
    ),
    "AllowedFailedCountExceeded": (
        "More mini-batches failed than `allowedFailedCount` allows.",
        "Read failed.jsonl, correct the cause, and resume the run.",
    ),
    "AllowedFailedPercentExceeded": (
        "A larger share of the mini-batches failed than `allowedFailedPercent` allows.",
        "Read failed.jsonl, correct the cause, and resume the run.",
    ),
    "InitFailed": (
        "No process finished importing the script and `init()`.",
        "Read the error in the message; `logs/user/error.txt` has its traceback.",
    ),
    "WorkerFailed": (
        "Workers cannot be started, or end again and again.",
        "Read `logs/sys/node`; on a cluster also the log of the worker's pod.",
    ),
    "NoProgress": (
        "No mini-batch ended for `progressUpdateTimeoutSeconds`.",
        "Make mini-batches smaller, or raise the limit.",
    ),
    "FirstTaskCreationTimeout": (
        "No mini-batch was created within `firstTaskCreationTimeoutSeconds`.",
        "Name fewer files per path, or raise the limit.",
    ),
    "NoResultToAppend": (
        "`append_row` needs at least one row, and `run()` returned none.",
        "Return one element per item that succeeded, or use `summary_only`.",
    ),
    "InputError": (
        "Inputs cannot be listed or read.",
        "Check the path, the store and its credentials, which the message names; then resume.",
    ),
    "EmptyInput": ("No table of the inputs has a row.", "Check the paths and `header`."),
    "PlanChanged": (
        "Inputs are not those that the run began with.",
        "Restore the files that the message names, or begin a new run.",
    ),
    "CodeChanged": (
        "Code or settings are not those that the committed rows were made with.",
        "Begin a new run, or add `--accept-changed-code` (`acceptChangedCode` on a cluster).",
    ),
    "NotRetryable": (
        "The rows that `--retry-failed` needs do not exist any more.",
        "Begin a new run.",
    ),
    "OutputError": (
        "The rows of the mini-batches cannot be one file.",
        "Return the same columns from each `run()`; the message names the rows that differ.",
    ),
    "RegistrationFailed": (
        "What `shutdown()` registers is invalid; the message has the cause.",
        "Correct the script, and start a new run.",
    ),
    "StorageError": (
        "A store or disk failed for longer than `storageTimeoutSeconds`, or refused a write.",
        "Repair it and resume the run.",
    ),
    "OutOfMemory": (
        "The container of a ScriptStep was killed because memory ran out.",
        "Give the ComputeCluster more memory.",
    ),
    "ScriptFailed": (
        "The script of a ScriptStep ended with an exit code other than 0, or cannot be started.",
        "Read its log and correct the script.",
    ),
    "TransferFailed": ("A TransferStep did not copy everything.", "See the message, and run it again."),
    "LostTooOften": ("Pods of a ScriptStep or TransferStep were lost again and again.", "Check the nodes."),
    "Timeout": ("An attempt of a step ran longer than `timeoutSeconds`.", "Raise the limit."),
    "StepFailed": ("A step of the pipeline failed.", "See the reason of that step, correct it, and retry the run."),
    "Cancelled": (
        "It was cancelled.",
        "What is committed is kept: a step with `resumeFrom` continues from there.",
    ),
    "Skipped": ("A step of a pipeline was not started.", "See the message for the step that failed before it."),
    "NotStarted": (
        "A step of a pipeline was not started, because a step before it failed.",
        "Correct that step, and retry the run.",
    ),
    "Interrupted": ("The command was interrupted, as by Ctrl-C.", "Continue with `--resume`."),
    "Superseded": ("Another coordinator or command has taken over the run.", "Look at the status of that one."),
    "InternalError": (
        "An error of Longshore itself.",
        "Report it with `logs/sys/internal_error.txt`; the run can be resumed.",
    ),
}

_CATEGORIES: Texts = {
    "UserError": ("The script's import, `init()` or `run()` raised an exception.", "Correct the script."),
    "Timeout": (
        "`run()` or `init()` took longer than its limit.",
        "Make mini-batches smaller, or raise `runInvocationTimeoutSeconds` or `initTimeoutSeconds`.",
    ),
    "OutOfMemory": (
        "Python raised `MemoryError`, or the kernel killed the process for memory.",
        "Make mini-batches smaller, run fewer processes per node, or use larger nodes.",
    ),
    "CudaOutOfMemory": (
        "PyTorch found the GPU full.",
        "Make mini-batches smaller, or run fewer processes per GPU.",
    ),
    "ProcessDied": (
        "The process ended by itself or by a signal.",
        "Read its stderr: after a crash it holds the stacks of all threads.",
    ),
    "WrongReturn": (
        "`run()` returned something that is no list, tuple, array or DataFrame, or that the format cannot hold.",
        "Return one element per item: see [Row formats](rows.md).",
    ),
    "DataError": ("The mini-batch cannot be read.", "Correct the file that the message names."),
    "System": ("Storage, network, disk or Longshore itself failed.", "Nothing: it costs no try."),
}

_GROUPS: tuple[tuple[str, str, Texts], ...] = (
    ("In progress", "The condition `Succeeded` is `Unknown`.", _ON_THE_WAY),
    (
        "Waiting for you or the cluster",
        "The condition `Succeeded` is `Unknown`, and the message has details.",
        _BLOCKED,
    ),
    ("Good ends", "The condition `Succeeded`, or `Ready`, is `True`.", _SUCCEEDED),
    ("Bad ends", "The condition `Succeeded` is `False`, or a step of a pipeline ended so.", _FAILED),
)


def page() -> str:
    """Return the page's Markdown."""
    columns = ("Reason", "Meaning", "What to do")
    return (
        "# Reasons and error categories\n\n"
        "What the reason in a status means, and what to do about it. `kubectl get` shows it in the column REASON, "
        "`longshore run` prints it with the last line, and the condition's `message` has the details in one sentence.\n"
        + "".join(f"\n## {title}\n\n{about}\n\n{table(columns, _rows(texts))}" for title, about, texts in _GROUPS)
        + "\n## Error categories\n\nEach failed mini-batch has one, in failed.jsonl, in the logs and as "
        "`status.firstError.category`. It shows who has to act.\n\n"
        + table(("Category", "Meaning", "What to do"), _rows({each: _CATEGORIES[each] for each in CATEGORIES}))
    )


def _rows(texts: Texts) -> list[tuple[str, str, str]]:
    return [(code(name), meaning, remedy) for name, (meaning, remedy) in texts.items()]
