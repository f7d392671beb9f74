"""What the models do not know of fields: their names in Azure ML, and where they count."""

from __future__ import annotations

from collections.abc import Mapping

from docsite.markdown import code
from longshore_planner.arguments import SETTINGS

Names = Mapping[str, tuple[str, str]]  # path of a field -> its name in v1, its name in v2; empty where there is none

_PARALLEL_RUN_STEP: Names = {
    "spec.description": ("description", "description"),
    "spec.inputs": ("inputs", "input_data"),
    "spec.sideInputs": ("side_inputs", "inputs"),
    "spec.output": ("output", "outputs"),
    "spec.source": ("source_directory", "task.code"),
    "spec.entryScript": ("entry_script", "task.entry_script"),
    "spec.arguments": ("arguments", "task.program_arguments"),
    "spec.environment": ("environment", "task.environment"),
    "spec.environmentVariables": ("environment_variables", "environment_variables"),
    "spec.computeTarget": ("compute_target", "compute"),
    "spec.nodeCount": ("node_count", "resources.instance_count"),
    "spec.processCountPerNode": ("process_count_per_node", "max_concurrency_per_instance"),
    "spec.miniBatchSize": ("mini_batch_size", "mini_batch_size"),
    "spec.partitionKeys": ("partition_keys", "partition_keys"),
    "spec.outputAction": ("output_action", "task.append_row_to"),
    "spec.appendRowFileName": ("append_row_file_name", "task.append_row_to"),
    "spec.errorThreshold": ("error_threshold", "error_threshold"),
    "spec.allowedFailedCount": ("allowed_failed_count", "mini_batch_error_threshold"),
    "spec.allowedFailedPercent": ("allowed_failed_percent", ""),
    "spec.runInvocationTimeoutSeconds": ("run_invocation_timeout", "retry_settings.timeout"),
    "spec.runMaxTry": ("run_max_try", "retry_settings.max_retries"),
    "spec.loggingLevel": ("logging_level", "logging_level"),
}
AZURE_ML: Mapping[str, Names] = {
    "ParallelRunStep": _PARALLEL_RUN_STEP,
    "ComputeCluster": {
        "spec.vmSize": ("vm_size", "size"),
        "spec.vmPriority": ("vm_priority", "tier"),
        "spec.minNodes": ("min_nodes", "min_instances"),
        "spec.maxNodes": ("max_nodes", "max_instances"),
        "spec.idleSecondsBeforeScaleDown": ("idle_seconds_before_scaledown", "idle_time_before_scale_down"),
    },
    "PipelineRun": {
        "spec.continueOnStepFailure": ("continue_on_step_failure", "settings.continue_on_step_failure"),
        "spec.regenerateOutputs": ("regenerate_outputs", "settings.force_rerun"),
    },
}
_STEPS = ("spec.priority", "spec.cancel", "spec.ttlSecondsAfterFinished")
CLUSTER_ONLY: Mapping[str, tuple[str, ...]] = {
    "ParallelRunStep": (
        *_STEPS, "spec.suspend", "spec.resumeFrom", "spec.retryFailed", "spec.acceptChangedCode",
        "spec.source.configMap", "spec.source.image",
    ),
    "ScriptStep": (*_STEPS, "spec.source.configMap", "spec.source.image"),
    "TransferStep": _STEPS[1:],
    "ComputeCluster": (
        "spec.vmSize", "spec.resources", "spec.gpu", "spec.vmPriority", "spec.minNodes",
        "spec.idleSecondsBeforeScaleDown", "spec.nodeSelector", "spec.tolerations", "spec.queueName",
        "spec.podTemplate",
    ),
    "Datastore": ("spec.secretRef", "spec.serviceAccountName"),
    "Environment": ("spec.image",),
    "Pipeline": ("spec.successfulRunsHistoryLimit", "spec.failedRunsHistoryLimit"),
    "PipelineRun": ("spec.retryOf", "spec.ttlSecondsAfterFinished"),
}  # fmt: skip


def facts_about(kind: str, path: str, description: str) -> str:
    """Return the sentences that follow the description of a field, empty where there is nothing to add."""
    sentences = []
    v1, v2 = AZURE_ML.get(kind, {}).get(path, ("", ""))
    names = [code(v1)] if v1 == v2 else [f"{code(v1)} (v1)"] * bool(v1) + [f"{code(v2)} (v2)"] * bool(v2)
    flags = [flag for flag, field in SETTINGS.items() if kind == "ParallelRunStep" and path == f"spec.{field}"]
    names = [each for each in names if each != "``"] + [f"{code(flag)} among the arguments" for flag in flags]
    if names:
        sentences.append(f"In Azure ML: {', '.join(names)}.")
    if path in CLUSTER_ONLY.get(kind, ()) and "luster" not in description:
        sentences.append("Counts on a cluster only.")
    return " ".join(sentences)
